"""What a learner is told, and when: sends wait here until their outcome counts as known.

In worlds without delays that is at once. Where news travels, a peer that learns from whole rewards
waits `WAIT_DAYS`: nine in ten outcomes have come by then, and what comes later is lost to it; the
two heads learn in slices instead, by the engine's own rule, and lose nothing.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from engine.learning import Learner, Lesson
from engine.outcome import REST, DelayLaws, HeadName, Windows, slices
from engine.worlds.population import Population
from engine.worlds.world import AT_ONCE, CLICK, Events

DAY = 86_400.0
WAIT_DAYS = 2.0

T = TypeVar("T")


def told_at_once(world: Population) -> bool:
    """Whether all news of this world is immediate."""
    return world.click_delay == AT_ONCE and world.unsubscribe_delay == AT_ONCE


def windows_of(world: Population) -> Windows:
    """The engine's attribution windows; a second or two where no news is late."""
    return Windows(click=1.0, unsubscribe=2.0, grace=1.0) if told_at_once(world) else Windows()


@dataclass(slots=True)
class _Open(Generic[T]):
    """A send whose outcome is not known yet."""

    at: float
    what: T
    clicked: bool = False
    left: bool = False


class Ledger(Generic[T]):
    """Sends with whatever their learner wants to remember; each is closed once, in order."""

    def __init__(self, world: Population) -> None:
        self._wait = 0.0 if told_at_once(world) else WAIT_DAYS
        self._open: dict[tuple[int, int], _Open[T]] = {}

    def open(self, user: int, step: int, at: float, what: T) -> None:
        """Remember a decision made at `at` (days)."""
        self._open[user, step] = _Open(at, what)

    def close(self, events: Events, until: float) -> Iterator[tuple[T, bool, bool]]:
        """What was remembered, whether it was clicked, whether the user left."""
        for kind, user, step in zip(
            events.kind.tolist(), events.user.tolist(), events.step.tolist(), strict=True
        ):
            if (send := self._open.get((user, step))) is not None:
                send.clicked |= kind == CLICK
                send.left |= kind != CLICK
        due = [key for key, send in self._open.items() if send.at + self._wait <= until]
        for send in [self._open.pop(key) for key in due]:
            yield send.what, send.clicked, send.left


@dataclass(slots=True)
class _Labels:
    """A send that still teaches; times in seconds."""

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


class Lessons:
    """Sends as the engine's lessons, each when the engine's rule (`engine.outcome`) says so."""

    def __init__(self, learner: Learner, windows: Windows) -> None:
        self._learner, self._windows = learner, windows
        self._open: dict[tuple[int, int], _Labels] = {}
        self._due: list[tuple[float, int, tuple[int, int], HeadName, float]] = []
        self._count = 0

    def sent(self, key: tuple[int, int], at: float, teaching: bytes, laws: DelayLaws) -> None:
        """Remember the send of decision `key` (user, step), made at `at` (days)."""
        at *= DAY
        due = slices(at, "click", laws.click, self._windows)
        due += slices(at, "unsubscribe", laws.unsubscribe, self._windows)
        self._open[key] = _Labels(at, teaching, len(due))
        for one in due:
            self._count += 1
            heapq.heappush(self._due, (one.due, self._count, key, one.head, one.mass))

    def news(self, events: Events, until: float) -> None:
        """Teach what is known by `until` (days), in order of time."""
        columns = (events.kind, events.user, events.step, events.at * DAY)
        for kind, user, step, at in zip(*(c.tolist() for c in columns), strict=True):
            self._silence(at)
            head: HeadName = "click" if kind == CLICK else "unsubscribe"
            send = self._open.get((user, step))
            if send is not None and head not in send.settled and at < self._end(send, head):
                send.settled.add(head)
                if head == "click" and send.taught["click"] < 1.0 - REST:
                    send.clicked_at = at
                else:
                    self._teach(send, head, 1, 1.0, at)
        self._silence(until * DAY)

    def _end(self, send: _Labels, head: HeadName) -> float:
        windows = self._windows
        return send.at + (windows.click if head == "click" else windows.unsubscribe)

    def _silence(self, until: float) -> None:
        while self._due and self._due[0][0] < until:
            due, _, key, head, mass = heapq.heappop(self._due)
            send = self._open[key]
            if head == "click" and send.clicked_at is not None:
                self._teach(send, head, 1, 1.0, send.clicked_at)
                send.clicked_at = None
            elif head not in send.settled:
                self._teach(send, head, 0, mass, due)
                send.taught[head] += mass
            send.slices -= 1
            if not send.slices:
                del self._open[key]

    def _teach(self, send: _Labels, head: HeadName, label: int, weight: float, at: float) -> None:
        first, send.counted = not send.counted, True
        taught, delay = send.taught[head], at - send.at
        self._learner.learn(Lesson(head, label, weight, taught, delay, first, send.teaching))
