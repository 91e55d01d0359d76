"""Events, windows and what they teach."""

from collections.abc import Sequence

import pytest

from engine.outcome import Slice
from service.store.lessons import StreamEntry
from service.store.protocol import (
    EventStatus,
    EventType,
    Idempotency,
    Store,
    StoredDecision,
    UserRead,
)
from tests.conformance.facts import (
    CLICK_ENDS,
    DAY,
    HOUR,
    NOW,
    UNSUBSCRIBE_ENDS,
    abstention,
    decision_id,
    event,
    lessons,
    order,
    send,
    slices,
)

ACCEPTED, LATE = EventStatus.ACCEPTED, EventStatus.LATE
DUPLICATE, UNKNOWN = EventStatus.DUPLICATE, EventStatus.UNKNOWN


async def look(store: Store, name: str, user_id: str = "u1") -> StoredDecision:
    found = await store.decision(decision_id(user_id, name))
    assert found is not None
    return found


def taught(entries: Sequence[StreamEntry]) -> list[tuple[str, int, float, float, float]]:
    return [(e.head, e.label, e.weight, e.taught, e.delay) for e in entries]


# -- clicks ---------------------------------------------------------------------------------


async def test_a_click_settles_its_label_at_once_and_teaches_with_the_next_slice(
    store: Store,
) -> None:
    await store.commit([send("a")])
    assert [ACCEPTED] == await store.record_events([event("e1", "click", NOW + 60, "a")])
    assert NOW + HOUR == await store.sweep(NOW + HOUR - 1)
    assert [] == await lessons(store)
    assert NOW + 2 * DAY == await store.sweep(NOW + HOUR)
    expected = StreamEntry("", order("u1", "a"), "click", 1, 1.0, 0.0, 60.0, True, b"teaching of a")
    assert [expected] == await lessons(store)
    found = await look(store, "a")
    assert (1.0, None, "open") == (found.click, found.unsubscribe, found.status)
    assert (("click", NOW + 60),) == found.events
    assert 1 == (await store.user("u1")).clicks


async def test_a_duplicate_click_changes_nothing(store: Store) -> None:
    await store.commit([send("a")])
    click = event("e1", "click", NOW + 60, "a")
    assert [ACCEPTED, DUPLICATE] == await store.record_events([click, click])
    await store.sweep(NOW + CLICK_ENDS)
    assert 1 == len(await lessons(store))
    assert 1 == len((await look(store, "a")).events)


async def test_a_second_click_is_accepted_but_not_learned(store: Store) -> None:
    await store.commit([send("a")])
    clicks = [event(f"e{i}", "click", NOW + 60 + i, "a") for i in range(3)]
    assert [ACCEPTED] * 3 == await store.record_events(clicks)
    await store.sweep(NOW + CLICK_ENDS)
    assert 1 == len(await lessons(store))
    assert 3 == len((await look(store, "a")).events)
    assert 1 == (await store.user("u1")).clicks


@pytest.mark.parametrize("swept", [False, True])
async def test_a_click_after_a_slice_says_how_much_was_taught(store: Store, swept: bool) -> None:
    """However late the sweep: the first slice was silent."""
    await store.commit([send("a")])
    if swept:
        await store.sweep(NOW + HOUR)
    await store.record_events([event("e1", "click", NOW + 2 * HOUR, "a")])
    await store.sweep(NOW + CLICK_ENDS)
    entries = await lessons(store)
    assert [("click", 0, 0.5, 0.0, HOUR), ("click", 1, 1.0, 0.5, 2 * HOUR)] == taught(entries)
    assert [True, False] == [entry.first for entry in entries]


@pytest.mark.parametrize("swept", [False, True])
async def test_a_window_closes_by_the_clock_not_by_the_sweep(store: Store, swept: bool) -> None:
    await store.commit([send("a"), send("b", "u2")])
    if swept:
        await store.sweep(NOW + CLICK_ENDS)
    just_in_time = event("e1", "click", NOW + CLICK_ENDS - 1e-6, "a")
    at_the_end = event("e2", "click", NOW + CLICK_ENDS, "b", "u2")
    if not swept:
        assert [ACCEPTED] == await store.record_events([just_in_time])
    assert [LATE] == await store.record_events([at_the_end])
    await store.sweep(NOW + CLICK_ENDS)
    found = await look(store, "b", "u2")
    assert (0.0, (("click", NOW + CLICK_ENDS),)) == (found.click, found.events)
    assert all(entry.label == 0 for entry in await lessons(store, ["u2"]))
    assert 1 == (await store.user("u2")).clicks


