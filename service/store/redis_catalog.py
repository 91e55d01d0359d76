"""The catalog and the API keys on Redis.

A change is made under the catalog's own tag, then its version is written to every shard, and only
then is it acknowledged. From a shard's turn on, no decision made with an older catalog can be
committed there. Cut off in between, a change is in force in some shards and not acknowledged;
made again, it is in force in all.
"""

from collections.abc import Mapping

from service.store.keys import (
    ACCESS_KEYS,
    CATALOG_MESSAGES,
    CATALOG_PAUSED,
    CATALOG_VERSION,
    TAGS,
)
from service.store.protocol import StoredCatalog
from service.store.redis_client import Part, Reply, call


class Catalog(Part):
    """Messages and API keys: small, read whole."""

    async def catalog_version(self) -> int:
        """Rises with every change of the catalog; 0 before the first."""
        return int(await self._client.one("GET", CATALOG_VERSION) or 0)

    async def catalog(self) -> StoredCatalog:
        """The version, every message and the kill switch, as of one moment."""
        *_, (version, messages, paused) = await self._client.run(
            [
                ("MULTI",),
                ("GET", CATALOG_VERSION),
                ("HGETALL", CATALOG_MESSAGES),
                ("GET", CATALOG_PAUSED),
                ("EXEC",),
            ]
        )
        return StoredCatalog(int(version or 0), _named(messages), paused is not None)

    async def put_message(self, message_id: str, body: bytes) -> bool:
        """Write a message; True if it is new."""
        command = call("put_message", CATALOG_VERSION, CATALOG_MESSAGES, message_id, body)
        is_new, version = await self._client.one(*command)
        await self._put_in_force(version)
        return bool(is_new)

    async def delete_message(self, message_id: str) -> bool:
        """Remove a message; False if there was none."""
        command = call("delete_message", CATALOG_VERSION, CATALOG_MESSAGES, message_id)
        was_there, version = await self._client.one(*command)
        await self._put_in_force(version)
        return bool(was_there)

    async def set_paused(self, paused: bool) -> None:
        """Turn the kill switch on or off."""
        command = call("set_paused", CATALOG_VERSION, CATALOG_PAUSED, int(paused))
        await self._put_in_force(await self._client.one(*command))

    async def _put_in_force(self, version: int) -> None:
        await self._client.run([call("raise_catalog", tag, version) for tag in TAGS])

    async def api_keys(self) -> Mapping[str, bytes]:
        """Key id -> stored record."""
        return _named(await self._client.one("HGETALL", ACCESS_KEYS))

    async def put_api_key(self, key_id: str, body: bytes) -> None:
        """Write an API key's record."""
        await self._client.one("HSET", ACCESS_KEYS, key_id, body)


def _named(reply: Reply) -> dict[str, bytes]:
    return {name.decode(): body for name, body in zip(reply[::2], reply[1::2], strict=True)}
