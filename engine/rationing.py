"""Which budgets each message draws on: what it lacks, what it is charged, what it bids.

A message draws on its own budgets and on the team's. One that lacks any of them is no candidate; a
transactional message never lacks one and pays no price, but what it takes is spent.

What a decision would have given for a unit of a budget is the net of the best message that draws on
it, without that budget's own price, above the best that can be done otherwise: another message, or
silence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from engine.allowance import Allowance
from engine.budget import Budget, Charge, message_budgets
from engine.catalog import Catalog
from engine.decision import Decision, Floats, Reason
from engine.scarcity import Bid

Cost = tuple[Budget, int]
NOTHING = Allowance()


@dataclass(frozen=True)
class Rations:
    """The budgets of a catalog and of its team, with the prices in force."""

    catalog: Catalog = field(default_factory=Catalog)
    team: tuple[Budget, ...] = ()
    send_cost: float = 0.0
    """Of messages that name none."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """Of one unit, by budget; one that is not listed costs nothing."""

    @cached_property
    def costs(self) -> Mapping[str, tuple[Cost, ...]]:
        """Message -> the budgets that a send of it draws on, and its units of each."""
        return {
            message.id: tuple(
                (budget, budget.units(self.send_cost if cost is None else cost))
                for budget in (*message_budgets(message.id, message.budget), *self.team)
            )
            for message in self.catalog.messages.values()
            for cost in [message.send_cost]
        }

    @cached_property
    def budgets(self) -> Mapping[str, Budget]:
        """All budgets by name."""
        return {budget.name: budget for costs in self.costs.values() for budget, _ in costs}

    @cached_property
    def scarcity(self) -> Floats:
        """(messages + 1,) price of what a send of each takes, the last one for abstaining."""
        prices = [
            0.0 if message.transactional else self._price(message.id)
            for message in self.catalog.messages.values()
        ]
        return np.array([*prices, 0.0])

    def short(self, held: Mapping[str, Allowance], now: float) -> frozenset[str]:
        """Messages that lack units, given a shard's allowances."""
        if not self.budgets:
            return frozenset()
        return frozenset(
            name
            for name, costs in self.costs.items()
            if not self.catalog.messages[name].transactional
            and not all(held.get(b.name, NOTHING).covers(units, now) for b, units in costs)
        )

    def beyond(self, left: Mapping[str, int]) -> frozenset[str]:
        """Messages that take more than is left of a budget; one that is not listed is full."""
        return frozenset(
            name
            for name, costs in self.costs.items()
            if not self.catalog.messages[name].transactional
            and any(units > left.get(budget.name, budget.limit) for budget, units in costs)
        )

    def lacking(self, decided: Sequence[tuple[str, Reason]]) -> dict[str, int]:
        """Budget -> units that the messages blocked for lack of budget ask for, the most of one."""
        most: dict[str, int] = {}
        for name, reason in decided:
            if reason is Reason.BUDGET:
                for budget, units in self.costs[name]:
                    most[budget.name] = max(units, most.get(budget.name, 0))
        return most

    def charges(self, candidates: Sequence[str], action: str | None) -> tuple[Charge, ...]:
        """What a decision depends on, and what its action takes."""
        needed: dict[str, int] = {}
        for name in candidates:
            if not self.catalog.messages[name].transactional:
                for budget, units in self.costs[name]:
                    needed[budget.name] = max(units, needed.get(budget.name, 0))
        spent = {} if action is None else {b.name: units for b, units in self.costs[action]}
        return tuple(
            Charge(name, needed.get(name, 0), spent.get(name, 0)) for name in {**needed, **spent}
        )

    def bids(self, decision: Decision) -> dict[str, Bid | None]:
        """Budget -> what the decision would have given for it; None where it was used up."""
        found: dict[str, Bid | None] = dict.fromkeys(self.lacking(decision.blocked))
        columns = decision.forecasts
        priced = [
            (k, {b.name: units for b, units in self.costs[name]})
            for k, name in enumerate(decision.candidates)
            if not self.catalog.messages[name].transactional
        ]
        for budget in {name for _, costs in priced for name in costs} - set(found):
            drawing = {k: costs[budget] for k, costs in priced if costs.get(budget)}
            others = [columns.net[k] for k in range(len(columns.net)) if k not in drawing]
            if not drawing:
                continue
            best = max(drawing, key=lambda k: columns.net[k])
            units, price = drawing[best], self.prices.get(budget, 0.0)
            worth = columns.net[best] + units * price - max([0.0, *others])
            expected = sum(float(columns.propensity[k]) * units for k, units in drawing.items())
            found[budget] = Bid(float(worth) / units, units, expected)
        return found

    def _price(self, message: str) -> float:
        return sum(units * self.prices.get(b.name, 0.0) for b, units in self.costs[message])
