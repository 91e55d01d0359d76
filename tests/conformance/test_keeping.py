"""Erasure, imports, the catalog and the API keys."""

import pytest

from engine.consent import NOWHERE
from service.store.keys import idempotency_name
from service.store.protocol import (
    EventStatus,
    Holdings,
    Idempotency,
    Store,
    StoredUser,
    UserRead,
)
from tests.conformance.facts import (
    DAY,
    HOUR,
    NOW,
    abstention,
    decision_id,
    event,
    every_lesson,
    lessons,
    send,
)

ONCE = Idempotency("api-key/u1/abc", "fingerprint-1")
ANOTHER = Idempotency("api-key/u1/def", "fingerprint-2")


async def a_user_with_a_past(store: Store) -> None:
    await store.commit([send("a", idempotency=ONCE)])
    await store.commit([abstention("b", now=NOW + 1, expected_version=1, idempotency=ANOTHER)])
    await store.record_events([event("e1", "click", NOW + 2, "a")])


async def test_erasure_counts_what_it_deletes(store: Store) -> None:
    await a_user_with_a_past(store)
    expected = {
        "users": 1,
        "decisions": 2,
        "event_ids": 1,
        "idempotency_records": 2,
        "tombstones_left": 0,
        "log_entries": 3,
    }
    assert expected == await store.erase("u1", NOW + 3)
    assert StoredUser() == await store.user("u1")
    assert await store.decision(decision_id("u1", "a")) is None
    assert [StoredUser()] == await store.read_users([UserRead("u1", ONCE)])
    assert await store.sweep(NOW + 9 * DAY) is None
    assert dict.fromkeys(expected, 0) == await store.erase("u1", NOW + 4)


async def test_holdings_are_what_erasure_would_delete(store: Store) -> None:
    """A decision censored at once leaves labels in the log too: 2 decisions, 2 events, 1 labels.

    The answer of the send that was taken back is gone, that of the abstention is there.
    """
    await a_user_with_a_past(store)
    await store.record_events([event("e2", "not_sent", NOW + 3, "a")])
    await store.commit([send("z", "u2")])
    held = await store.holdings("u1")
    kinds = [(entry.kind, entry.decision_id, entry.event_id) for entry in held.log]
    a, b = decision_id("u1", "a"), decision_id("u1", "b")
    assert [
        ("decision", a, ""),
        ("decision", b, ""),
        ("event", a, "e1"),
        ("labels", a, ""),
        ("event", a, "e2"),
    ] == kinds
    assert (NOW + 3, NOW + 3) == (held.log[-1].at, held.log[-1].arrived)
    assert ((a, b), ("e1", "e2")) == (held.decisions, held.event_ids)
    assert (idempotency_name(ANOTHER.key).decode(),) == held.idempotency_records
    erased = await store.erase("u1", NOW + 4)
    assert (2, 2, 1, 5) == tuple(
        erased[kind] for kind in ("decisions", "event_ids", "idempotency_records", "log_entries")
    )
    assert Holdings((), (), (), ()) == await store.holdings("u1")


async def test_events_after_erasure_are_unknown(store: Store) -> None:
    await a_user_with_a_past(store)
    await store.erase("u1", NOW + 3)
    late = event("e2", "click", NOW + 4, "a")
    assert [EventStatus.UNKNOWN] == await store.record_events([late])


async def test_a_click_not_yet_taught_goes_with_its_user(store: Store) -> None:
    await a_user_with_a_past(store)
    await store.erase("u1", NOW + 3)
    assert await store.sweep(NOW + 9 * DAY) is None
    assert [] == await every_lesson(store)


async def test_lessons_already_taught_survive_erasure(store: Store) -> None:
    await a_user_with_a_past(store)
    await store.sweep(NOW + HOUR)
    before = await lessons(store)
    await store.erase("u1", NOW + HOUR + 1)
    assert 1 == len(before)
    assert before == await every_lesson(store)


async def test_an_erased_unsubscriber_stays_unsubscribed(store: Store) -> None:
    await a_user_with_a_past(store)
    await store.record_events([event("e2", "unsubscribe", NOW + 3)])
    assert 1 == (await store.erase("u1", NOW + 4))["tombstones_left"]
    assert StoredUser(consent=NOWHERE) == await store.user("u1")
    (conflict,) = await store.commit([send("c")])
    assert StoredUser(consent=NOWHERE) == getattr(conflict, "user", None)
    await store.commit([abstention("d")])
    await store.record_events([event("e3", "unsubscribe", NOW + 5)])
    assert (await store.user("u1")).unsubscribed
    await store.erase("u1", NOW + 6)
    assert (await store.user("u1")).unsubscribed


async def test_subscribe_lifts_the_tombstone(store: Store) -> None:
    await store.record_events([event("e1", "unsubscribe", NOW)])
    await store.erase("u1", NOW + 1)
    await store.record_events([event("e2", "subscribe", NOW + 2)])
    assert not (await store.user("u1")).unsubscribed
    await store.erase("u1", NOW + 3)
    assert not (await store.user("u1")).unsubscribed


async def test_one_users_erasure_is_no_other_users(store: Store) -> None:
    await a_user_with_a_past(store)
    other = send("a", "u1:ud")
    await store.commit([other])
    await store.erase("u1", NOW + 3)
    assert 1 == (await store.user("u1:ud")).sends
    assert await store.decision(other.decision_id) is not None


async def test_imported_opt_outs_teach_nothing(store: Store) -> None:
    await store.commit([send("a")])
    await store.record_events([event("e1", "unsubscribe", NOW, user_id="u2")])
    assert 2 == await store.import_unsubscribed(["u1", "u2", "u3"], NOW + 1)
    assert 0 == await store.import_unsubscribed(["u1", "u2", "u3"], NOW + 2)
    await store.sweep(NOW + 9 * DAY)
    assert {"click"} == {entry.head for entry in await every_lesson(store)}
    for user_id in ("u1", "u2", "u3"):
        assert (await store.user(user_id)).unsubscribed


async def test_api_keys_are_kept_by_id(store: Store) -> None:
    assert {} == await store.api_keys()
    await store.put_api_key("k1", b"hash")
    await store.put_api_key("k1", b"hash2")
    assert {"k1": b"hash2"} == await store.api_keys()


@pytest.mark.parametrize(
    "user_id", ["", "\u00fc\u4e16\U0001f600", "a b\nc", "{s00}:u:x", "x" * 500]
)
async def test_any_text_is_a_user_id(store: Store, user_id: str) -> None:
    await store.commit([send("a", user_id)])
    await store.record_events([event("e 1\n", "click", NOW + 1, "a", user_id)])
    assert (1, 1) == ((await store.user(user_id)).sends, (await store.user(user_id)).clicks)
    assert 1 == (await store.erase(user_id, NOW))["decisions"]
