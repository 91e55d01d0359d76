"""A user's recent sends: what caps, gaps and cooldowns are judged by.

Every send counts from the moment it was decided (or, when somebody else sent it, reported), until
it is taken back. Entries older than `HISTORY_S` are dropped whenever one is added. Limit: of a user
with more than `MOST_SENDS` sends in that time the oldest are forgotten, so that one runaway user
cannot make every decision about them slow; user caps stay exact, a cooldown or a tag cap may then
end early.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

DAY_S: Final = 86_400.0
LONGEST_WINDOW_S: Final = 31 * DAY_S
"""No cap, gap or cooldown can be longer: a calendar month."""
HISTORY_S: Final = LONGEST_WINDOW_S + DAY_S
"""The day more is for senders whose clocks disagree: what one drops, no other still needs."""
MOST_SENDS: Final = 1_000
BY_OTHERS: Final = ""
"""Stands for the message of a send that was not decided here; no message has this id."""


class Send(msgspec.Struct, frozen=True, array_like=True):
    """One send, as it is stored."""

    at: float
    message: str
    tags: tuple[str, ...]
    mark: int
    """The version it gave its user's state: no two sends of a user share it."""


History: TypeAlias = tuple[Send, ...]


def with_send(history: Sequence[Send], send: Send, now: float) -> History:
    """The history after one more send at `now`."""
    kept = [earlier for earlier in history if earlier.at > now - HISTORY_S]
    return (*kept, send)[-MOST_SENDS:]


def taken_out(history: Sequence[Send], mark: int) -> History:
    """The history had the send of this mark not happened; as it is if that was dropped."""
    return tuple(send for send in history if send.mark != mark)
