"""Windows: the stretches of time within which a message may be sent, one after the other."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Annotated, TypeAlias

import msgspec

Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From `starts` up to, not including, `ends`."""

    starts: Moment
    ends: Moment


def complaint(windows: Sequence[Window]) -> str | None:
    """What is wrong with them, in words; None if nothing is."""
    for window in windows:
        if window.starts >= window.ends:
            starts, ends = window.starts.isoformat(), window.ends.isoformat()
            return (
                f"a window that starts at {starts} and ends at {ends}; expected an end after the "
                "start: correct one of them"
            )
    for before, after in pairwise(windows):
        if after.starts < before.ends:
            starts, ends = after.starts.isoformat(), before.ends.isoformat()
            return (
                f"a window that starts at {starts}, before the one above it ends at {ends}; "
                "expected one after the other: correct them, or make one of both"
            )
    return None


def opens_at(windows: Sequence[Window], now: float) -> float | None:
    """When the window of `now`, or else the next, starts (seconds since the epoch); None: never."""
    return next((w.starts.timestamp() for w in windows if now < w.ends.timestamp()), None)
