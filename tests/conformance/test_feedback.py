"""Clicks, windows and what silence teaches."""

import pytest

from engine.outcome import Slice
from service.store.lessons import StreamEntry
from service.store.protocol import (
    Event,
    EventStatus,
    EventType,
    Idempotency,
    Store,
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
    look,
    order,
    send,
    slices,
    taught,
)

ACCEPTED, LATE, DUPLICATE, UNKNOWN = (
    EventStatus.ACCEPTED,
    EventStatus.LATE,
    EventStatus.DUPLICATE,
    EventStatus.UNKNOWN,
)


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


@pytest.mark.parametrize("kind", list(EventType))
async def test_an_event_of_a_decision_that_is_not_this_users_is_unknown(
    store: Store, kind: EventType
) -> None:
    await store.commit([send("a", "u2")])
    for n, about in enumerate((decision_id("u2", "a"), decision_id("u1", "never"), "nonsense")):
        named = Event(f"e{n}", kind, "u1", NOW + 1, NOW + 1, about)
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


async def test_what_a_sweep_has_still_to_close_does_not_go(store: Store) -> None:
    """After nine days without one. Once swept, it goes with the next decision; erasure finds it."""
    for user in ("u1", "u2"):
        await store.commit([send("a", user)])
        await store.commit([abstention("b", user, NOW + 9 * DAY, expected_version=1)])
    late = event("e1", "click", NOW + 9 * DAY, "a")
    assert [UNKNOWN] == await store.record_events([late])
    assert 2 == (await store.erase("u2", NOW + 9 * DAY))["decisions"]
    assert await store.sweep(NOW + 9 * DAY) is None
    found = await look(store, "a")
    assert (0.0, 0.0, "resolved") == (found.click, found.unsubscribe, found.status)
    assert 4 == len(await lessons(store, ["u1", "u2"]))
    await store.commit([abstention("c", now=NOW + 9 * DAY, expected_version=1)])
    assert await store.decision(decision_id("u1", "a")) is None


async def test_an_event_id_is_known_for_eight_days(store: Store) -> None:
    first = event("e1", "external_send", NOW)
    again = event("e1", "external_send", NOW + 8 * DAY)
    assert [ACCEPTED, DUPLICATE] == await store.record_events([first, again])


async def test_event_ids_of_two_users_do_not_meet(store: Store) -> None:
    events = [event("e1", "external_send", NOW, user_id=user) for user in ("u1", "u2")]
    assert [ACCEPTED, ACCEPTED] == await store.record_events(events)
