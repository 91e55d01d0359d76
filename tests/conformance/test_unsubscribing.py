"""Whom an unsubscribe is put down to, and what it teaches."""

from dataclasses import replace

import pytest

from service.store.protocol import Event, EventStatus, EventType, Store
from tests.conformance.facts import (
    DAY,
    HOUR,
    NOW,
    UNSUBSCRIBE_ENDS,
    decision_id,
    event,
    lessons,
    look,
    send,
    slices,
    taught,
    two_sends,
)

ACCEPTED, LATE, DUPLICATE, UNKNOWN = (
    EventStatus.ACCEPTED,
    EventStatus.LATE,
    EventStatus.DUPLICATE,
    EventStatus.UNKNOWN,
)


async def test_a_named_unsubscribe_is_the_named_decisions_alone(store: Store) -> None:
    await two_sends(store)
    at = NOW + 2 * HOUR
    assert [ACCEPTED] == await store.record_events([event("e1", "unsubscribe", at, "b")])
    assert [("unsubscribe", 1, 1.0, 0.0, HOUR)] == taught(await lessons(store))
    assert 1.0 == (await look(store, "b")).unsubscribe
    await store.sweep(NOW + 9 * DAY)
    found = await look(store, "a")
    assert (0.0, None, "resolved") == (found.click, found.unsubscribe, found.status)
    user = await store.user("u1")
    assert (True, 3) == (user.unsubscribed, user.version)


async def test_an_unnamed_unsubscribe_is_shared_by_hazard(store: Store) -> None:
    """Hazards 0.01 and 0.03: a quarter and three quarters of one unsubscribe.

    At two days and a half, half of the first send's negative has been taught, none of the
    second's: the first is owed 1 - 1/4 - 1/2 = 1/4 of a negative, the second 1 - 3/4 = 1/4.
    """
    await two_sends(store, NOW + DAY)
    at = NOW + 2.5 * DAY
    await store.sweep(at)
    before = len(await lessons(store))
    assert [ACCEPTED] == await store.record_events([event("e1", "unsubscribe", at)])
    expected = [
        ("unsubscribe", 1, 0.25, 0.5, 2.5 * DAY),
        ("unsubscribe", 0, 0.25, 0.5, 2.5 * DAY),
        ("unsubscribe", 1, 0.75, 0.0, 1.5 * DAY),
        ("unsubscribe", 0, 0.25, 0.0, 1.5 * DAY),
    ]
    found = taught((await lessons(store))[before:])
    assert [e[0] for e in expected] == [e[0] for e in found]
    for want, got in zip(expected, found, strict=True):
        assert want[1:] == pytest.approx(got[1:])
    first, second = await look(store, "a"), await look(store, "b")
    assert pytest.approx(0.25) == first.unsubscribe
    assert pytest.approx(0.75) == second.unsubscribe
    assert ("unsubscribe", at) in first.events


async def test_shares_are_equal_when_no_hazard_was_logged(store: Store) -> None:
    await store.commit([send("a", hazard=0.0)])
    await store.commit([send("b", hazard=0.0, expected_version=1)])
    await store.record_events([event("e1", "unsubscribe", NOW + 1)])
    assert 0.5 == (await look(store, "a")).unsubscribe == (await look(store, "b")).unsubscribe


async def test_sends_older_than_a_week_are_censored_not_blamed(store: Store) -> None:
    long = (slices(NOW)[0], slices(NOW)[1], *(slices(NOW + 1.5 * DAY)[2:]))
    await store.commit([send("a", slices=long)])
    await store.commit([send("b", now=NOW + DAY, expected_version=1)])
    await store.record_events([event("e1", "unsubscribe", NOW + 7 * DAY + 1)])
    first, second = await look(store, "a"), await look(store, "b")
    assert (None, 1.0) == (first.unsubscribe, second.unsubscribe)


async def test_a_send_of_exactly_a_week_ago_takes_its_share(store: Store) -> None:
    """The window of the first send is a day longer than a week."""
    await store.commit([send("a", slices=slices(NOW + DAY))])
    await store.commit([send("b", now=NOW + DAY, expected_version=1)])
    await store.record_events([event("e1", "unsubscribe", NOW + 7 * DAY)])
    first, second = await look(store, "a"), await look(store, "b")
    assert (0.5, 0.5) == (first.unsubscribe, second.unsubscribe)


@pytest.mark.parametrize("swept", [False, True])
async def test_a_closed_label_takes_no_share_and_stays_zero(store: Store, swept: bool) -> None:
    await two_sends(store, NOW + DAY)
    at = NOW + UNSUBSCRIBE_ENDS
    if swept:
        await store.sweep(at)
    await store.record_events([event("e1", "unsubscribe", at)])
    await store.sweep(at)
    first, second = await look(store, "a"), await look(store, "b")
    assert (0.0, 1.0) == (first.unsubscribe, second.unsubscribe)


