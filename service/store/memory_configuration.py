"""The in-memory store's configuration, its history, and the API keys."""

from collections.abc import Mapping

from service.store.limits import AUDIT_BYTES, AUDIT_ENTRIES
from service.store.protocol import (
    AuditedPart,
    AuditEntry,
    Change,
    Changed,
    Outdated,
    StoredConfiguration,
)


class MemoryConfiguration:
    """Parts and API keys in dictionaries, the history in a list, oldest first."""

    def __init__(self) -> None:
        self._catalog_version = 0
        self._parts: dict[str, bytes] = {}
        self._audit: list[AuditEntry] = []
        self._api_keys: dict[str, bytes] = {}

    async def configuration_version(self) -> int:
        """Rises with every change; 0 before the first."""
        return self._catalog_version

    async def configuration(self) -> StoredConfiguration:
        """The version and every part."""
        return StoredConfiguration(self._catalog_version, dict(self._parts))

    async def configure(self, change: Change) -> Changed | Outdated:
        """Change parts, all or none."""
        if change.expected not in (None, self._catalog_version):
            return Outdated(self._catalog_version)
        before = {name: self._parts[name] for name in change.parts if name in self._parts}
        parts = tuple(
            AuditedPart(name, before.get(name), body or None)
            for name, body in change.parts.items()
            if before.get(name) != (body or None)
        )
        for part in parts:
            if part.after is None:
                del self._parts[part.name]
            else:
                self._parts[part.name] = part.after
        if parts:
            self._catalog_version += 1
            self._audit.append(AuditEntry(self._catalog_version, change.at, change.by, parts))
            self._drop_oldest()
        return Changed(self._catalog_version, before)

    def _drop_oldest(self) -> None:
        sizes = [entry.size for entry in self._audit]
        while len(sizes) > AUDIT_ENTRIES or (sum(sizes) > AUDIT_BYTES and len(sizes) > 1):
            del sizes[0], self._audit[0]

    async def audit(self, before: int | None, limit: int) -> list[AuditEntry]:
        """Changes with a version below `before` (None: all), newest first."""
        newest_first = reversed(self._audit)
        return [e for e in newest_first if before is None or e.version < before][:limit]

    async def api_keys(self) -> Mapping[str, bytes]:
        """Key id -> stored record."""
        return dict(self._api_keys)

    async def put_api_key(self, key_id: str, body: bytes) -> None:
        """Write an API key's record."""
        self._api_keys[key_id] = body
