"""Forbear in a simulated world: the engine's own `decide` and `Learner`, in one process.

Burden and the time of the last send are kept as the engine keeps them, with the half-life it
believes in. A new snapshot is published after every step. Limit: no caps and no deferred sends.
"""

from dataclasses import replace

import numpy as np

from benchmarks.learning.feedback import Feedback, arrivals, teach
from benchmarks.learning.ledger import DAY
from engine.catalog import Catalog
from engine.catalog import Message as CatalogMessage
from engine.decision import Decision, Request, UserState
from engine.learning import Learner, Priors
from engine.outcome import Windows
from engine.policy import Drawn, Model, Policy, decide
from engine.rationing import Rations
from engine.worlds.world import ABSTAIN_INDEX, Batch, Events, Ints, World


class ForbearPolicy:
    """The engine as a policy of a world."""

    def __init__(
        self,
        world: World,
        seed: int,
        policy: Policy,
        priors: Priors | None = None,
        windows: Windows | None = None,
    ) -> None:
        self._priors = priors or Priors()
        self._policy = policy
        self._rng = np.random.default_rng([seed, 2])
        self._ids = tuple(message.id for message in world.messages)
        self._place = {message_id: k for k, message_id in enumerate(self._ids)}
        catalog = Catalog(
            1, {m.id: CatalogMessage(id=m.id, attributes=m.attributes) for m in world.messages}
        )
        self.learner = Learner(self._priors)
        self._model = Model(policy, self.learner.snapshot(0), catalog)
        self._feedback = Feedback(windows or Windows())
        self._states: dict[int, UserState] = {}
        self.decisions: list[Decision] | None = None
        """Where decisions are kept, if somebody wants them."""

    def act(self, batch: Batch) -> Ints:
        """Decide for everybody, and open what was sent."""
        now = batch.at * DAY
        allowed = tuple(self._ids[k] for k in np.flatnonzero(batch.available))
        users = batch.users.tolist()
        requests = [
            Request(f"u{user}", context, allowed, value=value)
            for user, context, value in zip(
                users, batch.contexts(), batch.values.tolist(), strict=True
            )
        ]
        states = [self._states.get(user, UserState()) for user in users]
        drawn = decide(
            self._model,
            requests,
            states,
            [f"{user}-{batch.step}" for user in users],
            now=now,
            rng=self._rng,
        )
        if self.decisions is not None:
            self.decisions += [one.decision for one in drawn]
        return np.array(
            [self._taken(user, batch.step, one) for user, one in zip(users, drawn, strict=True)],
            np.int64,
        )

    def _taken(self, user: int, step: int, drawn: Drawn) -> int:
        """Book one decision; the position of its message."""
        decision, now = drawn.decision, drawn.decision.at
        before = self._states.get(user, UserState(first_seen_at=now))
        if decision.action is None:
            self._states.setdefault(user, before)
            return ABSTAIN_INDEX
        self._states[user] = UserState(decision.burden + 1.0, now, now, before.first_seen_at)
        self._feedback.sent((user, step), now, drawn.teaching, self._model.snapshot.delays)
        return self._place[decision.action]

    def observe(self, events: Events, until: float) -> None:
        """Learn what is known by then, and publish."""
        lessons = self._feedback.lessons(arrivals(events), until * DAY)
        teach(self.learner, lessons, self._rng)
        version = self._model.snapshot.version + 1
        self._model = replace(self._model, snapshot=self.learner.snapshot(version))

    @property
    def catalog(self) -> Catalog:
        """The world's messages."""
        return self._model.catalog

    def believe(self, half_life: float) -> None:
        """Reckon with another half-life of the burden (seconds) from now on."""
        policy = replace(self._model.policy, half_life=half_life)
        self._model = replace(self._model, policy=policy)

    def ration(self, rations: Rations) -> None:
        """Take up budgets and their prices."""
        self._model = replace(self._model, rations=rations)
