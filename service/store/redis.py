"""The store on a real Redis or Valkey server; what is in it is listed in keys.py.

Every step is one script on one shard's slot. Limit: Redis replicates asynchronously, so a failover
may lose the last writes it had acknowledged; a single server with `appendfsync always` loses none.
"""

from typing import Self

from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from engine.errors import BadInput, StoreError
from service.store.keys import FORMAT_KEY, FORMAT_VERSION, MARK_KEY, secret_mark
from service.store.limits import Kept, Rules
from service.store.redis_budgets import Budgets
from service.store.redis_client import Client
from service.store.redis_configuration import Configuration
from service.store.redis_deciding import Deciding
from service.store.redis_feedback import Feedback
from service.store.redis_learning import Learning


class RedisStore(Deciding, Feedback, Learning, Configuration, Budgets):
    """All state of a deployment, on Redis; see `protocol.Store`. Made by `open`."""

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        half_life_s: float,
        tombstone_secret: bytes,
        kept: Kept = Kept(),
        max_connections: int = 64,
        connect_timeout_s: float = 1.0,
        read_timeout_s: float = 1.0,
    ) -> Self:
        """Connect, and refuse a server whose data another format or secret wrote.

        `url` is redis://, rediss:// or unix://. A call waits up to `read_timeout_s` for a free
        connection among `max_connections` (give at least as many as requests run at once), and
        as long for its replies.
        """
        rules = Rules(
            half_life_s, kept.decisions_s, tombstone_secret, kept.users_s, kept.idempotency_s
        )
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=max_connections,
                timeout=read_timeout_s,
                socket_connect_timeout=connect_timeout_s,
                socket_timeout=None,  # one limit per exchange instead of one per reply
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        except ValueError as error:
            raise BadInput(f"the store's URL cannot be used: {error}") from error
        store = cls(Client(pool, _place(pool), read_timeout_s), rules)
        try:
            await store._check_server()
        except BaseException:
            await store.close()
            raise
        return store

    async def ping(self) -> None:
        """Raise `StoreError` unless the server answers."""
        await self._client.one("PING")

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _check_server(self) -> None:
        """The first to open an empty server leaves its marks; everybody else compares."""
        found = await self._agreed(FORMAT_KEY, FORMAT_VERSION)
        if found != FORMAT_VERSION:
            raise StoreError(
                f"the data on this server has format version {found.decode(errors='replace')}, "
                f"this Forbear reads version {FORMAT_VERSION.decode()}; start the Forbear that "
                "wrote it, or point this one at an empty server."
            )
        mark = secret_mark(self._rules.tombstone_secret)
        if await self._agreed(MARK_KEY, mark) != mark:
            raise BadInput(
                "this server's data was written with another FORBEAR_PSEUDONYM_KEY, and under this "
                "one the opt-outs of erased users would be lost; set the one it was written with."
            )

    async def _agreed(self, key: str, ours: bytes) -> bytes:
        """What stands under the key: ours, unless somebody was there before."""
        _, found = await self._client.run([("SET", key, ours, "NX"), ("GET", key)])
        return bytes(found)


def _place(pool: BlockingConnectionPool) -> str:
    """The server's address without its password, for messages."""
    kwargs = pool.connection_kwargs
    return str(kwargs.get("path") or f"{kwargs.get('host')}:{kwargs.get('port', 6379)}")
