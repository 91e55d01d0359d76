"""Policies that learn with the engine's own two heads and decide with the engine's own `decide`,
but with asserted costs instead of a learned price of patience.

    net(m) = p_click - p_unsubscribe L - F - c_send

Everything is in clicks of the user: a team that knows its customers' values scales its costs by
them; the send cost, which hardly matters, is taken at the mean value. With L = F = 0 the best
message always goes out; F alone is a gain threshold; a least gap between two sends is a frequency
cap. Tuned per world, that is what a good team would run.
"""

from typing import Final

import numpy as np

from benchmarks.learning.feedback import Feedback, arrivals, teach
from benchmarks.learning.ledger import DAY, windows_of
from engine.catalog import Catalog
from engine.catalog import Message as CatalogMessage
from engine.decision import Decision, Request, UserState
from engine.exploration import Thompson
from engine.learning import Learner, Priors, teaching
from engine.patience import ConstantPatience
from engine.policy import Drawn, Model, Policy, decide
from engine.response import Prior
from engine.worlds.population import Population
from engine.worlds.world import ABSTAIN_INDEX, Batch, Events, Ints

OURS: Final = Thompson()


def asserted(
    world: Population, leave: float, flat: float, caution: float, scale: float = OURS.scale
) -> Policy:
    """Costs L and F; with `caution` 1 all of the engine's ways to hold back, with 0 none.

    Those are its abstain reward, its pessimism, and the small noise with which silence is weighed,
    as wide as the engine's own whatever the `scale` messages are drawn with: a flat cost that is
    above all gains believed at first would never send, and so never learn.
    """
    haste = OURS.scale * (OURS.haste or 1.0) / scale if caution else None
    return Policy(
        explorer=Thompson(scale, haste),
        patience=ConstantPatience(leave, flat),
        rho=caution,
        pessimism=Policy().pessimism * caution,
        send_cost=world.send_cost / float(world.values.mean()),
        half_life=world.half_life * DAY,
    )


def priors(click_rate: float) -> Priors:
    """The engine's priors, but for the click rate expected before the first lesson."""
    return Priors(click=Prior(base_rate=click_rate))


class TwoHeads:
    """The engine as a policy of a world; `gap` is the least number of days between two sends."""

    def __init__(
        self, world: Population, seed: int, policy: Policy, beliefs: Priors, gap: float = 0.0
    ) -> None:
        self._world, self._policy, self._gap = world, policy, gap
        self._rng = np.random.default_rng([seed, 7])
        self._ids = tuple(message.id for message in world.messages)
        catalog = {m.id: CatalogMessage(id=m.id, attributes=m.attributes) for m in world.messages}
        self._learner = Learner(beliefs)
        self._model = Model(policy, self._learner.snapshot(0), Catalog(1, catalog))
        self._published = 0.0
        self._feedback = Feedback(windows_of(world))
        self._last = np.full(world.n_users, -np.inf)

    def act(self, batch: Batch) -> Ints:
        """Decide for those whom the cap leaves free."""
        actions = np.full(len(batch.users), ABSTAIN_INDEX)
        free = np.flatnonzero(batch.at - self._last[batch.users] >= self._gap - 1e-9)
        if not free.size:
            return actions
        drawn = self.decided(batch, free)
        actions[free] = [self._position(one.decision) for one in drawn]
        for i, one in zip(free.tolist(), drawn, strict=True):
            if actions[i] != ABSTAIN_INDEX:
                self.sent(int(batch.users[i]), batch, one.teaching)
        return actions

    def decided(self, batch: Batch, rows: Ints) -> list[Drawn]:
        """The engine's answers for these rows of a batch; nothing is remembered."""
        now = batch.at * DAY
        allowed = tuple(self._ids[k] for k in np.flatnonzero(batch.available))
        contexts, users = batch.contexts(), batch.users[rows].tolist()
        requests = [
            Request(f"u{user}", contexts[i], allowed) for user, i in zip(users, rows, strict=True)
        ]
        states = [
            UserState(burden, now, last * DAY if last > -np.inf else None)
            for burden, last in zip(
                batch.burden[rows].tolist(), self._last[batch.users[rows]].tolist(), strict=True
            )
        ]
        names = [""] * len(requests)
        return decide(self._model, requests, states, names, now=now, rng=self._rng)

    def sent(self, user: int, batch: Batch, teaching: bytes) -> None:
        """Remember a send, to learn from it."""
        self._last[user] = batch.at
        delays = self._model.snapshot.delays
        self._feedback.sent((user, batch.step), batch.at * DAY, teaching, delays)

    def teaching(self, decision: Decision, message: int) -> bytes:
        """What this decision would teach, had it sent the message at that position."""
        catalog, encoder = self._model.catalog, self._model.snapshot.encoder
        row = catalog.hashes(catalog.rows([self._ids[message]]))[0]
        encoded = encoder.encode(decision.context)
        return teaching(encoded, decision.context, decision.burden, row)

    def observe(self, events: Events, until: float) -> None:
        """Learn, and publish a model once a day."""
        lessons = self._feedback.lessons(arrivals(events), until * DAY)
        teach(self._learner, lessons, self._rng)
        if until - self._published >= 0.9:
            self._published = until
            snapshot = self._learner.snapshot(self._model.snapshot.version + 1)
            self._model = Model(self._policy, snapshot, self._model.catalog)

    def _position(self, decision: Decision) -> int:
        return ABSTAIN_INDEX if decision.action is None else self._ids.index(decision.action)
