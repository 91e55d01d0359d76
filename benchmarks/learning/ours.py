"""Forbear in a simulated world: the engine's own `decide` and `Learner`, in one process.

What the service does with streams and deadlines is done here with a heap: a negative is taught in
slices as they fall due, a click with the next of them, an unsubscribe on arrival, each only within
its window; burden, the time of the last send and the mean gap are kept as the engine keeps them,
with the half-life it believes in. A new snapshot is published after every step. Limit: no caps and
no deferred sends.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from engine.catalog import Catalog
from engine.catalog import Message as CatalogMessage
from engine.decision import Decision, Request, UserState
from engine.learning import Learner, Lesson, Priors
from engine.outcome import REST, HeadName, Slice, Windows, slices
from engine.policy import Drawn, Model, Policy, decide
from engine.rationing import Rations
from engine.worlds.world import ABSTAIN_INDEX, CLICK, Batch, Events, Ints, World

DAY_S = 86400.0


@dataclass(slots=True)
class Open:
    """A send whose labels are not settled yet."""

    at: float
    teaching: bytes
    slices: int
    """How many are still to fall due."""
    taught: dict[HeadName, float] = field(
        default_factory=lambda: {"click": 0.0, "unsubscribe": 0.0}
    )
    settled: set[HeadName] = field(default_factory=set)
    clicked_at: float | None = None
    """Of a click that waits for the next slice."""
    counted: bool = False
    """Its context has been counted by a first lesson."""

    def lesson(self, head: HeadName, label: int, weight: float, at: float) -> Lesson:
        """The next lesson of this send."""
        first, self.counted = not self.counted, True
        return Lesson(head, label, weight, self.taught[head], at - self.at, first, self.teaching)


class Feedback:
    """Turns sends and events into lessons, in order of time (seconds)."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._open: dict[tuple[int, int], Open] = {}
        self._due: list[tuple[float, int, tuple[int, int], Slice]] = []
        self._count = 0

    def sent(self, key: tuple[int, int], at: float, teaching: bytes, due: Sequence[Slice]) -> None:
        """A send of decision `key` (user, step)."""
        self._open[key] = Open(at, teaching, len(due))
        for one in due:
            self._count += 1
            heapq.heappush(self._due, (one.due, self._count, key, one))

    def lessons(
        self, events: Sequence[tuple[float, HeadName, tuple[int, int]]], until: float
    ) -> list[Lesson]:
        """All lessons before `until`; events are (arrival, head, decision), in order of arrival."""
        taught: list[Lesson] = []
        for at, head, key in events:
            taught += self._silence(at)
            send = self._open.get(key)
            if send is not None and head not in send.settled and at < send.at + self._window(head):
                send.settled.add(head)
                if head == "click" and send.taught["click"] < 1.0 - REST:
                    send.clicked_at = at
                else:
                    taught.append(send.lesson(head, 1, 1.0, at))
        return taught + self._silence(until)

    def _window(self, head: HeadName) -> float:
        return self._windows.click if head == "click" else self._windows.unsubscribe

    def _silence(self, until: float) -> list[Lesson]:
        """What the slices that fall due before `until` teach."""
        taught = []
        while self._due and self._due[0][0] < until:
            due, _, key, one = heapq.heappop(self._due)
            send = self._open[key]
            if one.head == "click" and send.clicked_at is not None:
                taught.append(send.lesson("click", 1, 1.0, send.clicked_at))
                send.clicked_at = None
            elif one.head not in send.settled:
                taught.append(send.lesson(one.head, 0, one.mass, due))
                send.taught[one.head] += one.mass
            send.slices -= 1
            if not send.slices:
                del self._open[key]
        return taught


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
        self._policy, self._windows = policy, windows or Windows()
        self._rng = np.random.default_rng([seed, 2])
        self._ids = tuple(message.id for message in world.messages)
        self._place = {message_id: k for k, message_id in enumerate(self._ids)}
        catalog = Catalog(
            1, {m.id: CatalogMessage(id=m.id, attributes=m.attributes) for m in world.messages}
        )
        self.learner = Learner(self._priors)
        self._model = Model(policy, self.learner.snapshot(0), catalog)
        self._feedback = Feedback(self._windows)
        self._states: dict[int, UserState] = {}
        self.decisions: list[Decision] | None = None
        """Where decisions are kept, if somebody wants them."""

    def act(self, batch: Batch) -> Ints:
        """Decide for everybody, and open what was sent."""
        now = batch.at * DAY_S
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
        delays = self._model.snapshot.delays
        due = slices(now, "click", delays.click, self._windows)
        due += slices(now, "unsubscribe", delays.unsubscribe, self._windows)
        self._feedback.sent((user, step), now, drawn.teaching, due)
        return self._place[decision.action]

    def observe(self, events: Events, until: float) -> None:
        """Learn what is known by then, and publish."""
        arrived: list[tuple[float, HeadName, tuple[int, int]]] = [
            (at * DAY_S, "click" if kind == CLICK else "unsubscribe", (user, step))
            for kind, user, step, at in zip(
                events.kind.tolist(),
                events.user.tolist(),
                events.step.tolist(),
                events.at.tolist(),
                strict=True,
            )
        ]
        lessons = self._feedback.lessons(arrived, until * DAY_S)
        # A world asks about everybody at the same instant, so that all its clicks would be taught
        # before the first silence. Senders meet their users all day long.
        for i in self._rng.permutation(len(lessons)):
            self.learner.learn(lessons[i])
        version = self._model.snapshot.version + 1
        self._model = replace(self._model, snapshot=self.learner.snapshot(version))

    @property
    def catalog(self) -> Catalog:
        """The world's messages."""
        return self._model.catalog

    def ration(self, rations: Rations) -> None:
        """Take up budgets and their prices."""
        self._model = replace(self._model, rations=rations)
