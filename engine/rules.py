"""The team's rules for every send, as they are written in the settings.

A cap counts all sends of the last `window` seconds at the moment of asking: it rolls with time and
knows no calendar, so there is no midnight at which everybody's slots come back at once.
"""

import re
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from engine.budget import Budget
from engine.decision import Context
from engine.errors import BadInput
from engine.history import LONGEST_WINDOW_S
from engine.quiet_hours import QuietHours
from engine.week import Week

TAG: Final = r"[A-Za-z0-9_.-]{1,64}"
TAG_ALONE: Final = rf"^{TAG}$(?!\n)"
"""For a schema: `$` alone would let a line end follow."""
MOST_PER_CAP: Final = 100
TOLERANCE: Final = "tolerance_per_week"
"""The context key of the sends a week that the user himself wants."""
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_UTC: Final = ZoneInfo("UTC")
_CAP: Final = re.compile(r"(\d{1,9})/(\d{1,9})([smhd])")


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `limit` sends in any `window` seconds."""

    limit: int
    window: float

    @property
    def per_week(self) -> float:
        """Sends a week."""
        return self.limit * 7 * _UNITS["d"] / self.window

    def __str__(self) -> str:
        """As it is written, in the largest unit that fits."""
        unit = next(u for u in "dhms" if self.window % _UNITS[u] == 0.0)
        return f"{self.limit}/{self.window / _UNITS[unit]:.0f}{unit}"


@dataclass(frozen=True, slots=True)
class TagCap:
    """A cap on the messages that carry a tag."""

    tag: str
    cap: Cap


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every message but the transactional; the default is no rule at all."""

    paused: bool = False
    """The kill switch: nothing is sent, not even what is transactional."""
    min_gap_s: float = 0.0
    """Least time between any two sends to one user."""
    caps: tuple[Cap, ...] = ()
    tag_caps: tuple[TagCap, ...] = ()
    usual_caps: tuple[Cap, ...] = ()
    """Besides `caps`, for users whose arm is business as usual."""
    budgets: tuple[Budget, ...] = ()
    """Of all messages together."""
    week: Week | None = None
    """The days of the user's week on which sends are allowed; None: every day."""
    quiet_hours: QuietHours | None = None
    zone: ZoneInfo = _UTC
    """Of users whose request names none."""


def parse_caps(text: str) -> tuple[Cap, ...]:
    """Caps as written, e.g. "3/7d 1/24h"; nothing written is none."""
    return tuple(_cap(part, text) for part in text.split())


def with_tolerance(context: Context, tolerance: Cap | None) -> Context:
    """The context with what the user said of himself: evidence beside being a cap.

    Absent where he said nothing, which the heads see as missing; what a sender claims under the
    same name does not count.
    """
    said = {} if tolerance is None else {TOLERANCE: tolerance.per_week}
    if not said and TOLERANCE not in context:
        return context
    return {key: value for key, value in context.items() if key != TOLERANCE} | said


def parse_cap(text: str) -> Cap:
    """One cap as written, e.g. "2/7d"."""
    return _cap(text, text)


def parse_tag_caps(text: str) -> tuple[TagCap, ...]:
    """Caps per tag as written, e.g. "offer:1/7d news:3/7d"; nothing written is none."""
    caps = []
    for part in text.split():
        tag, colon, cap = part.partition(":")
        if not colon or not re.fullmatch(TAG, tag):
            raise BadInput(
                f"tag cap {part[:80]!r} cannot be read; expected a tag, a colon and a cap, such "
                "as offer:1/7d: correct it"
            )
        caps.append(TagCap(tag, _cap(cap, text)))
    return tuple(caps)


def _cap(part: str, text: str) -> Cap:
    found = _CAP.fullmatch(part)
    limit, window = (int(found[1]), int(found[2]) * _UNITS[found[3]]) if found else (0, 0.0)
    if not (1 <= limit <= MOST_PER_CAP and 0 < window <= LONGEST_WINDOW_S):
        raise BadInput(
            f"cap {part[:40]!r} of {text[:80]!r} cannot be used; expected a number of sends from 1 "
            f"to {MOST_PER_CAP}, a slash, and a time of at most 31 days, such as 3/7d or 1/24h: "
            "correct it (to stop every send, pause)"
        )
    return Cap(limit, window)
