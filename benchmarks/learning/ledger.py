"""What a learner is told, and when: sends wait here until their outcome counts as known.

In worlds without delays that is at once. Where news travels, a peer that learns from whole rewards
waits `WAIT_DAYS`: nine in ten outcomes have come by then, and what comes later is lost to it; the
two heads learn in slices instead, by the engine's own rule (`feedback`), and lose nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from engine.outcome import Windows
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
