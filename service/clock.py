"""The only file that asks the time; everywhere else it is an argument.

Under the real clock a request's `at` is what the sender believes, and nothing follows from it.
Under the simulated clock the service's time is the largest `at` seen, so that a year can pass in a
minute; it needs one API worker, because each process has its own idea of what was seen.
"""

import time
from typing import Protocol

stopwatch = time.perf_counter
"""Seconds from an arbitrary start: for durations only."""
wait = time.sleep
"""Pause a program that has nothing to do until others have done something."""


class Clock(Protocol):
    """Seconds since the epoch, UTC."""

    @property
    def simulated(self) -> bool:
        """Whether requests move the time."""

    def now(self) -> float:
        """The service's time."""

    def arrival(self, at: float | None) -> float:
        """The service's time once a request that says `at` has arrived."""


class SystemClock:
    """The time of this machine."""

    simulated = False

    def now(self) -> float:
        """The time of this machine."""
        return time.time()

    def arrival(self, at: float | None) -> float:  # noqa: ARG002 (what the sender says is no clock)
        """The time of this machine, whatever the sender says."""
        return time.time()


class SimulatedClock:
    """The largest `at` seen so far; never steps back."""

    simulated = True

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """The largest `at` seen so far."""
        return self._now

    def arrival(self, at: float | None) -> float:
        """Move on to `at` if it is later; the time after that."""
        if at is not None and at > self._now:
            self._now = at
        return self._now
