"""Reading users and committing decisions."""

import asyncio

import pytest

from engine.errors import BadInput
from engine.history import Send
from service.store.protocol import (
    Committed,
    Conflict,
    Idempotency,
    Replayed,
    Store,
    StoredDecision,
    StoredUser,
    UserRead,
)
from tests.conformance.facts import DAY, NOW, abstention, event, send

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
async def test_a_state_that_changed_is_a_conflict_for_every_action(
    store: Store, make: object
) -> None:
    await store.commit([send("a")])
    assert callable(make)
    outcome = await store.commit([make("b", now=NOW + 1)])
    assert [Conflict(await store.user("u1"))] == outcome
    assert 1 == (await store.user("u1")).decisions
    assert await store.decision(send("b").decision_id) is None


async def test_a_send_to_an_unsubscribed_user_is_a_conflict_at_the_right_version(
    store: Store,
) -> None:
    await store.record_events([event("e1", "unsubscribe", NOW)])
    user = await store.user("u1")
    assert user.unsubscribed
    assert [Conflict(user)] == await store.commit([send("a", expected_version=user.version)])
    assert [Committed()] == await store.commit([abstention("b", expected_version=user.version)])


async def test_of_racing_commits_one_wins(store: Store) -> None:
    racing = [store.commit([send(f"d{i}")]) for i in range(8)]
    outcomes = [outcome for (outcome,) in await asyncio.gather(*racing)]
    assert 1 == outcomes.count(Committed())
    assert 7 == sum(isinstance(outcome, Conflict) for outcome in outcomes)
    assert 1 == (await store.user("u1")).sends


async def test_a_list_is_answered_in_order(store: Store) -> None:
    users = [f"user{i}" for i in range(200)]
    await store.commit([send("a", user) for user in users[::2]])
    states = await store.read_users([UserRead(user) for user in users])
    assert [1, 0] * 100 == [state.version for state in states if isinstance(state, StoredUser)]
    outcomes = await store.commit([abstention("b", user) for user in users])
    assert [False, True] * 100 == [isinstance(outcome, Committed) for outcome in outcomes]


async def test_an_empty_list_is_answered_by_an_empty_list(store: Store) -> None:
    assert [] == await store.read_users([])
    assert [] == await store.commit([])
    assert [] == await store.record_events([])


async def test_a_second_commit_with_the_same_key_replays_the_first_answer(store: Store) -> None:
    await store.commit([send("a", idempotency=ONCE)])
    expected = Replayed("fingerprint-1", b"answer of a")
    assert [expected] == await store.commit([send("b", idempotency=ONCE, expected_version=1)])
    assert [expected] == await store.read_users([UserRead("u1", ONCE)])
    assert 1 == (await store.user("u1")).sends


async def test_a_conflict_leaves_no_idempotency_record(store: Store) -> None:
    await store.commit([send("a")])
    await store.commit([send("b", idempotency=ONCE)])
    assert [await store.user("u1")] == await store.read_users([UserRead("u1", ONCE)])


async def test_an_answer_may_hold_any_bytes(store: Store) -> None:
    answer = bytes(range(256)) * 2
    await store.commit([send("a", idempotency=ONCE, answer=answer, row=answer)])
    assert [Replayed("fingerprint-1", answer)] == await store.read_users([UserRead("u1", ONCE)])
    found = await store.decision(send("a").decision_id)
    assert found is not None
    assert answer == found.row


async def test_a_contention_record_compares_and_changes_no_state(store: Store) -> None:
    await store.commit([send("a")])
    before = await store.user("u1")
    contention = abstention("b", censored=True)
    assert [Committed()] == await store.commit([contention])
    assert before == await store.user("u1")
    expected = StoredDecision(b"row of b", None, None, "censored", ())
    assert expected == await store.decision(contention.decision_id)


async def test_an_abstention_without_open_labels_is_resolved_at_once(store: Store) -> None:
    await store.commit([abstention("a")])
    expected = StoredDecision(b"row of a", None, None, "resolved", ())
    assert expected == await store.decision(abstention("a").decision_id)
    assert await store.sweep(NOW + 30 * DAY) is None


async def test_a_decision_that_was_never_made_is_none(store: Store) -> None:
    for strange in ("07-nothing", "99-nothing", "", "nonsense", "7-x", "\u0667\u0667-x"):
        assert await store.decision(strange) is None


async def test_a_window_longer_than_the_retention_is_refused_in_a_sentence(store: Store) -> None:
    await store.commit([send("a", now=NOW)])
    with pytest.raises(BadInput, match="decisions are kept 777600 s"):
        await store.commit([abstention("b", confirm_by=NOW + 9 * DAY)])
    with pytest.raises(BadInput, match="can only abstain"):
        await store.commit([send("c", censored=True)])


async def test_numbers_keep_every_digit(store: Store) -> None:
    now, burden = NOW + 1 / 3, 2 / 3
    await store.commit([send("a", now=now, burden_after=burden)])
    user = await store.user("u1")
    assert (burden, now, now, now) == (
        user.burden,
        user.burden_at,
        user.last_send_at,
        user.first_seen_at,
    )


@pytest.mark.parametrize("make", [send, abstention])
async def test_a_decision_made_with_an_older_catalog_is_a_conflict_for_every_action(
    store: Store, make: object
) -> None:
    await store.put_message("spring_sale", b"{}")
    assert callable(make)
    assert [Conflict(StoredUser(), outdated=True)] == await store.commit([make("a")])
    assert StoredUser() == await store.user("u1")
    assert [Committed()] == await store.commit([make("a", catalog_version=1)])


@pytest.mark.parametrize("change", ["put", "delete", "pause", "resume"])
async def test_every_change_of_the_catalog_is_in_force_in_every_shard(
    store: Store, change: str
) -> None:
    """100 users, in nearly all of the 64 shards."""
    match change:
        case "put":
            await store.put_message("m", b"{}")
        case "delete":
            await store.delete_message("m")
        case _:
            await store.set_paused(change == "pause")
    outcomes = await store.commit([send("a", f"user{i}") for i in range(100)])
    assert [Conflict(StoredUser(), outdated=True)] * 100 == outcomes


async def test_a_contention_record_is_kept_whatever_the_catalog(store: Store) -> None:
    await store.set_paused(True)
    assert [Committed()] == await store.commit([abstention("a", censored=True)])
