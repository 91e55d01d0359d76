"""Sends that may have been stored although their sender was told `fallback`.

A commit that was cut off may have happened. Such a decision is disowned: as soon as the store
answers again it gets a `not_sent` event, so nothing is learned from a message that nobody sent.
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


class Send(NamedTuple):
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
        self._sends: list[Send] = []
        self._forgotten = 0

    def __len__(self) -> int:
        return len(self._sends)

    def add(self, commits: Iterable[Commit]) -> None:
        """Remember the sends among commits that were cut off."""
        sends = [Send(one.user_id, one.decision_id) for one in commits if one.action is not None]
        self._keep(self._sends + sends)

    async def take_back(self, now: float) -> None:
        """Take back one portion; raises `StoreError`, and then it is still remembered."""
        portion, self._sends = self._sends[:AT_ONCE], self._sends[AT_ONCE:]
        try:
            await self._store.record_events([_not_sent(send, now) for send in portion])
        except (StoreError, asyncio.CancelledError):
            self._keep(portion + self._sends)
            raise
        if self._forgotten and not self._sends:
            logger().error(
                "cut-off sends were forgotten, so they are learned from although nobody made them",
                sends=self._forgotten,
            )
            self._forgotten = 0

    async def take_back_all(self, now: float) -> None:
        """Take back all there are; raises `StoreError`, and then the rest is still remembered."""
        while self._sends:
            await self.take_back(now)

    def _keep(self, sends: list[Send]) -> None:
        self._sends = sends[-MOST:]
        forgotten = len(sends) - len(self._sends)
        if forgotten and not self._forgotten:
            logger().warning("too many cut-off sends to remember, the oldest are forgotten")
        self._forgotten += forgotten


def _not_sent(send: Send, now: float) -> Event:
    return Event(
        event_id=f"disowned-{send.decision_id}",
        type=EventType.NOT_SENT,
        user_id=send.user_id,
        now=now,
        at=now,
        decision_id=send.decision_id,
    )
