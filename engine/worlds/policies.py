"""Reference policies that know the truth but do not look ahead.

What a perfectly informed team would run with simple means: the yardstick for learned policies of
the same kind, which have the probabilities still to find. Only a policy that prices patience
(`optimum.Optimal`) is above them by design.
"""

import numpy as np

from engine.worlds.chance import Kind, uniforms
from engine.worlds.world import ABSTAIN_INDEX, Batch, Events, Floats, Ints, Policy, World


class _Unlearning:
    """A policy that ignores what it is told."""

    def observe(self, events: Events, until: float) -> None:
        """Nothing to learn."""


class Never(_Unlearning):
    """Silence."""

    def act(self, batch: Batch) -> Ints:
        """Abstain for everybody."""
        return np.full(len(batch.users), ABSTAIN_INDEX)


class Random(_Unlearning):
    """A message at every decision, whichever."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def act(self, batch: Batch) -> Ints:
        """Each available message with equal probability."""
        allowed = np.flatnonzero(batch.available)
        drawn = uniforms(self._seed, batch.users, batch.step, Kind.POLICY)
        return allowed[(drawn * len(allowed)).astype(np.int64)]


class AlwaysBest(_Unlearning):
    """A message at every decision, the one that is most likely to be clicked."""

    def __init__(self, world: World) -> None:
        self._world = world

    def act(self, batch: Batch) -> Ints:
        """Largest p_click."""
        return _best(_clicks(self._world, batch))


class FrequencyCap(_Unlearning):
    """The most likely click, but at most `sends` to one user within any `days` days."""

    def __init__(self, world: World, sends: int, days: float) -> None:
        self._world, self._days = world, days
        self._last = np.full((world.n_users, sends), -np.inf)  # times of sends, oldest first

    def act(self, batch: Batch) -> Ints:
        """Largest p_click where the oldest of the last sends is `days` old."""
        free = batch.at - self._last[batch.users, 0] >= self._days - 1e-9
        wanted = np.where(free, _best(_clicks(self._world, batch)), ABSTAIN_INDEX)
        actions = within_budget(self._world, batch, wanted)
        sent_to = batch.users[actions != ABSTAIN_INDEX]
        self._last[sent_to] = np.roll(self._last[sent_to], -1, axis=1)
        self._last[sent_to, -1] = batch.at
        return actions


class Greedy(_Unlearning):
    """A message where it pays at once, an unsubscribe and a send having fixed prices.

    scaled: the prices are multiples of the user's value; otherwise they are the same for all.
    """

    def __init__(
        self, world: World, leave_cost: float, flat_cost: float, scaled: bool = False
    ) -> None:
        self._world, self._leave_cost, self._flat_cost = world, leave_cost, flat_cost
        self._scaled = scaled

    def act(self, batch: Batch) -> Ints:
        """Largest v p_click - p_unsubscribe leave_cost - flat_cost - send cost, if positive."""
        asked = (batch.users, batch.burden, batch.step, batch.moment)
        leaves = self._world.unsubscribe_probability(*asked)
        value = batch.values[:, None]
        prices = leaves * self._leave_cost + self._flat_cost
        gain = value * _clicks(self._world, batch)
        net = gain - prices * (value if self._scaled else 1.0) - self._world.send_cost
        return np.where(net.max(axis=1) > 0.0, _best(net), ABSTAIN_INDEX)


class Rationed:
    """Another policy within a world's daily budget. It must not rely on its answers being sent."""

    def __init__(self, policy: Policy, world: World) -> None:
        self._policy, self._world = policy, world

    def act(self, batch: Batch) -> Ints:
        """The policy's answers, cut to the budget."""
        return within_budget(self._world, batch, self._policy.act(batch))

    def observe(self, events: Events, until: float) -> None:
        """Pass on what is known."""
        self._policy.observe(events, until)


def within_budget(world: World, batch: Batch, actions: Ints) -> Ints:
    """Silence for those who come after the last slot, in an order drawn afresh for each step.

    Assumes one step a day, as worlds with a budget have. A policy that remembers its sends calls
    this itself, before it remembers.
    """
    if world.daily_sends is None:
        return actions
    sends = np.flatnonzero(actions != ABSTAIN_INDEX)
    turn = uniforms(0, batch.users[sends], batch.step, Kind.BUDGET)
    cut = actions.copy()
    cut[sends[turn.argsort()[world.daily_sends :]]] = ABSTAIN_INDEX
    return cut


def _best(score: Floats) -> Ints:
    """Column of the largest score in each row: (n, K) -> (n,)."""
    column: Ints = score.argmax(axis=1)
    return column


def _clicks(world: World, batch: Batch) -> Floats:
    """Click probabilities, -inf where a message is not available: (n, K)."""
    clicks = world.click_probability(batch.users, batch.burden, batch.step, batch.moment)
    clicks[:, ~batch.available] = -np.inf
    return clicks
