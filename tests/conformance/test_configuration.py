"""The configuration: parts that change together, versions, and the record of who changed what."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from service.store import limits
from service.store.memory import MemoryStore
from service.store.protocol import (
    AuditedPart,
    AuditEntry,
    Change,
    Changed,
    Outdated,
    Store,
    StoredConfiguration,
)
from service.store.redis import RedisStore
from tests.conformance.facts import HALF_LIFE_S, NOW, SECRET, change


async def test_before_the_first_change_there_is_nothing(store: Store) -> None:
    assert StoredConfiguration() == await store.configuration()
    assert 0 == await store.configuration_version()
    assert [] == await store.audit(None, 10)


async def test_parts_change_together_and_tell_what_stood_there(store: Store) -> None:
    assert Changed(1, {}) == await store.configure(change({"rules": b"1", "message/é": b"2"}))
    replaced = {"rules": b"1", "message/é": b"2"}
    changed = await store.configure(change({"rules": b"3", "message/é": None, "new": b"4"}))
    assert Changed(2, replaced) == changed
    assert StoredConfiguration(2, {"rules": b"3", "new": b"4"}) == await store.configuration()


async def test_what_changes_nothing_is_no_change(store: Store) -> None:
    await store.configure(change({"rules": b"1"}))
    again = await store.configure(change({"rules": b"1", "message/m": None}))
    assert Changed(1, {"rules": b"1"}) == again
    assert 1 == len(await store.audit(None, 10))


async def test_a_change_made_for_another_version_is_refused_whole(store: Store) -> None:
    await store.configure(change({"rules": b"1"}, expected=0))
    refused = await store.configure(change({"rules": b"2", "prices": b"3"}, expected=0))
    assert Outdated(1) == refused
    assert StoredConfiguration(1, {"rules": b"1"}) == await store.configuration()
    assert Changed(2, {"rules": b"1"}) == await store.configure(change({"rules": b"2"}, expected=1))


async def test_the_record_says_who_when_before_and_after(store: Store) -> None:
    await store.configure(change({"rules": b"1", "same": b"s"}))
    second = Change("k2", NOW + 0.5, {"rules": b"2", "same": b"s", "gone": None, "new": b"n"})
    await store.configure(second)
    await store.configure(change({"rules": None}))
    parts = (AuditedPart("rules", b"1", b"2"), AuditedPart("new", None, b"n"))
    latest, middle, _ = await store.audit(None, 10)
    assert AuditEntry(3, NOW, "somebody", (AuditedPart("rules", b"2", None),)) == latest
    assert AuditEntry(2, NOW + 0.5, "k2", parts) == middle


async def test_the_record_is_read_in_pages(store: Store) -> None:
    for number in range(5):
        await store.configure(change({"rules": b"%d" % number}))
    pages = [await store.audit(before, 2) for before in (None, 4, 2)]
    assert [[5, 4], [3, 2], [1]] == [[entry.version for entry in page] for page in pages]


async def test_the_record_keeps_the_last_changes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("memory_configuration", "redis_configuration"):
        monkeypatch.setattr(f"service.store.{place}.AUDIT_ENTRIES", 3)
    for number in range(5):
        await store.configure(change({"rules": b"%d" % number}))
    assert [5, 4, 3] == [entry.version for entry in await store.audit(None, 10)]


async def test_the_record_is_bounded_in_size_but_keeps_the_last_change(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 60 bytes at a time (30 before, 30 after; the first 30), 150 hold two; one of 300 stays."""
    for place in ("memory_configuration", "redis_configuration"):
        monkeypatch.setattr(f"service.store.{place}.AUDIT_BYTES", 150)
    for number in range(5):
        await store.configure(change({"rules": b"%030d" % number}))
    assert [5, 4] == [entry.version for entry in await store.audit(None, 10)]
    await store.configure(change({"rules": b"%0300d" % 7}))
    assert [6] == [entry.version for entry in await store.audit(None, 10)]
    await store.configure(change({"rules": b"1"}))
    assert [7] == [entry.version for entry in await store.audit(None, 10)]


def test_the_bounds_are_what_the_documents_say() -> None:
    assert (1_000, 16 * 2**20) == (limits.AUDIT_ENTRIES, limits.AUDIT_BYTES)


changes = st.builds(
    Change,
    by=st.sampled_from(["k1", "file"]),
    at=st.floats(0, 2e9),
    parts=st.dictionaries(
        st.sampled_from(["rules", "prices", "message/a", "message/b"]),
        st.sampled_from([None, b"1", b"2", b'"\xc3\xa9"']),
        max_size=4,
    ),
    expected=st.sampled_from([None, None, 0, 1, 2, 3]),
)


@settings(max_examples=40, deadline=None)
@given(history=st.lists(changes, max_size=8))
def test_both_stores_are_configured_alike(redis_url: str, history: list[Change]) -> None:
    Redis.from_url(redis_url).flushall()
    asyncio.run(_alike(redis_url, history))


async def _alike(url: str, history: list[Change]) -> None:
    redis = await RedisStore.open(url, half_life_s=HALF_LIFE_S, tombstone_secret=SECRET)
    memory = MemoryStore(half_life_s=HALF_LIFE_S, tombstone_secret=SECRET)
    try:
        for one in history:
            assert await memory.configure(one) == await redis.configure(one)
            assert await memory.configuration() == await redis.configuration()
        assert await memory.audit(None, 99) == await redis.audit(None, 99)
    finally:
        await redis.close()
