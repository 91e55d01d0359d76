"""Burden, and sends that were not made or wait for their confirmation."""

import pytest

from service.store.keys import idempotency_name
from service.store.protocol import Committed, EventStatus, Idempotency, Replayed, Store, UserRead
from tests.conformance.facts import (
    CLICK_ENDS,
    DAY,
    HOUR,
    NOW,
    UNSUBSCRIBE_ENDS,
    abstention,
    event,
    lessons,
    look,
    send,
    slices,
    taught,
    two_sends,
)

ACCEPTED, LATE, DUPLICATE = EventStatus.ACCEPTED, EventStatus.LATE, EventStatus.DUPLICATE
ONCE = Idempotency("api-key/u1/abc", "fingerprint-1")


async def test_an_external_send_adds_one_to_the_burden(store: Store) -> None:
    """1 halves in a day, plus 1: 1.5."""
    await store.commit([send("a")])
    await store.record_events([event("e1", "external_send", NOW + DAY)])
    user = await store.user("u1")
    assert (1.5, NOW + DAY, NOW + DAY) == (user.burden, user.burden_at, user.last_send_at)
    assert (2, 1) == (user.version, user.sends)


async def test_a_clock_that_steps_back_gives_no_burden_back(store: Store) -> None:
    await store.commit([send("a")])
    await store.record_events([event("e1", "external_send", NOW - DAY)])
    user = await store.user("u1")
    assert (2.0, NOW, NOW) == (user.burden, user.burden_at, user.last_send_at)


async def test_not_sent_takes_its_unit_out_exactly_once(store: Store) -> None:
    """After a day 1 of the first send is 1/2, of the second 1: 1.5; without the second 1/2."""
    await store.commit([send("a")])
    await store.commit([send("b", now=NOW + DAY, burden_after=1.5, expected_version=1)])
    for event_id, status in (("e1", ACCEPTED), ("e1", DUPLICATE), ("e2", ACCEPTED)):
        answer = await store.record_events([event(event_id, "not_sent", NOW + DAY, "b")])
        assert [status] == answer
        user = await store.user("u1")
        assert (0.5, NOW + DAY, NOW) == (user.burden, user.burden_at, user.last_send_at)
        assert (3, 1, 2) == (user.version, user.sends, user.decisions)


@pytest.mark.parametrize("taught_before", [False, True])
async def test_not_sent_censors_both_labels_whatever_came_before(
    store: Store, taught_before: bool
) -> None:
    """A click that had to wait for its lesson loses it; one already taught stays taught."""
    await store.commit([send("a")])
    await store.record_events([event("e1", "click", NOW + 1, "a")])
    if taught_before:
        await store.sweep(NOW + HOUR)
    await store.record_events([event("e2", "not_sent", NOW + HOUR, "a")])
    click = event("e3", "click", NOW + HOUR + 1, "a")
    assert [ACCEPTED] == await store.record_events([click])
    assert await store.sweep(NOW + 8 * DAY) is None
    expected = [("click", 1, 1.0, 0.0, 1.0)] if taught_before else []
    assert expected == taught(await lessons(store))
    found = await look(store, "a")
    assert (None, None, "censored") == (found.click, found.unsubscribe, found.status)


async def test_two_sends_taken_back_leave_no_last_send(store: Store) -> None:
    await two_sends(store)
    await store.record_events([event("e1", "not_sent", NOW + 2 * HOUR, "a")])
    assert NOW + HOUR == (await store.user("u1")).last_send_at
    await store.record_events([event("e2", "not_sent", NOW + 2 * HOUR, "b")])
    user = await store.user("u1")
    assert (None, 0) == (user.last_send_at, user.sends)


@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_of_two_sends_of_one_moment_the_other_stays_the_last(
    store: Store, order: str
) -> None:
    """One batch decides for a user twice; a third send came later. Each is taken back in turn."""
    await two_sends(store, NOW)
    await store.commit([send("c", now=NOW + HOUR, expected_version=2)])
    last = []
    for n, name in enumerate(f"c{order}"):
        await store.record_events([event(f"e{n}", "not_sent", NOW + 2 * HOUR, name)])
        last.append((await store.user("u1")).last_send_at)
    assert [NOW, NOW, None] == last


@pytest.mark.parametrize("first", ["a", "b"])
async def test_the_next_send_brings_back_only_what_was_sent(store: Store, first: str) -> None:
    """Of two sends of one moment one is taken back, then the send after them, then the other."""
    await two_sends(store, NOW)
    await store.commit([send("c", now=NOW + HOUR, expected_version=2)])
    last = []
    for n, name in enumerate([first, "c", "ba"["ab".index(first)]]):
        await store.record_events([event(f"e{n}", "not_sent", NOW + 2 * HOUR, name)])
        last.append((await store.user("u1")).last_send_at)
    assert [NOW + HOUR, NOW, None] == last


async def test_a_late_not_sent_acts_on_the_user_alone(store: Store) -> None:
    await store.commit([send("a")])
    at = NOW + UNSUBSCRIBE_ENDS
    await store.sweep(at)
    assert [LATE] == await store.record_events([event("e1", "not_sent", at, "a")])
    user = await store.user("u1")
    assert (0, None, 2) == (user.sends, user.last_send_at, user.version)
    assert pytest.approx(0.0, abs=1e-12) == user.burden
    found = await look(store, "a")
    assert (0.0, 0.0, "resolved") == (found.click, found.unsubscribe, found.status)


