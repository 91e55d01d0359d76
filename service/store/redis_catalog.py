"""The catalog and the API keys on Redis."""

from collections.abc import Mapping

from service.store.keys import ACCESS_KEYS, CATALOG_MESSAGES, CATALOG_VERSION
from service.store.redis_client import Part, Reply, call


class Catalog(Part):
    """Messages and API keys: small, read whole."""

    async def catalog_version(self) -> int:
        """Rises with every change of the catalog; 0 before the first."""
        return int(await self._client.one("GET", CATALOG_VERSION) or 0)

    async def catalog(self) -> tuple[int, Mapping[str, bytes]]:
        """The version and every message, as of one moment."""
        _, _, _, (version, messages) = await self._client.run(
            [
                ("MULTI",),
                ("GET", CATALOG_VERSION),
                ("HGETALL", CATALOG_MESSAGES),
                ("EXEC",),
            ]
        )
        return int(version or 0), _named(messages)

    async def put_message(self, message_id: str, body: bytes) -> bool:
        """Write a message; True if it is new."""
        command = call("put_message", CATALOG_VERSION, CATALOG_MESSAGES, message_id, body)
        return bool(await self._client.one(*command))

    async def delete_message(self, message_id: str) -> bool:
        """Remove a message; False if there was none."""
        command = call("delete_message", CATALOG_VERSION, CATALOG_MESSAGES, message_id)
        return bool(await self._client.one(*command))

    async def api_keys(self) -> Mapping[str, bytes]:
        """Key id -> stored record."""
        return _named(await self._client.one("HGETALL", ACCESS_KEYS))

    async def put_api_key(self, key_id: str, body: bytes) -> None:
        """Write an API key's record."""
        await self._client.one("HSET", ACCESS_KEYS, key_id, body)


def _named(reply: Reply) -> dict[str, bytes]:
    return {name.decode(): body for name, body in zip(reply[::2], reply[1::2], strict=True)}
