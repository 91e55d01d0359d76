"""Reading users and committing decisions."""

from collections.abc import Callable

import pytest

from engine.history import Send
from service.store.protocol import (
    Commit,
    Committed,
    Conflict,
    Idempotency,
    Store,
    StoredUser,
    UserRead,
)
from tests.conformance.facts import NOW, abstention, change, event, send

ONCE = Idempotency("api-key/u1/abc", "fingerprint-1")


async def test_a_user_never_seen_has_the_defaults(store: Store) -> None:
    assert [StoredUser()] == await store.read_users([UserRead("nobody")])


async def test_a_send_becomes_the_users_state(store: Store) -> None:
    assert [Committed()] == await store.commit([send("a")])
    sent = (Send(NOW, "spring_sale", (), 1),)
    expected = StoredUser(1, 1.0, NOW, NOW, NOW, decisions=1, sends=1, history=sent, mean_value=1.0)
    assert [expected] == await store.read_users([UserRead("u1")])
    assert expected == await store.user("u1")


async def test_an_abstention_counts_but_raises_no_version(store: Store) -> None:
    await store.commit([abstention("a")])
    expected = StoredUser(first_seen_at=NOW, decisions=1, mean_value=1.0)
    assert expected == await store.user("u1")


@pytest.mark.parametrize("make", [send, abstention])
async def test_a_user_keeps_a_running_mean_of_what_a_click_is_worth(
    store: Store, make: Callable[..., Commit]
) -> None:
    """2, then a tenth of the way to 12: 2 + 10/10 = 3. What was not decided leaves it alone."""
    await store.record_events([event("e1", "external_send", NOW)])
    assert (await store.user("u1")).mean_value is None
    found = []
    for name, value in (("a", 2.0), ("b", 12.0)):
        version = (await store.user("u1")).version
        assert [Committed()] == await store.commit(
            [make(name, expected_version=version, value=value)]
        )
        found.append((await store.user("u1")).mean_value)
    await store.commit([abstention("c", censored=True, value=100.0)])
    (conflict,) = await store.commit([make("d", expected_version=99, value=100.0)])
    assert isinstance(conflict, Conflict)
    assert [2.0, 3.0, 3.0, 3.0] == [
        *found, conflict.user.mean_value, (await store.user("u1")).mean_value,
    ]  # fmt: skip
    await store.erase("u1", NOW)
    assert (await store.user("u1")).mean_value is None


async def test_a_mean_value_may_leave_one_and_come_back(store: Store) -> None:
    """1, 1, then a tenth of the way to 0, then to 10: 0.9 and 1.81."""
    found = []
    for n, value in enumerate((1.0, 1.0, 0.0, 10.0)):
        await store.commit([abstention(f"d{n}", value=value)])
        found.append((await store.user("u1")).mean_value)
    assert [1.0, 1.0, 0.9, pytest.approx(1.81)] == found


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
