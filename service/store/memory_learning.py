"""The in-memory store's part for the learner."""

import asyncio
from collections.abc import Sequence

from service.store.lessons import Checkpoint, StreamEntry
from service.store.limits import MODELS_KEPT, ROUNDS_KEPT
from service.store.memory_state import Shard
from service.store.protocol import (
    SHARDS,
)


def _order(entry_id: str) -> tuple[int, int]:
    ms, _, sequence = entry_id.partition("-")
    return int(ms), int(sequence)


class MemoryLearning:
    """The lease, the streams, the checkpoint and the models."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._lease: str | None = None
        self._lease_end: asyncio.TimerHandle | None = None
        self._last_holder: str | None = None
        self._epoch = 0
        self._cut: tuple[str, ...] | None = None
        self._checkpoint: Checkpoint | None = None
        self._rounds: list[tuple[str, ...]] = []
        self._models: dict[int, bytes] = {}

    async def acquire_lease(self, token: str, ttl_s: float) -> int | None:
        """The fencing epoch, or None while another holds the lease."""
        if self._lease not in (None, token):
            return None
        if self._last_holder != token:
            self._last_holder = token
            self._epoch += 1
        self._end_lease()
        self._lease = token
        self._lease_end = asyncio.get_running_loop().call_later(ttl_s, self._end_lease)
        return self._epoch

    async def release_lease(self, token: str) -> None:
        """Stop being the learner, if this token holds the lease."""
        if self._lease == token:
            self._end_lease()

    def _end_lease(self) -> None:
        self._lease = None
        if self._lease_end is not None:
            self._lease_end.cancel()

    async def load_checkpoint(self) -> Checkpoint | None:
        """The learner's position; None before the first round."""
        done = self._checkpoint
        if done is None and self._cut is None:
            return None
        done = done or Checkpoint(0, ("0-0",) * SHARDS, None, 0)
        return Checkpoint(done.version, done.positions, self._cut, done.applied)

    async def stream_ends(self) -> tuple[str, ...]:
        """Last id of each shard's stream of lessons."""
        return tuple(shard.last_lesson for shard in self._shards)

    async def entries_added(self) -> int:
        """Lessons ever appended, trimmed ones included."""
        return sum(shard.lessons_added for shard in self._shards)

    async def read_stream(
        self, shard: int, after: str, until: str, limit: int
    ) -> list[StreamEntry]:
        """Entries of one shard with after < id <= until, oldest first."""
        low, high = _order(after), _order(until)
        lessons = self._shards[shard].lessons
        return [entry for entry in lessons if low < _order(entry.entry_id) <= high][:limit]

    async def fix_cut(self, epoch: int, cut: Sequence[str]) -> bool:
        """Store the next round's cut; False when the epoch is stale."""
        if epoch != self._epoch:
            return False
        self._cut = tuple(cut)
        return True

    async def commit_round(self, epoch: int, version: int, blob: bytes, applied: int) -> bool:
        """Move checkpoint and model to the fixed cut; False, and nothing moved, if stale."""
        if epoch != self._epoch or self._cut is None:
            return False
        self._checkpoint = Checkpoint(version, self._cut, None, applied)
        self._rounds = [*self._rounds, self._cut][-ROUNDS_KEPT:]
        self._cut = None
        self._models[version] = blob
        for old in sorted(self._models)[:-MODELS_KEPT]:
            del self._models[old]
        return True

    async def rounds(self) -> list[tuple[str, ...]]:
        """The kept history of committed cuts, oldest first."""
        return list(self._rounds)

    async def current_version(self) -> int:
        """Version of the published model; 0 before the first."""
        return self._checkpoint.version if self._checkpoint else 0

    async def load_model(self, version: int) -> bytes | None:
        """A published model; None when it is not kept any more."""
        return self._models.get(version)

    async def trim(self, before_ms: int) -> int:
        """Drop what is both applied and older than `before_ms`; how many entries."""
        if self._checkpoint is None:
            return 0
        dropped = 0
        for shard, position in zip(self._shards, self._checkpoint.positions, strict=True):
            kept = [
                entry
                for entry in shard.lessons
                if _order(entry.entry_id) > _order(position)
                or _order(entry.entry_id) >= (before_ms, 0)
            ]
            dropped += len(shard.lessons) - len(kept)
            shard.lessons = kept
        return dropped
