"""Reading users and committing decisions."""

import pytest

from engine.history import Send
from service.store.protocol import (
    Committed,
    Conflict,
    Idempotency,
    Store,
    StoredUser,
    UserRead,
)
from tests.conformance.facts import NOW, abstention, change, send

ONCE = Idempotency("api-key/u1/abc", "fingerprint-1")


async def test_a_user_never_seen_has_the_defaults(store: Store) -> None:
    assert [StoredUser()] == await store.read_users([UserRead("nobody")])


async def test_a_send_becomes_the_users_state(store: Store) -> None:
    assert [Committed()] == await store.commit([send("a")])
    sent = (Send(NOW, "spring_sale", (), 1),)
    expected = StoredUser(1, 1.0, NOW, NOW, NOW, decisions=1, sends=1, history=sent)
    assert [expected] == await store.read_users([UserRead("u1")])
    assert expected == await store.user("u1")


async def test_an_abstention_counts_but_raises_no_version(store: Store) -> None:
    await store.commit([abstention("a")])
    assert StoredUser(first_seen_at=NOW, decisions=1) == await store.user("u1")


@pytest.mark.parametrize("make", [send, abstention])
async def test_a_decision_made_with_an_older_configuration_is_a_conflict_for_every_action(
    store: Store, make: object
) -> None:
    await store.configure(change({"message/spring_sale": b"{}"}))
    assert callable(make)
    assert [Conflict(StoredUser(), outdated=True)] == await store.commit([make("a")])
    assert StoredUser() == await store.user("u1")
    assert [Committed()] == await store.commit([make("a", catalog_version=1)])


@pytest.mark.parametrize("body", [b"{}", None], ids=["written", "removed"])
async def test_every_change_of_the_configuration_is_in_force_in_every_shard(
    store: Store, body: bytes | None
) -> None:
    """100 users, in nearly all of the 64 shards."""
    await store.configure(change({"message/m": b"1"}))
    await store.configure(change({"message/m": body}))
    made = [send("a", f"user{i}", catalog_version=1) for i in range(100)]
    outcomes = await store.commit(made)
    assert [Conflict(StoredUser(), outdated=True)] * 100 == outcomes


async def test_a_contention_record_is_kept_whatever_the_configuration(store: Store) -> None:
    await store.configure(change({"pause": b"true"}))
    assert [Committed()] == await store.commit([abstention("a", censored=True)])