async def test_clicks_and_silences_of_one_moment_are_taught_together(store: Store) -> None:
    """Three of four sends are clicked, at once, in half an hour and a second before the slice."""
    users = ["u1", "u2", "u3", "u4"]
    await store.commit([send("a", user) for user in users])
    for user, wait in (("u1", 0.0), ("u2", HOUR / 2), ("u3", HOUR - 1)):
        await store.record_events([event("e1", "click", NOW + wait, "a", user)])
        await store.sweep(NOW + wait)
    assert [] == await lessons(store, users)
    await store.sweep(NOW + HOUR)
    found = {entry.order: entry.label for entry in await lessons(store, users)}
    assert [1, 1, 1, 0] == [found[order(user, "a")] for user in users]


@pytest.mark.parametrize("swept", [False, True])
async def test_a_click_does_not_wait_where_nearly_all_silence_was_taught(
    store: Store, swept: bool
) -> None:
    """5% is left for the window's end. Swept or not, the silence of the first hour comes first."""
    soon = (Slice(NOW + HOUR, "click", 0.95), Slice(NOW + CLICK_ENDS, "click", 0.05))
    await store.commit([send("a", slices=soon)])
    if swept:
        await store.sweep(NOW + HOUR)
    await store.record_events([event("e1", "click", NOW + HOUR, "a")])
    expected = [("click", 0, 0.95, 0.0, HOUR), ("click", 1, 1.0, 0.95, HOUR)]
    assert expected == taught(await lessons(store))
    assert await store.sweep(NOW + 8 * DAY) is None
    assert expected == taught(await lessons(store))


async def test_a_click_still_teaches_when_everything_else_is_settled(store: Store) -> None:
    await store.commit([send("a")])
    events = [
        event("e1", "click", NOW + 60, "a"),
        event("e2", "unsubscribe", NOW + 61, "a"),
    ]
    await store.record_events(events)
    assert "resolved" == (await look(store, "a")).status
    assert [("unsubscribe", 1, 1.0, 0.0, 61.0)] == taught(await lessons(store))
    assert await store.sweep(NOW + HOUR) is None
    assert ("click", 1, 1.0, 0.0, 60.0) == taught(await lessons(store))[1]


async def test_silence_is_taught_in_slices(store: Store) -> None:
    await store.commit([send("a")])
    assert NOW + HOUR == await store.sweep(NOW)
    assert NOW + CLICK_ENDS == await store.sweep(NOW + HOUR)
    assert NOW + UNSUBSCRIBE_ENDS == await store.sweep(NOW + 3 * DAY)
    assert await store.sweep(NOW + 8 * DAY) is None
    expected = [
        ("click", 0, 0.5, 0.0, HOUR),
        ("click", 0, 0.5, 0.5, CLICK_ENDS),
        ("unsubscribe", 0, 0.5, 0.0, 2 * DAY),
        ("unsubscribe", 0, 0.5, 0.5, UNSUBSCRIBE_ENDS),
    ]
    assert expected == taught(await lessons(store))
    found = await look(store, "a")
    assert (0.0, 0.0, "resolved") == (found.click, found.unsubscribe, found.status)


async def test_one_late_sweep_teaches_what_many_would_have(store: Store) -> None:
    await store.commit([send("a"), send("b", "u2")])
    await store.sweep(NOW + 30 * DAY)
    assert 4 == len(await lessons(store))
    assert (0.0, 0.0) == ((await look(store, "b", "u2")).click, (await look(store, "a")).click)


async def test_a_sweep_stops_at_its_limit_and_says_so(store: Store) -> None:
    ids = [f"d{i}" for i in range(5)]
    await store.commit([abstention(name, slices=slices(NOW + i)) for i, name in enumerate(ids)])
    assert NOW + HOUR + 2 == await store.sweep(NOW + 2 * HOUR, limit=2)
    assert NOW + HOUR + 4 == await store.sweep(NOW + 2 * HOUR, limit=2)
    assert NOW + CLICK_ENDS == await store.sweep(NOW + 2 * HOUR, limit=2)


async def test_a_decision_without_teaching_settles_its_labels_silently(store: Store) -> None:
    await store.commit([send("a", teaching=b"")])
    await store.record_events([event("e1", "click", NOW + 60, "a")])
    await store.sweep(NOW + 8 * DAY)
    assert [] == await lessons(store)
    found = await look(store, "a")
    assert (1.0, 0.0, "resolved") == (found.click, found.unsubscribe, found.status)


