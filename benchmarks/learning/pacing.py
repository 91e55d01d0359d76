"""A daily budget of sends at a price: the engine's own, and dual descent beside it.

Users ask in an order drawn afresh for each day, a twentieth of them at a time; between two such
parts the price is brought up to date, as a service does every second. Sends stop when the slots are
gone, so no policy's send is ever refused. Assumes one step a day.
"""

from typing import Final, Protocol

import numpy as np

from benchmarks.learning.ledger import DAY
from benchmarks.learning.ours import ForbearPolicy
from benchmarks.learning.rationed import part
from engine.budget import Budget
from engine.rationing import Rations
from engine.scarcity import Bid, Demand
from engine.worlds.chance import Kind, uniforms
from engine.worlds.population import Population
from engine.worlds.world import ABSTAIN_INDEX, Batch, Events, Ints

PARTS: Final = 20
NAME: Final = "team/sends/86400"


class Pricer(Protocol):
    """Sets the price of a slot."""

    def price(self, left: int, now: float) -> float:
        """Now, with so many slots left."""

    def note(self, bid: Bid | None, price: float, now: float) -> None:
        """A user asked."""

    def spend(self, units: int, now: float) -> None:
        """Slots were taken."""


class Pacing:
    """The engine's price, from the distribution of bids."""

    def __init__(self, slots: int) -> None:
        self._slots, self._demand = slots, Demand.of(DAY, 0.0)
        self.note, self.spend = self._demand.note, self._demand.spend

    def price(self, left: int, now: float) -> float:
        """As the service asks for it."""
        return self._demand.price(self._slots, left, now)


class Descent:
    """Dual mirror descent (Balseiro, Lu and Mirrokni, 2020), multiplicative.

    It is told the rate that the budget allows, which a service would have to estimate.
    """

    def __init__(self, rate: float, step: float) -> None:
        self._rate, self._step, self._price = rate, step, 0.05

    def price(self, left: int, now: float) -> float:  # noqa: ARG002 - as the other
        """Whatever it has come to."""
        return self._price

    def note(self, bid: Bid | None, price: float, now: float) -> None:  # noqa: ARG002
        """One step against what the law spends beyond the rate."""
        if bid is not None:
            self._price *= float(np.exp(self._step * (bid.expected - self._rate)))

    def spend(self, units: int, now: float) -> None:
        """Known from the law."""


class Priced:
    """Forbear within a world's daily budget, each slot at its price."""

    def __init__(self, world: Population, policy: ForbearPolicy, seed: int, pricer: Pricer) -> None:
        if world.daily_sends is None:
            raise ValueError(f"world {world.name!r} has no daily budget; use the policy as it is")
        self._slots, self._seed = world.daily_sends, seed
        self._part = max(1, world.n_users // PARTS)
        self._policy, self._pricer, self._send_cost = policy, pricer, world.send_cost
        self._budget = Budget(NAME, world.daily_sends, DAY)

    def act(self, batch: Batch) -> Ints:
        """Answers to all, silence once the slots are gone."""
        actions = np.full(len(batch.users), ABSTAIN_INDEX)
        order = uniforms(self._seed, batch.users, batch.step, Kind.BUDGET).argsort()
        left, start = self._slots, 0
        while left and start < len(order):
            rows = order[start : start + min(self._part, left)]
            actions[rows] = self._asked(part(batch, rows), left)
            left -= int((actions[rows] != ABSTAIN_INDEX).sum())
            start += len(rows)
        for _ in order[start:]:
            self._pricer.note(None, 0.0, batch.at * DAY)
        return actions

    def observe(self, events: Events, until: float) -> None:
        """Pass on what is known."""
        self._policy.observe(events, until)

    def _asked(self, batch: Batch, left: int) -> Ints:
        now = batch.at * DAY
        price = self._pricer.price(left, now)
        rations = Rations(self._policy.catalog, (self._budget,), self._send_cost, {NAME: price})
        self._policy.ration(rations)
        self._policy.decisions = []
        actions = self._policy.act(batch)
        for decision in self._policy.decisions:
            self._pricer.note(rations.bids(decision)[NAME], price, now)
        self._pricer.spend(int((actions != ABSTAIN_INDEX).sum()), now)
        return actions
