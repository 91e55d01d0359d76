"""Bringing in opt-outs that exist already: one user id a line, UTF-8, nothing else."""

import re
from pathlib import Path

from engine.errors import BadInput
from engine.rules import TAG
from service.clock import SystemClock
from service.person import LONGEST_ID
from service.serving import use_store
from service.settings import Settings
from service.store.protocol import Store

AT_ONCE = 1000


def import_file(settings: Settings, path: Path, channel: str | None) -> None:
    """Take every user of the file off a channel, or off all; the whole file is checked first."""
    if channel is not None and not re.fullmatch(TAG, channel):
        raise BadInput(
            f"channel {channel[:80]!r} cannot be used; expected 1 to 64 letters, digits, dots, "
            "hyphens or underscores: correct it; nothing was imported"
        )
    users = read_ids(path)

    async def bring_in(store: Store) -> None:
        now = SystemClock().now()
        parts = [users[start : start + AT_ONCE] for start in range(0, len(users), AT_ONCE)]
        new = sum([await store.import_unsubscribed(part, now, channel) for part in parts])
        where = "every channel" if channel is None else channel
        print(f"{len(users)} users are off {where}, {new} of them were not before.")

    use_store(settings, bring_in)


def read_ids(path: Path) -> list[str]:
    """The distinct user ids of a file, in order; `BadInput` names the first bad line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} cannot be read ({error}); expected a text file with one user id a line"
        ) from error
    users: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        user = line.strip()
        if len(user) > LONGEST_ID:
            raise BadInput(
                f"{path}, line {number}, has {len(user)} characters; expected one user id of at "
                f"most {LONGEST_ID}: correct it; nothing was imported"
            )
        if user:
            users[user] = None
    return list(users)
