"""Learning on Redis: the learner's lease, its streams, its checkpoint and the published models."""

import hashlib
import json
from collections.abc import Sequence

from redis.exceptions import ResponseError

from engine.errors import StoreError
from engine.outcome import HeadName
from service.store.keys import LEARNER, lessons_key
from service.store.lessons import Checkpoint, StreamEntry
from service.store.limits import MODELS_KEPT, ROUNDS_KEPT
from service.store.protocol import (
    SHARDS,
)
from service.store.redis_client import Part, Reply, call

_LEASE = f"{LEARNER}:lease"
_CHECKPOINT = f"{LEARNER}:checkpoint"
_ROUNDS = f"{LEARNER}:rounds"
_MODELS = f"{LEARNER}:models"
_ORPHAN_BLOB_S = 3600
"""A blob written for a round that was then refused is collected after this."""

_START = "0-0"


class Learning(Part):
    """The learner's part of the store."""

    async def acquire_lease(self, token: str, ttl_s: float) -> int | None:
        """The fencing epoch, or None while another holds the lease."""
        epoch: int | None = await self._client.one(
            *call("acquire_lease", _LEASE, LEARNER, token, int(ttl_s * 1000))
        )
        return epoch

    async def release_lease(self, token: str) -> None:
        """Stop being the learner, if this token holds the lease."""
        await self._client.one(*call("release_lease", _LEASE, token))

    async def load_checkpoint(self) -> Checkpoint | None:
        """The learner's position; None before the first round."""
        flat = await self._client.one("HGETALL", _CHECKPOINT)
        return _checkpoint(_mapping(flat)) if flat else None

    async def stream_ends(self) -> tuple[str, ...]:
        """Last id of each shard's stream, kept by the stream even when it has been trimmed."""
        return tuple(last for last, _ in await self._streams())

    async def entries_added(self) -> int:
        """Lessons ever appended, trimmed ones included."""
        return sum(added for _, added in await self._streams())

    async def read_stream(
        self, shard: int, after: str, until: str, limit: int
    ) -> list[StreamEntry]:
        """Entries of one shard with after < id <= until, oldest first."""
        reply = await self._client.one(
            "XRANGE", lessons_key(shard), f"({after}", until, "COUNT", limit
        )
        return [_entry(entry_id, fields) for entry_id, fields in reply]

    async def fix_cut(self, epoch: int, cut: Sequence[str]) -> bool:
        """Store the next round's cut; False when the epoch is stale."""
        text = json.dumps(list(cut))
        return bool(await self._client.one(*call("fix_cut", _CHECKPOINT, LEARNER, epoch, text)))

    async def commit_round(self, epoch: int, version: int, blob: bytes, applied: int) -> bool:
        """The blob first, under a name only equal bytes share; then one script moves the rest."""
        key = f"{LEARNER}:model:{version}:{hashlib.sha256(blob).hexdigest()[:16]}"
        await self._client.one("SET", key, blob, "NX", "EX", _ORPHAN_BLOB_S)
        moves = (epoch, version, applied, key, MODELS_KEPT, ROUNDS_KEPT)
        return bool(await self._client.one(*call("commit_round", _CHECKPOINT, LEARNER, *moves)))

    async def rounds(self) -> list[tuple[str, ...]]:
        """The kept history of committed cuts, oldest first."""
        return [_ids(cut) for cut in await self._client.one("LRANGE", _ROUNDS, 0, -1)]

    async def current_version(self) -> int:
        """Version of the published model; 0 before the first."""
        return int(await self._client.one("HGET", _CHECKPOINT, "version") or 0)

    async def load_model(self, version: int) -> bytes | None:
        """A published model; None when it is not kept any more."""
        keys = await self._client.one("ZRANGE", _MODELS, version, version, "BYSCORE")
        blob: bytes | None = await self._client.one("GET", keys[0]) if keys else None
        return blob

    async def trim(self, before_ms: int) -> int:
        """Drop what is both applied and older than `before_ms`; how many entries."""
        checkpoint = await self.load_checkpoint()
        if checkpoint is None:
            return 0
        commands = [
            ("XTRIM", lessons_key(shard), "MINID", "=", _trim_before(position, before_ms))
            for shard, position in enumerate(checkpoint.positions)
        ]
        return sum(await self._client.run(commands))

    async def _streams(self) -> list[tuple[str, int]]:
        """Last id and number of entries ever added, of each shard's stream."""
        replies = await self._client.attempt(
            [("XINFO", "STREAM", lessons_key(s)) for s in range(SHARDS)]
        )
        return [_stream(reply) for reply in replies]


def _stream(reply: Reply) -> tuple[str, int]:
    if isinstance(reply, ResponseError):
        if "no such key" in str(reply):
            return _START, 0
        raise StoreError(f"a stream of lessons cannot be read: {reply}") from reply
    info = _mapping(reply)
    return info[b"last-generated-id"].decode(), info[b"entries-added"]


def _trim_before(position: str, before_ms: int) -> str:
    """The first id to keep: after the applied position, and never one as young as `before_ms`."""
    ms, _, sequence = position.partition("-")
    if int(ms) >= before_ms:
        return f"{before_ms}-0"
    return f"{ms}-{int(sequence) + 1}"


def _checkpoint(fields: dict[bytes, bytes]) -> Checkpoint:
    cut = fields.get(b"cut")
    positions = fields.get(b"positions")
    return Checkpoint(
        int(fields.get(b"version", 0)),
        (_START,) * SHARDS if positions is None else _ids(positions),
        None if cut is None else _ids(cut),
        int(fields.get(b"applied", 0)),
    )


def _entry(entry_id: bytes, flat: Sequence[bytes]) -> StreamEntry:
    fields = _mapping(flat)
    head: HeadName = "click" if fields[b"h"] == b"click" else "unsubscribe"
    return StreamEntry(
        entry_id.decode(),
        fields[b"o"].decode(),
        head,
        int(fields[b"y"]),
        float(fields[b"w"]),
        float(fields[b"t"]),
        float(fields[b"l"]),
        fields[b"f"] == b"1",
        fields[b"x"],
    )


def _mapping(flat: Sequence[Reply]) -> dict[bytes, Reply]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _ids(text: bytes) -> tuple[str, ...]:
    return tuple(json.loads(text))
