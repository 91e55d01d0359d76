"""The configuration file, taken up while the service runs.

Every worker looks at the file twice a second, by its time, size and place: that also sees files
that are replaced or mounted, on every system, and needs no signal (SIGHUP already ends `forbear
serve`, as a closed terminal does). A file is read once two looks found it the same, so that one
still being written is not taken for a short one. The first worker to take a text up does it for
all: its hash is kept with it. So a restart undoes no change that was made over HTTP since; only a
file with another text does.

A file with a fault changes nothing. What is wrong is logged once and told at /v1/configuration.
"""

import asyncio
import hashlib
from pathlib import Path
from typing import TypeAlias

from service.clock import Clock
from service.configuration.changing import MOST_LOGGED, take_up_file
from service.configuration.checking import check
from service.configuration.command import read_bytes
from service.configuration.faults import BadConfiguration
from service.logs import logger
from service.store.protocol import Store

Stamp: TypeAlias = tuple[int, int, int] | None
"""Time of change, size and inode; None for a file that is not there."""


class WatchedFile:
    """One file; `faults` says what is wrong with it now."""

    def __init__(self, path: Path, store: Store, clock: Clock) -> None:
        self.path = path
        self.faults: list[str] = []
        self._store = store
        self._clock = clock
        self._seen: Stamp = (0, 0, 0)
        self._done: Stamp = (0, 0, 0)

    async def look(self) -> None:
        """Take the file up if it has changed and does not change any more."""
        stamp = _stamp(self.path)
        settled, self._seen = stamp == self._seen, stamp
        if settled and stamp != self._done:
            await self.take_up()

    async def take_up(self) -> None:
        """Take the file up as it is now; raises `StoreError`, and then nothing was done."""
        stamp = _stamp(self.path)
        await self._take_up()
        self._seen = self._done = stamp

    async def _take_up(self) -> None:
        try:
            text = await asyncio.to_thread(read_bytes, self.path)
            document = await asyncio.to_thread(check, text, self.path.name)
        except BadConfiguration as error:
            known, self.faults = self.faults, error.sentences
            if known != self.faults:
                logger().error("configuration file refused", faults=self.faults[:MOST_LOGGED])
            return
        digest = hashlib.sha256(text).hexdigest()
        await take_up_file(self._store, document, digest, self._clock.now())
        self.faults = []


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
