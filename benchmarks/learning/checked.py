"""Forbear as run by a team that asks its log for the half-life of the burden.

What it does by hand is `forbear half-life LOG`: the settled sends so far are compared under a few
half-lives (`engine.half_life`), and one that is clearly better is used from then on. It asks after
two weeks, and again whenever twice the time has passed. Nothing else changes: the burdens that
users carry fade at the new pace, and the heads go on from their weights.
"""

from typing import Final

from benchmarks.learning.feedback import arrivals
from benchmarks.learning.ledger import DAY
from benchmarks.learning.ours import ForbearPolicy
from engine.decision import Decision
from engine.half_life import Send, compare
from engine.outcome import Windows
from engine.policy import Policy
from engine.worlds.population import Population
from engine.worlds.world import Batch, Events, Ints

FIRST_CHECK: Final = 14.0
"""Days."""


class Checked:
    """`policy` in a world, with a half-life that is chosen anew from its own sends."""

    def __init__(self, world: Population, seed: int, policy: Policy, windows: Windows) -> None:
        self._inner = ForbearPolicy(world, seed, policy, windows=windows)
        self._inner.decisions = []
        self._half_life, self._windows = policy.half_life, windows
        self._sends: dict[tuple[int, int], Decision] = {}
        self._clicked: set[tuple[int, int]] = set()
        self._left: set[tuple[int, int]] = set()
        self._check_at = FIRST_CHECK

    def act(self, batch: Batch) -> Ints:
        """Decide, and keep what was sent."""
        actions = self._inner.act(batch)
        drawn, self._inner.decisions = self._inner.decisions or [], []
        for user, decision in zip(batch.users.tolist(), drawn, strict=True):
            if decision.action is not None:
                self._sends[user, batch.step] = decision
        return actions

    def observe(self, events: Events, until: float) -> None:
        """Learn; when it is time, compare half-lives."""
        for _, head, key in arrivals(events):
            (self._clicked if head == "click" else self._left).add(key)
        self._inner.observe(events, until)
        if until >= self._check_at:
            self._check_at *= 2
            self._half_life = compare(self._settled(until * DAY), self._half_life).chosen
            self._inner.believe(self._half_life)

    def _settled(self, now: float) -> list[Send]:
        """The sends whose windows have closed, in order of time."""
        catalog = self._inner.catalog
        window = max(self._windows.click, self._windows.unsubscribe)
        return [
            Send(
                decision.user_id,
                decision.at,
                decision.context,
                catalog.hashes(catalog.rows([decision.action or ""]))[0],
                key in self._clicked,
                key in self._left,
            )
            for key, decision in self._sends.items()
            if decision.at + window <= now
        ]