async def test_where_outcomes_come_unprompted_a_conversion_is_the_gain(store: Store) -> None:
    silence = abstention(
        "a", gain_event="conversion", teaching=b"x", slices=slices(NOW)[:2], hazard=0.0
    )
    await store.commit([silence])
    events = [event("e1", "click", NOW + 1, "a"), event("e2", "conversion", NOW + 2, "a")]
    assert [ACCEPTED, ACCEPTED] == await store.record_events(events)
    found = await look(store, "a")
    assert (1.0, None, "resolved") == (found.click, found.unsubscribe, found.status)
    assert await store.sweep(NOW + 8 * DAY) is None
    assert [("click", 1, 1.0, 0.0, 2.0)] == taught(await lessons(store))


@pytest.mark.parametrize("kind", ["dismiss", "conversion"])
async def test_other_events_are_kept_with_the_decision_and_teach_nothing(
    store: Store, kind: str
) -> None:
    await store.commit([send("a")])
    before = await store.user("u1")
    assert [ACCEPTED] == await store.record_events([event("e1", kind, NOW + 5, "a")])
    assert ((kind, NOW + 5),) == (await look(store, "a")).events
    assert [] == await lessons(store)
    assert before == await store.user("u1")


# -- unknown --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(EventType))
async def test_an_event_of_a_decision_that_is_not_this_users_is_unknown(
    store: Store, kind: EventType
) -> None:
    await store.commit([send("a", "u2")])
    foreign = event("e1", kind, NOW + 1)
    for about in (decision_id("u2", "a"), decision_id("u1", "never"), "nonsense"):
        named = type(foreign)("e1", kind, "u1", NOW + 1, NOW + 1, about)
        assert [UNKNOWN] == await store.record_events([named])
    assert () == (await look(store, "a", "u2")).events
    assert (kind == "unsubscribe") == (await store.user("u1")).unsubscribed
    assert 0.0 == (await store.user("u1")).burden


async def test_an_unknown_event_id_is_not_used_up(store: Store) -> None:
    click = event("e1", "click", NOW + 1, "a")
    assert [UNKNOWN] == await store.record_events([click])
    await store.commit([send("a")])
    assert [ACCEPTED] == await store.record_events([click])


@pytest.mark.parametrize("kind", ["click", "sent", "not_sent"])
async def test_what_only_a_decision_can_have_is_unknown_without_one(
    store: Store, kind: str
) -> None:
    assert [UNKNOWN] == await store.record_events([event("e1", kind, NOW)])


async def test_a_decision_older_than_the_retention_is_unknown(store: Store) -> None:
    await store.commit([send("a")])
    kept = event("e1", "dismiss", NOW + 9 * DAY - 1, "a")
    gone = event("e2", "dismiss", NOW + 9 * DAY, "a")
    assert [LATE, UNKNOWN] == await store.record_events([kept, gone])


async def test_decisions_beyond_the_retention_go_with_the_next_one(store: Store) -> None:
    once = Idempotency("k", "f")
    await store.commit([abstention("a", idempotency=once), send("b", now=NOW + 1)])
    await store.commit([abstention("c", now=NOW + 9 * DAY, expected_version=1)])
    assert await store.decision(decision_id("u1", "a")) is None
    assert await store.decision(decision_id("u1", "b")) is not None
    assert [await store.user("u1")] == await store.read_users([UserRead("u1", once)])


async def test_an_event_id_is_known_for_eight_days(store: Store) -> None:
    first = event("e1", "external_send", NOW)
    again = event("e1", "external_send", NOW + 8 * DAY)
    assert [ACCEPTED, DUPLICATE] == await store.record_events([first, again])


async def test_event_ids_of_two_users_do_not_meet(store: Store) -> None:
    events = [event("e1", "external_send", NOW, user_id=user) for user in ("u1", "u2")]
    assert [ACCEPTED, ACCEPTED] == await store.record_events(events)


# -- unsubscribing --------------------------------------------------------------------------


async def two_sends(store: Store, second_at: float = NOW + HOUR) -> None:
    """Hazards 0.01 and 0.03."""
    await store.commit([send("a")])
    await store.commit([send("b", now=second_at, expected_version=1, hazard=0.03)])


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


# -- burden ---------------------------------------------------------------------------------


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


async def test_an_abstention_without_labels_stays_resolved(store: Store) -> None:
    await store.commit([abstention("a")])
    assert [ACCEPTED] == await store.record_events([event("e1", "not_sent", NOW + 1, "a")])
    assert "resolved" == (await look(store, "a")).status


# -- deferred -------------------------------------------------------------------------------


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