async def test_not_sent_overrules_sent(store: Store) -> None:
    await store.commit([send("a", confirm_by=NOW + HOUR)])
    events = [event("e1", "sent", NOW + 1, "a"), event("e2", "not_sent", NOW + 2, "a")]
    assert [ACCEPTED, ACCEPTED] == await store.record_events(events)
    assert "censored" == (await look(store, "a")).status
    assert 0 == (await store.user("u1")).sends
    assert [ACCEPTED] == await store.record_events([event("e3", "sent", NOW + 3, "a")])
    assert 0 == (await store.user("u1")).sends


async def test_an_abstention_that_was_not_carried_out_teaches_nothing(store: Store) -> None:
    silence = abstention("a", gain_event="conversion", teaching=b"x", slices=slices(NOW)[:2])
    await store.commit([silence])
    assert [ACCEPTED] == await store.record_events([event("e1", "not_sent", NOW + 1, "a")])
    await store.sweep(NOW + 2 * DAY)
    assert "censored" == (await look(store, "a")).status
    assert [] == await lessons(store)


async def test_an_abstention_without_labels_is_left_out_like_a_send(store: Store) -> None:
    """Whatever was drawn: else the rows that are left would prefer silence."""
    await store.commit([abstention("a")])
    assert [ACCEPTED] == await store.record_events([event("e1", "not_sent", NOW + 1, "a")])
    assert "censored" == (await look(store, "a")).status
    assert await store.sweep(NOW + 9 * DAY) is None


async def test_a_deferred_decision_waits_for_its_confirmation(store: Store) -> None:
    """Slices due before the confirmation are taught after it, with the delays they had."""
    await store.commit([send("a", confirm_by=NOW + DAY / 2)])
    assert NOW + DAY / 2 == await store.sweep(NOW + 2 * HOUR)
    assert [] == await lessons(store)
    await store.record_events([event("e1", "sent", NOW + 3 * HOUR, "a")])
    assert NOW + CLICK_ENDS == await store.sweep(NOW + 3 * HOUR)
    assert [("click", 0, 0.5, 0.0, HOUR)] == taught(await lessons(store))


@pytest.mark.parametrize("swept", [False, True])
async def test_without_confirmation_it_is_censored_and_taken_back(
    store: Store, swept: bool
) -> None:
    await store.commit([send("a", confirm_by=NOW + HOUR)])
    if swept:
        await store.sweep(NOW + HOUR)
    assert [LATE] == await store.record_events([event("e1", "sent", NOW + HOUR, "a")])
    assert [ACCEPTED] == await store.record_events([event("e2", "click", NOW + HOUR, "a")])
    assert [] == await lessons(store)
    user = await store.user("u1")
    assert (0, None, 2) == (user.sends, user.last_send_at, user.version)
    found = await look(store, "a")
    assert (None, None, "censored") == (found.click, found.unsubscribe, found.status)
    await store.record_events([event("e3", "not_sent", NOW + 2 * HOUR, "a")])
    assert 0 == (await store.user("u1")).sends
    assert await store.sweep(NOW + 9 * DAY) is None


@pytest.mark.parametrize("kind", ["click", "dismiss", "unsubscribe"])
async def test_what_only_a_push_can_cause_confirms_it(store: Store, kind: str) -> None:
    await store.commit([send("a", confirm_by=NOW + HOUR)])
    await store.record_events([event("e1", kind, NOW + 1, "a")])
    await store.sweep(NOW + 9 * DAY)
    assert "resolved" == (await look(store, "a")).status
    assert 1 == (await store.user("u1")).sends


@pytest.mark.parametrize("lapsed", [False, True])
async def test_the_answer_of_a_send_taken_back_is_not_given_again(
    store: Store, lapsed: bool
) -> None:
    """Else the retry would deliver a push that neither burden, caps nor log know of."""
    await store.commit([send("a", idempotency=ONCE, confirm_by=NOW + HOUR if lapsed else None)])
    assert isinstance((await store.read_users([UserRead("u1", ONCE)]))[0], Replayed)
    if lapsed:
        await store.sweep(NOW + HOUR)
    else:
        await store.record_events([event("e1", "not_sent", NOW + 1, "a")])
    assert [await store.user("u1")] == await store.read_users([UserRead("u1", ONCE)])
    again = send("b", now=NOW + 2 * HOUR, expected_version=2, idempotency=ONCE)
    assert [Committed()] == await store.commit([again])


async def test_the_next_answer_under_the_same_key_is_another_decisions(store: Store) -> None:
    """Whatever still happens to the send that was taken back."""
    await store.commit([send("a", idempotency=ONCE)])
    await store.record_events([event("e1", "not_sent", NOW + 1, "a")])
    await store.commit([send("b", now=NOW + 2, expected_version=2, idempotency=ONCE)])
    await store.record_events([event("e2", "not_sent", NOW + 3, "a")])
    replayed = Replayed(ONCE.fingerprint, b"answer of b")
    assert [replayed] == await store.read_users([UserRead("u1", ONCE)])
    name = idempotency_name(ONCE.key).decode()
    assert (name,) == (await store.holdings("u1")).idempotency_records
    assert 1 == (await store.erase("u1", NOW + 4))["idempotency_records"]


async def test_an_abstention_not_carried_out_is_answered_again(store: Store) -> None:
    await store.commit([abstention("a", idempotency=ONCE)])
    await store.record_events([event("e1", "not_sent", NOW + 1, "a")])
    replayed = Replayed(ONCE.fingerprint, b"answer of a")
    assert [replayed] == await store.read_users([UserRead("u1", ONCE)])
