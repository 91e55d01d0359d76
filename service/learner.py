"""The learner: one process that turns lessons into models, exactly once.

It works in rounds. A round reads what has arrived, fixes a cut (one stream id per shard) that is
stored before anything is applied, applies the lessons, and moves positions and model together under
its fencing epoch. A learner that dies midway leaves the cut behind, and the next one applies the
same lessons in the same order to the same model: the same weights, to the bit. That order is by a
keyed hash of the decision, which is random: in order of arrival a round would hold decisions that
look alike side by side, and an online learner leans towards what it saw last. A learner that was
paused and replaced finds its epoch stale and starts over from the checkpoint. It never reads a
clock except to pace itself.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.errors import StoreError
from engine.learning import Learner, Lesson, Priors
from engine.snapshot import from_bytes, to_bytes
from service.clock import SystemClock
from service.logs import logger
from service.store.lessons import Checkpoint, StreamEntry
from service.store.protocol import (
    SHARDS,
    Store,
)

LEASE_S = 5.0
RETRY_S = 1.0
MOST_PER_SHARD = 500
"""Lessons of one shard in one round."""
RENEW_AFTER = 500
"""Lessons: a round of a backlog takes longer than the lease, so it is renewed on the way."""

Positions = tuple[str, ...]
START: Positions = ("0-0",) * SHARDS


class Superseded(Exception):
    """Another learner holds the lease; whatever this one was doing came to nothing."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a learner does what; seconds."""

    interval: float = 2.0
    """Least time between two models."""
    keep_lessons: float = 3600.0
    """How long applied lessons stay readable in the streams."""


def as_lesson(entry: StreamEntry) -> Lesson:
    """A stream entry as the engine takes it."""
    return Lesson(
        head=entry.head,
        label=entry.label,
        weight=entry.weight,
        taught=entry.taught,
        delay=entry.delay,
        first=entry.first,
        teaching=entry.teaching,
    )


async def entries_between(
    store: Store, after: Sequence[str], until: Sequence[str], limit: int
) -> list[list[StreamEntry]]:
    """Each shard's entries with after < id <= until, at most `limit` of each."""
    return [
        [] if start == end else await store.read_stream(shard, start, end, limit)
        for shard, (start, end) in enumerate(zip(after, until, strict=True))
    ]


def in_order(shards: Sequence[Sequence[StreamEntry]]) -> list[StreamEntry]:
    """A round's lessons in their one order."""
    # The sort is stable: lessons of one decision, which share a shard, stay in order of their ids.
    return sorted((entry for shard in shards for entry in shard), key=_shuffling)


def apply(learner: Learner, entries: Iterable[StreamEntry]) -> None:
    """Apply lessons one after the other."""
    for entry in entries:
        learner.learn(as_lesson(entry))


def _shuffling(entry: StreamEntry) -> str:
    return entry.order


class Rounds:
    """One holder of the lease, from its checkpoint on."""

    def __init__(self, store: Store, priors: Priors, token: str, epoch: int) -> None:
        self._store = store
        self._priors = priors
        self._token = token
        self._epoch = epoch
        self._learner = Learner(priors)
        self._at = Checkpoint(0, START, None, 0)

    async def resume(self) -> None:
        """Load the checkpoint, and finish the round that was cut off, if one was."""
        self._at = await self._store.load_checkpoint() or self._at
        if self._at.version:
            blob = await self._store.load_model(self._at.version)
            if blob is None:
                raise StoreError(
                    f"the checkpoint names model {self._at.version}, which is not in the store; "
                    "restore the store's data, or start with an empty one"
                )
            self._learner = Learner(self._priors, from_bytes(blob))
        if self._at.cut is not None:
            shards = await self._whole(self._at.positions, self._at.cut)
            await self._commit(self._at.cut, await self._apply(shards))

    async def step(self) -> int:
        """One round; how many lessons it applied, 0 when there was nothing new."""
        ends = await self._store.stream_ends()
        if ends == self._at.positions:
            return 0
        shards = await entries_between(self._store, self._at.positions, ends, MOST_PER_SHARD)
        cut = tuple(
            entries[-1].entry_id if entries else position
            for entries, position in zip(shards, self._at.positions, strict=True)
        )
        if cut == self._at.positions:
            return 0
        if not await self._store.fix_cut(self._epoch, cut):
            raise Superseded
        return await self._commit(cut, await self._apply(shards))

    async def _apply(self, shards: Sequence[Sequence[StreamEntry]]) -> int:
        """Apply a round's lessons and keep the lease meanwhile; how many they were."""
        entries = in_order(shards)
        for start in range(0, len(entries), RENEW_AFTER):
            await self.renew()
            apply(self._learner, entries[start : start + RENEW_AFTER])
        return len(entries)

    async def _whole(self, after: Positions, until: Positions) -> list[list[StreamEntry]]:
        return await entries_between(self._store, after, until, MOST_PER_SHARD + 1)

    async def _commit(self, cut: Positions, number: int) -> int:
        version, applied = self._at.version + 1, self._at.applied + number
        blob = to_bytes(self._learner.state())
        await self.renew()
        if not await self._store.commit_round(self._epoch, version, blob, applied):
            raise Superseded
        self._at = Checkpoint(version, cut, None, applied)
        return number

    async def renew(self) -> None:
        """Keep the lease; raises `Superseded` when another one has it."""
        if await self._store.acquire_lease(self._token, LEASE_S) != self._epoch:
            raise Superseded


async def run(store: Store, priors: Priors, pace: Pace, stop: asyncio.Event) -> None:
    """Learn until told to stop; stands by while another learner holds the lease."""
    token = secrets.token_hex(8)
    while not stop.is_set():
        try:
            epoch = await store.acquire_lease(token, LEASE_S)
            if epoch is not None:
                await _hold(Rounds(store, priors, token, epoch), store, pace, stop)
        except Superseded:
            logger().warning("another learner took over; standing by")
        except StoreError as error:
            logger().warning("the learner waits for the store", error=str(error))
        await _pause(stop, RETRY_S)
    with contextlib.suppress(StoreError):  # then it runs out by itself
        await store.release_lease(token)


async def _hold(rounds: Rounds, store: Store, pace: Pace, stop: asyncio.Event) -> None:
    await rounds.resume()
    clock, trimmed = SystemClock(), 0.0
    while not stop.is_set():
        await rounds.renew()
        await rounds.step()
        now = clock.now()
        if now - trimmed > min(60.0, pace.keep_lessons):
            trimmed = now
            await store.trim(int(1000 * (now - pace.keep_lessons)))
        await _pause(stop, min(pace.interval, LEASE_S / 3))


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
