"""Sends and what came of them as the engine's lessons, each when the engine's rule says so.

What the service does with streams and deadlines is done here with a heap (see `engine.outcome`): a
negative is taught in slices as they fall due, a click with the next of them, an unsubscribe on
arrival, each only within its window.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from numpy.random import Generator

from benchmarks.learning.ledger import DAY
from engine.learning import Learner, Lesson
from engine.outcome import REST, DelayLaws, HeadName, Slice, Windows, slices
from engine.worlds.world import CLICK, Events


@dataclass(slots=True)
class _Open:
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
        self._open: dict[tuple[int, int], _Open] = {}
        self._due: list[tuple[float, int, tuple[int, int], Slice]] = []
        self._count = 0

    def sent(self, key: tuple[int, int], at: float, teaching: bytes, laws: DelayLaws) -> None:
        """A send of decision `key` (user, step)."""
        due = slices(at, "click", laws.click, self._windows)
        due += slices(at, "unsubscribe", laws.unsubscribe, self._windows)
        self._open[key] = _Open(at, teaching, len(due))
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


def arrivals(events: Events) -> list[tuple[float, HeadName, tuple[int, int]]]:
    """A world's news (days) as (arrival in seconds, head, decision), in the same order."""
    columns = (events.kind, events.user, events.step, events.at)
    return [
        (at * DAY, "click" if kind == CLICK else "unsubscribe", (user, step))
        for kind, user, step, at in zip(*(c.tolist() for c in columns), strict=True)
    ]


def teach(learner: Learner, lessons: Sequence[Lesson], rng: Generator) -> None:
    """Apply one step's lessons in any order.

    A world asks about everybody at the same instant, so that all its clicks would be taught before
    the first silence. Senders meet their users all day long.
    """
    for i in rng.permutation(len(lessons)):
        learner.learn(lessons[i])
