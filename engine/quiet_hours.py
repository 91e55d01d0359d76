"""Quiet hours: a window of the user's own wall clock in which nothing is sent.

The wall clock is what the user lives by, so it alone decides: where a change to or from
daylight-saving time skips or repeats an hour, the window is an hour shorter or longer that night.
The zone is the one the request names now; a user who travels takes the quiet hours along.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from engine.errors import BadInput

MINUTES: Final = 24 * 60
_WRITTEN: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` up to, not including, `end`; past midnight where `end` comes first."""

    start: int
    """Minutes after midnight."""
    end: int

    def hold(self, now: float, zone: ZoneInfo) -> bool:
        """Whether it is quiet at `now` (seconds since the epoch) for somebody in `zone`."""
        local = datetime.fromtimestamp(now, zone)
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def end_after(self, now: float, zone: ZoneInfo) -> float:
        """When the quiet hours that hold at `now` end, in seconds since the epoch.

        Minutes are counted one by one only where clocks change on the way: twice a year.
        """
        local = datetime.fromtimestamp(now, zone)
        minutes = (self.end - local.hour * 60 - local.minute) % MINUTES
        end = now + 60 * minutes - local.second - local.microsecond / 1e6
        if datetime.fromtimestamp(end, zone).utcoffset() == local.utcoffset():
            return end
        starts = now - local.second - local.microsecond / 1e6
        later = (starts + 60 * minute for minute in range(1, 2 * MINUTES))
        return next(at for at in later if not self.hold(at, zone))


def parse_quiet_hours(text: str) -> QuietHours | None:
    """Quiet hours as written, e.g. "21:00-08:00"; nothing written is none."""
    if not text.strip():
        return None
    found = _WRITTEN.fullmatch(text.strip())
    if found is None or found[1] + found[2] == found[3] + found[4]:
        raise BadInput(
            f"quiet hours {text[:40]!r} cannot be used; expected two different times of day such "
            "as 21:00-08:00: correct them"
        )
    start_hour, start_minute, end_hour, end_minute = map(int, found.groups())
    return QuietHours(start_hour * 60 + start_minute, end_hour * 60 + end_minute)


@lru_cache(maxsize=1024)
def time_zone(key: str) -> ZoneInfo:
    """The IANA zone of this name."""
    try:
        return ZoneInfo(key)
    except (OSError, ValueError, KeyError):  # no such file, a folder, a path: ZoneInfo raises each
        raise BadInput(
            f"time zone {key[:64]!r} is not known; expected an IANA name such as Europe/Berlin: "
            "correct it, or leave it out to use the configured one"
        ) from None
