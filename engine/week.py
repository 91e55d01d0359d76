"""Allowed days: on the other days of the user's own week nothing is sent.

A day is a day of the user's wall clock, whatever its length: where clocks change it has 23 or 25
hours. The zone is the one the request names now, as for quiet hours.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from engine.errors import BadInput

NAMES: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Week:
    """The days on which sends are allowed, Monday is 0; never empty."""

    days: frozenset[int]

    def allows(self, now: float, zone: ZoneInfo) -> bool:
        """Whether somebody in `zone` lives an allowed day at `now` (seconds since the epoch)."""
        return datetime.fromtimestamp(now, zone).weekday() in self.days

    def next_after(self, now: float, zone: ZoneInfo) -> float:
        """When the first allowed day after that of `now` begins, in seconds since the epoch."""
        today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
        ahead = next(n for n in range(1, 8) if (today.weekday() + n) % 7 in self.days)
        # Of a midnight lived twice the first; of one that clocks skip, the moment they skip it.
        return (today + timedelta(days=ahead)).replace(fold=0).timestamp()


def parse_days(text: str) -> Week | None:
    """Days as written, e.g. "mon tue wed thu fri"; nothing written is every day."""
    names = text.lower().split()
    if not names:
        return None
    unknown = [name for name in names if name not in NAMES]
    if unknown or len(set(names)) != len(names):
        raise BadInput(
            f"days {text[:60]!r} cannot be used; expected each at most once of {' '.join(NAMES)}, "
            "by blanks: correct them (to stop every send, pause)"
        )
    return Week(frozenset(NAMES.index(name) for name in names))
