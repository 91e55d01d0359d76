"""Decisions that may have been stored although their sender was told `fallback`.

A commit that was cut off may have happened. Such a decision is disowned: as soon as the store
answers again it gets a `not_sent` event, so nothing is learned from a message that nobody sent.
Abstentions too: if only sends were censored, what is left of a bad minute would be its silences,
and no propensity would be true of it.
Questions take back a portion before they are decided, within their own deadline, so a portion must
be small enough for it; the background and the end of the worker take back all there are.

Limits: a worker that dies before that takes the memory with it. Beyond `MOST` the oldest are
forgotten, and the log says how many.
"""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from engine.errors import StoreError
from service.logs import logger
from service.store.protocol import Commit, Event, EventType, Store

AT_ONCE = 200
MOST = 10_000


class Name(NamedTuple):
    """What has to be known of a decision to take it back."""

    user_id: str
    decision_id: str


class Disowned:
    """Remembers them, the oldest first, until the store has acknowledged that they are taken back.

    Several may take back at the same time, each another portion. A portion whose acknowledgement
    was lost is told again; the store knows the events it had before.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: list[Name] = []
        self._forgotten = 0

    def __len__(self) -> int:
        return len(self._names)

    def add(self, commits: Iterable[Commit]) -> None:
        """Remember commits that were cut off; a contention record is censored as it is."""
        names = [Name(one.user_id, one.decision_id) for one in commits if not one.censored]
        self._keep(self._names + names)

    async def take_back(self, now: float) -> None:
        """Take back one portion; raises `StoreError`, and then it is still remembered."""
        portion, self._names = self._names[:AT_ONCE], self._names[AT_ONCE:]
        try:
            await self._store.record_events([_not_sent(name, now) for name in portion])
        except (StoreError, asyncio.CancelledError):
            self._keep(portion + self._names)
            raise
        if self._forgotten and not self._names:
            logger().error(
                "cut-off decisions were forgotten, so they count although nobody acted on them",
                decisions=self._forgotten,
            )
            self._forgotten = 0

    async def take_back_all(self, now: float) -> None:
        """Take back all there are; raises `StoreError`, and then the rest is still remembered."""
        while self._names:
            await self.take_back(now)

    def _keep(self, names: list[Name]) -> None:
        self._names = names[-MOST:]
        forgotten = len(names) - len(self._names)
        if forgotten and not self._forgotten:
            logger().warning("too many cut-off decisions to remember, the oldest are forgotten")
        self._forgotten += forgotten


def _not_sent(name: Name, now: float) -> Event:
    return Event(
        event_id=f"disowned-{name.decision_id}",
        type=EventType.NOT_SENT,
        user_id=name.user_id,
        now=now,
        at=now,
        decision_id=name.decision_id,
    )
