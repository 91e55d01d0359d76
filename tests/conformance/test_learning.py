"""The learner's lease, streams, checkpoint and models."""

import asyncio

import pytest

from service.store.keys import shard_of
from service.store.lessons import Checkpoint
from service.store.protocol import (
    SHARDS,
    Store,
)
from tests.conformance.facts import HOUR, NOW, event, every_lesson, order, send

USERS = [f"user{i}" for i in range(20)]


async def teach(store: Store) -> None:
    """One lesson for each of twenty users."""
    await store.commit([send("a", user) for user in USERS])
    await store.sweep(NOW + HOUR)


async def fix(store: Store, holder: str = "me") -> tuple[int, tuple[str, ...]]:
    epoch = await store.acquire_lease(holder, 60.0)
    assert epoch is not None
    cut = await store.stream_ends()
    assert await store.fix_cut(epoch, cut)
    return epoch, cut


async def test_one_learner_at_a_time(store: Store) -> None:
    first = await store.acquire_lease("a", 60.0)
    assert first is not None
    assert first == await store.acquire_lease("a", 60.0)
    assert await store.acquire_lease("b", 60.0) is None
    await store.release_lease("b")
    assert await store.acquire_lease("b", 60.0) is None
    await store.release_lease("a")
    assert first + 1 == await store.acquire_lease("b", 60.0)
    assert await store.acquire_lease("a", 60.0) is None


async def test_a_lease_ends_by_itself_and_its_holder_may_take_it_up_again(store: Store) -> None:
    first = await store.acquire_lease("a", 0.05)
    await asyncio.sleep(0.15)
    assert first == await store.acquire_lease("a", 0.05)
    await asyncio.sleep(0.15)
    assert first is not None
    assert first + 1 == await store.acquire_lease("b", 60.0)


async def test_a_renewed_lease_lasts_its_new_time(store: Store) -> None:
    await store.acquire_lease("a", 0.1)
    await store.acquire_lease("a", 60.0)
    await asyncio.sleep(0.2)
    assert await store.acquire_lease("b", 60.0) is None


async def test_before_the_first_round_there_is_nothing(store: Store) -> None:
    assert await store.load_checkpoint() is None
    assert ("0-0",) * SHARDS == await store.stream_ends()
    assert (0, 0) == (await store.entries_added(), await store.current_version())
    assert await store.load_model(1) is None
    assert [] == await store.rounds()
    assert 0 == await store.trim(2**40)


async def test_a_stream_is_read_in_its_order_and_in_pieces(store: Store) -> None:
    await store.commit([send("a"), send("b", expected_version=1)])
    await store.record_events([event("e1", "click", NOW + 1, "b")])
    await store.sweep(NOW + HOUR)
    shard = shard_of("u1")
    end = (await store.stream_ends())[shard]
    whole = await store.read_stream(shard, "0-0", end, 10)
    assert [order("u1", name) for name in "ab"] == [entry.order for entry in whole]
    assert end == whole[-1].entry_id
    first = await store.read_stream(shard, "0-0", end, 1)
    assert whole[:1] == first
    assert whole[1:] == await store.read_stream(shard, first[0].entry_id, end, 10)
    assert first == await store.read_stream(shard, "0-0", first[0].entry_id, 10)
    assert [] == await store.read_stream(shard, end, end, 10)


async def test_a_round_moves_positions_version_and_model_together(store: Store) -> None:
    await teach(store)
    epoch, cut = await fix(store)
    assert Checkpoint(0, ("0-0",) * SHARDS, cut, 0) == await store.load_checkpoint()
    assert 0 == await store.current_version()
    assert await store.commit_round(epoch, 1, b"model one", 20)
    assert Checkpoint(1, cut, None, 20) == await store.load_checkpoint()
    assert (1, b"model one") == (await store.current_version(), await store.load_model(1))
    assert [cut] == await store.rounds()
    assert 20 == await store.entries_added()


async def test_a_round_without_a_cut_moves_nothing(store: Store) -> None:
    epoch, cut = await fix(store)
    assert await store.commit_round(epoch, 1, b"one", 0)
    assert not await store.commit_round(epoch, 1, b"one", 0)
    assert not await store.commit_round(epoch, 2, b"two", 0)
    assert Checkpoint(1, cut, None, 0) == await store.load_checkpoint()
    assert (b"one", None) == (await store.load_model(1), await store.load_model(2))


async def test_a_learner_that_lost_its_lease_moves_nothing(store: Store) -> None:
    await teach(store)
    stale, cut = await fix(store, "old")
    await store.release_lease("old")
    epoch, _ = await fix(store, "new")
    assert not await store.fix_cut(stale, ("9-9",) * SHARDS)
    assert not await store.commit_round(stale, 1, b"stale model", 7)
    assert Checkpoint(0, ("0-0",) * SHARDS, cut, 0) == await store.load_checkpoint()
    assert await store.commit_round(epoch, 1, b"fresh model", 20)
    assert not await store.commit_round(stale, 1, b"stale model", 7)
    assert b"fresh model" == await store.load_model(1)


async def test_the_last_five_models_are_kept(store: Store) -> None:
    for version in range(1, 13):
        epoch, _ = await fix(store)
        assert await store.commit_round(epoch, version, b"model %d" % version, 0)
    kept = [version for version in range(14) if await store.load_model(version) is not None]
    assert [8, 9, 10, 11, 12] == kept
    assert b"model 10" == await store.load_model(10)
    assert 12 == len(await store.rounds())


@pytest.mark.parametrize("share_applied", [0.0, 1.0])
async def test_only_what_is_applied_and_old_is_trimmed(store: Store, share_applied: float) -> None:
    await teach(store)
    ends = await store.stream_ends()
    epoch = await store.acquire_lease("me", 60.0)
    assert epoch is not None
    cut = ends if share_applied else ("0-0",) * SHARDS
    await store.fix_cut(epoch, cut)
    await store.commit_round(epoch, 1, b"one", 0)
    youngest = max(int(end.partition("-")[0]) for end in ends)
    assert 0 == await store.trim(0)
    assert 20 * share_applied == await store.trim(youngest + 1)
    assert 20 - 20 * share_applied == len(await every_lesson(store))
    assert (ends, 20) == (await store.stream_ends(), await store.entries_added())


async def test_what_is_young_is_not_trimmed(store: Store) -> None:
    await teach(store)
    epoch, ends = await fix(store)
    await store.commit_round(epoch, 1, b"one", 20)
    oldest = min(int(end.partition("-")[0]) for end in ends if end != "0-0")
    assert 0 == await store.trim(oldest)
    assert 20 == len(await every_lesson(store))
