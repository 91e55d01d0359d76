"""A daily budget of sends, first come, first served: as a service would meet it.

Users ask in an order drawn afresh for each step, a few at a time, until the slots are gone; those
who come later are not asked about. No policy's send is ever refused, so what it believes it has
sent has been sent.
"""

from dataclasses import replace

import numpy as np

from engine.worlds.chance import Kind, uniforms
from engine.worlds.population import Population
from engine.worlds.world import ABSTAIN_INDEX, Batch, Events, Ints, Policy


class FirstCome:
    """Another policy within a world's daily budget; assumes one step a day."""

    def __init__(self, world: Population, policy: Policy, seed: int) -> None:
        if world.daily_sends is None:
            raise ValueError(f"world {world.name!r} has no daily budget; use the policy as it is")
        self._slots, self._policy, self._seed = world.daily_sends, policy, seed

    def act(self, batch: Batch) -> Ints:
        """The policy's answers to those who come in time, silence for the rest."""
        actions = np.full(len(batch.users), ABSTAIN_INDEX)
        order = uniforms(self._seed, batch.users, batch.step, Kind.BUDGET).argsort()
        left, start = self._slots, 0
        while left and start < len(order):
            rows = order[start : start + left]
            actions[rows] = self._policy.act(part(batch, rows))
            left -= int((actions[rows] != ABSTAIN_INDEX).sum())
            start += len(rows)
        return actions

    def observe(self, events: Events, until: float) -> None:
        """Pass on what is known."""
        self._policy.observe(events, until)


def part(batch: Batch, rows: Ints) -> Batch:
    """Some users of a batch."""
    return replace(
        batch,
        users=batch.users[rows],
        context={key: column[rows] for key, column in batch.context.items()},
        burden=batch.burden[rows],
        values=batch.values[rows],
        moment=batch.moment[rows],
    )