async def test_a_late_unsubscribe_acts_on_the_user_alone(store: Store) -> None:
    await two_sends(store, NOW + DAY)
    at = NOW + UNSUBSCRIBE_ENDS
    assert [LATE] == await store.record_events([event("e1", "unsubscribe", at, "a")])
    assert (await store.user("u1")).unsubscribed
    assert all(entry.label == 0 for entry in await lessons(store))
    assert (await look(store, "b")).unsubscribe is None
    await store.sweep(at)
    assert 0.0 == (await look(store, "a")).unsubscribe
    assert "resolved" == (await look(store, "b")).status


async def test_a_second_unsubscribe_teaches_nothing_more(store: Store) -> None:
    await two_sends(store)
    events = [
        event("e1", "unsubscribe", NOW + DAY, "a"),
        event("e2", "unsubscribe", NOW + DAY, "b"),
    ]
    assert [ACCEPTED, ACCEPTED] == await store.record_events(events)
    assert 1 == len(await lessons(store))
    assert 3 == (await store.user("u1")).version


@pytest.mark.parametrize("other", ["conversion", "subscribe", "external_send"])
async def test_another_events_id_loses_no_unsubscribe(store: Store, other: str) -> None:
    await store.record_events([event("m2", other, NOW)])
    left = event("m2", "unsubscribe", NOW + 1)
    assert [ACCEPTED, DUPLICATE] == await store.record_events([left, left])
    assert (await store.user("u1")).unsubscribed


async def test_subscribe_brings_a_user_back(store: Store) -> None:
    await store.record_events([event("e1", "unsubscribe", NOW)])
    assert [ACCEPTED] == await store.record_events([event("e2", "subscribe", NOW + 1)])
    user = await store.user("u1")
    assert (False, 2) == (user.unsubscribed, user.version)
    await store.record_events([event("e3", "subscribe", NOW + 2)])
    assert 2 == (await store.user("u1")).version


async def test_an_unknown_unsubscribe_leaves_open_labels_without_a_value(store: Store) -> None:
    await store.commit([send("a")])
    assert [UNKNOWN] == await store.record_events([event("e1", "unsubscribe", NOW, "never")])
    await store.sweep(NOW + 9 * DAY)
    found = await look(store, "a")
    assert (0.0, None, "resolved") == (found.click, found.unsubscribe, found.status)


async def test_an_opt_out_that_names_a_decision_long_gone_is_on_record(store: Store) -> None:
    """Without the decision's id: nothing says that it was this user's."""
    await store.commit([send("a", "u2")])
    foreign = Event("e1", EventType.UNSUBSCRIBE, "u1", NOW, NOW, decision_id("u2", "a"))
    gone = event("e2", "unsubscribe", NOW + 9 * DAY, "a", "u2")
    assert [UNKNOWN, UNKNOWN] == await store.record_events([foreign, gone])
    for user, name in (("u1", "e1"), ("u2", "e2")):
        held = await store.holdings(user)
        last = held.log[-1]
        assert ("unsubscribe", "unknown", None) == (last.type, last.status, last.decision_id)
        assert (name, (name,)) == (last.event_id, held.event_ids)
        assert (await store.user(user)).unsubscribed


async def test_an_opt_out_told_again_does_not_undo_a_return(store: Store) -> None:
    """Whatever the decision that it names."""
    leave = event("e1", "unsubscribe", NOW, "never")
    back = event("e2", "subscribe", NOW + 1)
    again = replace(leave, now=NOW + 2)
    assert [UNKNOWN, ACCEPTED, DUPLICATE] == await store.record_events([leave, back, again])
    assert not (await store.user("u1")).unsubscribed


async def test_a_send_nobody_has_confirmed_takes_no_blame(store: Store) -> None:
    """Its label is left without a value, even when the confirmation comes later."""
    await store.commit([send("a")])
    for version, name in ((1, "b"), (2, "c")):
        later = send(name, expected_version=version, hazard=0.03, confirm_by=NOW + DAY)
        await store.commit([later])
    events = [
        event("e1", "unsubscribe", NOW + HOUR),
        event("e2", "sent", NOW + 2 * HOUR, "b"),
    ]
    assert [ACCEPTED, ACCEPTED] == await store.record_events(events)
    await store.sweep(NOW + 9 * DAY)
    found = [await look(store, name) for name in "abc"]
    assert [1.0, None, None] == [each.unsubscribe for each in found]
    assert ["resolved", "resolved", "censored"] == [each.status for each in found]
    positive = [entry for entry in await lessons(store) if entry.label == 1]
    assert [("unsubscribe", 1, 1.0, 0.0, HOUR)] == taught(positive)


async def test_without_a_confirmed_send_an_unsubscribe_teaches_nothing(store: Store) -> None:
    await store.commit([send("a", confirm_by=NOW + DAY)])
    await store.record_events([event("e1", "unsubscribe", NOW + HOUR)])
    await store.sweep(NOW + 9 * DAY)
    assert [] == await lessons(store)
    assert (await store.user("u1")).unsubscribed


async def test_a_confirmed_send_takes_its_share(store: Store) -> None:
    await store.commit([send("a", confirm_by=NOW + DAY)])
    events = [event("e1", "sent", NOW + 1, "a"), event("e2", "unsubscribe", NOW + HOUR)]
    await store.record_events(events)
    assert 1.0 == (await look(store, "a")).unsubscribe
