"""Reference policies that know the truth: what a perfectly informed but simple team would run.

None of them learns or looks ahead, so each is an upper bound for a learned policy of its kind. A
learned policy can beat them only by pricing patience.
"""

import numpy as np

from engine.worlds.chance import Kind, uniforms
from engine.worlds.world import ABSTAIN_INDEX, Batch, Events, Floats, Ints, World


class _Unlearning:
    """A policy that ignores what it is told."""

    def observe(self, events: Events, until: float) -> None:
        """Nothing to learn."""


class Never(_Unlearning):
    """Sends nothing."""

    def act(self, batch: Batch) -> Ints:
        return np.full(len(batch.users), ABSTAIN_INDEX)


class Random(_Unlearning):
    """Sends a message at every decision, each available one equally likely."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def act(self, batch: Batch) -> Ints:
        allowed = np.flatnonzero(batch.available)
        drawn = uniforms(self._seed, batch.users, batch.step, Kind.POLICY)
        return allowed[(drawn * len(allowed)).astype(np.int64)]


class AlwaysBest(_Unlearning):
    """Sends, at every decision, the message most likely to be clicked."""

    def __init__(self, world: World) -> None:
        self._world = world

    def act(self, batch: Batch) -> Ints:
        return _clicks(self._world, batch).argmax(axis=1)


class FrequencyCap(_Unlearning):
    """The most likely click, but at most `sends` within any `days` days to one user."""

    def __init__(self, world: World, sends: int, days: float) -> None:
        self._world, self._days = world, days
        self._recent = np.full((world.n_users, sends), -np.inf)  # times of the last sends, oldest first

    def act(self, batch: Batch) -> Ints:
        free = batch.at - self._recent[batch.users, 0] >= self._days - 1e-9
        sent_to = batch.users[free]
        self._recent[sent_to] = np.roll(self._recent[sent_to], -1, axis=1)
        self._recent[sent_to, -1] = batch.at
        return np.where(free, _clicks(self._world, batch).argmax(axis=1), ABSTAIN_INDEX)


class Greedy(_Unlearning):
    """Largest of  v p_click - p_unsubscribe x leave_cost - flat_cost - send cost,  if positive."""

    def __init__(self, world: World, leave_cost: float, flat_cost: float) -> None:
        self._world, self._leave_cost, self._flat_cost = world, leave_cost, flat_cost

    def act(self, batch: Batch) -> Ints:
        world = self._world
        leaves = world.unsubscribe_probability(batch.users, batch.burden, batch.step, batch.moment)
        gain = batch.values[:, None] * _clicks(world, batch)
        net = gain - leaves * self._leave_cost - self._flat_cost - world.send_cost
        best = net.argmax(axis=1)
        positive = net[np.arange(len(best)), best] > 0.0
        return np.where(positive, best, ABSTAIN_INDEX)


def _clicks(world: World, batch: Batch) -> Floats:
    """Click probabilities, -inf where a message is not available: (n, K)."""
    clicks = world.click_probability(batch.users, batch.burden, batch.step, batch.moment)
    clicks[:, ~batch.available] = -np.inf
    return clicks
