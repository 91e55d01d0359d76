"""A store that may be away when its process starts.

Opening a store checks that its data may be used, by format and secret, so nothing may pass before
that: until then every call fails as calls to a store that is away do, and those who make them can
wait or answer without it. From then on calls go straight through.

Limit: the store's own errors are alike, so data of another format is waited for too; the log says
what is waited for.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from engine.errors import ForbearError, StoreError
from service.logs import logger
from service.store.protocol import Store

RETRY_S = 1.0


@asynccontextmanager
async def late_store(opening: Callable[[], Awaitable[Store]]) -> AsyncIterator[Store]:
    """The store that `opening` opens, as soon as it can; closed at the end.

    An error other than `StoreError` ends the process that starts with it; later it is waited out.
    """
    late = LateStore(opening)
    with suppress(StoreError):
        await late.open()
    waiting = asyncio.create_task(late.wait())
    try:
        yield cast(Store, late)
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await late.close()


class LateStore:
    """Has every method of the store, each of which raises `StoreError` before it is open."""

    def __init__(self, opening: Callable[[], Awaitable[Store]]) -> None:
        self._opening = opening
        self._store: Store | None = None

    def __getattr__(self, name: str) -> Any:
        if self._store is None:
            raise StoreError("the store has not been reached since this process started")
        return getattr(self._store, name)

    async def open(self) -> None:
        """Try once; raises what opening raises."""
        self._store = await self._opening()

    async def wait(self) -> None:
        """Try until it is open; each reason that it is not is logged once in a row."""
        told = ""
        while self._store is None:
            try:
                await self.open()
            except ForbearError as error:
                if str(error) != told:
                    told = str(error)
                    logger().warning("waiting for the store", error=told)
                await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        """Close it, if it was opened."""
        if self._store is not None:
            await self._store.close()
