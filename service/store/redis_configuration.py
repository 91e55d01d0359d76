"""The configuration and the API keys on Redis.

A change is made under the configuration's own tag, then its version is written to every shard, and
only then is it acknowledged. From a shard's turn on, no decision made with an older configuration
can be committed there. Cut off in between, a change is in force in some shards and not
acknowledged; made again, it is in force in all.
"""

from collections.abc import Mapping

import msgspec

from service.store.keys import ACCESS_KEYS, CATALOG, TAGS
from service.store.limits import AUDIT_BYTES, AUDIT_ENTRIES
from service.store.protocol import (
    AuditedPart,
    AuditEntry,
    Change,
    Changed,
    Outdated,
    StoredConfiguration,
)
from service.store.redis_client import Part, Reply, call

_VERSION, _PARTS, _AUDIT = f"{CATALOG}:version", f"{CATALOG}:parts", f"{CATALOG}:audit"
_entry = msgspec.msgpack.Decoder(tuple[int, str, str, list[tuple[str, str, str]]])


class Configuration(Part):
    """The configuration's parts, their history, and the API keys: small, read whole."""

    async def configuration_version(self) -> int:
        """Rises with every change; 0 before the first."""
        return int(await self._client.one("GET", _VERSION) or 0)

    async def configuration(self) -> StoredConfiguration:
        """The version and every part, as of one moment."""
        *_, (version, parts) = await self._client.run(
            [("MULTI",), ("GET", _VERSION), ("HGETALL", _PARTS), ("EXEC",)]
        )
        return StoredConfiguration(int(version or 0), _named(parts))

    async def configure(self, change: Change) -> Changed | Outdated:
        """Change parts, all or none; in force in every shard when this returns."""
        expected = "" if change.expected is None else change.expected
        bodies = [part for name, body in change.parts.items() for part in (name, body or b"")]
        reply = await self._client.one(
            *call(
                "configure",
                CATALOG,
                expected,
                repr(change.at),
                change.by,
                AUDIT_ENTRIES,
                AUDIT_BYTES,
                *bodies,
            )
        )
        if isinstance(reply, int):
            return Outdated(reply)
        version, *before = reply
        await self._client.run([call("raise_catalog", tag, version) for tag in TAGS])
        return Changed(version, _named(before))

    async def audit(self, before: int | None, limit: int) -> list[AuditEntry]:
        """Changes with a version below `before` (None: all), newest first."""
        newest = "+inf" if before is None else f"({before}"
        command = ("ZREVRANGEBYSCORE", _AUDIT, newest, "-inf", "LIMIT", 0, limit)
        return [_audited(member) for member in await self._client.one(*command)]

    async def api_keys(self) -> Mapping[str, bytes]:
        """Key id -> stored record."""
        return _named(await self._client.one("HGETALL", ACCESS_KEYS))

    async def put_api_key(self, key_id: str, body: bytes) -> None:
        """Write an API key's record."""
        await self._client.one("HSET", ACCESS_KEYS, key_id, body)


def _audited(member: bytes) -> AuditEntry:
    version, at, by, changes = _entry.decode(member)
    parts = tuple(
        AuditedPart(name, old.encode() or None, new.encode() or None) for name, old, new in changes
    )
    return AuditEntry(version, float(at), by, parts)


def _named(reply: Reply) -> dict[str, bytes]:
    return {name.decode(): body for name, body in zip(reply[::2], reply[1::2], strict=True)}
