"""The user's recent sends: what joins them, what leaves them, and that every change is a new state.

The last claim is what makes the rules hold at commit: see `engine/eligibility.py`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from engine.history import BY_OTHERS, HISTORY_S, MOST_SENDS, Send
from service.store.protocol import Commit, Committed, Conflict, Store
from tests.conformance.facts import DAY, HOUR, NOW, abstention, event, send


async def at_version(store: Store, commit: Commit) -> list[object]:
    """Commit at the user's version as it is now."""
    user = await store.user(commit.user_id)
    return list(await store.commit([replace(commit, expected_version=user.version)]))


async def history(store: Store) -> tuple[Send, ...]:
    return (await store.user("u1")).history


async def test_sends_join_the_history_with_message_and_tags(store: Store) -> None:
    now = NOW + 1 / 3
    await at_version(store, send("a", action="digest"))
    await at_version(store, send("b", now=now, action="täglich ☕", tags=("offer", "vip")))
    expected = (Send(NOW, "digest", (), 1), Send(now, "täglich ☕", ("offer", "vip"), 2))
    assert expected == await history(store)


async def test_an_abstention_is_no_send(store: Store) -> None:
    await at_version(store, abstention("a"))
    assert () == await history(store)


async def test_a_send_by_others_joins_too_and_its_repetition_does_not(store: Store) -> None:
    for _ in range(2):
        await store.record_events([event("e1", "external_send", NOW)])
    assert (Send(NOW, BY_OTHERS, (), 1),) == await history(store)


async def test_a_conflict_shows_the_history_that_was_not_read(store: Store) -> None:
    assert [Committed()] == await store.commit([send("a")])
    (outcome,) = await store.commit([send("b", now=NOW + 1)])
    assert isinstance(outcome, Conflict)
    assert (Send(NOW, "spring_sale", (), 1),) == outcome.user.history


async def test_not_sent_takes_exactly_its_send_out(store: Store) -> None:
    """Of two sends at one time, by its mark; once, and a second not_sent finds nothing."""
    await at_version(store, send("a", action="first"))
    await at_version(store, send("b", action="second"))
    await store.record_events([event("e1", "not_sent", NOW + 1, "a")])
    expected = (Send(NOW, "second", (), 2),)
    assert expected == await history(store)
    await store.record_events([event("e2", "not_sent", NOW + 2, "a")])
    assert expected == await history(store)


async def test_the_only_send_taken_back_leaves_nothing(store: Store) -> None:
    await at_version(store, send("a"))
    await store.record_events([event("e1", "not_sent", NOW + 1, "a")])
    assert () == await history(store)
    assert [Committed()] == await at_version(store, send("b", now=NOW + 2))
    assert [3] == [one.mark for one in await history(store)]


async def test_a_deferred_send_holds_its_slot_until_it_lapses(store: Store) -> None:
    await at_version(store, send("a", confirm_by=NOW + HOUR))
    await store.sweep(NOW + HOUR - 1)
    assert 1 == len(await history(store))
    await store.sweep(NOW + HOUR)
    assert () == await history(store)


async def test_a_confirmed_send_keeps_its_slot(store: Store) -> None:
    await at_version(store, send("a", confirm_by=NOW + HOUR))
    await store.record_events([event("e1", "sent", NOW + 1, "a")])
    await store.sweep(NOW + HOUR)
    assert 1 == len(await history(store))


async def test_leaving_and_coming_back_gives_no_slot_back(store: Store) -> None:
    await at_version(store, send("a"))
    await store.record_events([event("e1", "unsubscribe", NOW + 1)])
    await store.record_events([event("e2", "subscribe", NOW + 2)])
    assert 1 == len(await history(store))


async def test_an_imported_opt_out_leaves_the_history(store: Store) -> None:
    await at_version(store, send("a"))
    assert 2 == await store.import_unsubscribed(["u1", "u2"], NOW + 1)
    assert 1 == len(await history(store))
    assert () == (await store.user("u2")).history


async def test_erasure_takes_the_history_along(store: Store) -> None:
    await at_version(store, send("a"))
    await store.erase("u1", NOW + 1)
    assert () == await history(store)
    await at_version(store, send("b", now=NOW + 2))
    assert (Send(NOW + 2, "spring_sale", (), 1),) == await history(store)


async def test_what_no_rule_can_need_is_dropped_with_the_next_send(store: Store) -> None:
    await at_version(store, send("a"))
    await store.record_events([event("e1", "external_send", NOW + 1)])
    await at_version(store, send("b", now=NOW + HISTORY_S))
    assert [2, 3] == [one.mark for one in await history(store)]
    await store.record_events([event("e2", "external_send", NOW + HISTORY_S + 1)])
    assert [3, 4] == [one.mark for one in await history(store)]


async def test_a_history_is_bounded(store: Store) -> None:
    over = [event(f"e{n}", "external_send", NOW + n) for n in range(MOST_SENDS + 2)]
    await store.record_events(over)
    assert [3, MOST_SENDS + 2] == [one.mark for one in (await history(store))[:: MOST_SENDS - 1]]


async def test_whatever_changes_the_history_makes_a_commit_judged_before_it_a_conflict(
    store: Store,
) -> None:
    """A send, an external send, a not_sent, a lapse: each is a new version, for every action."""
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: at_version(store, send("a", now=NOW, confirm_by=NOW + DAY)),
        lambda: store.record_events([event("e1", "external_send", NOW + 1)]),
        lambda: at_version(store, send("b", now=NOW + 2)),
        lambda: store.record_events([event("e2", "not_sent", NOW + 3, "b")]),
        lambda: store.sweep(NOW + DAY),
    ]
    for n, change in enumerate(changes):
        before = await store.user("u1")
        await change()
        assert before.history != await history(store)
        late = NOW + DAY
        stale = [
            send(f"s{n}", now=late, expected_version=before.version),
            abstention(f"t{n}", now=late, expected_version=before.version),
        ]
        assert [Conflict, Conflict] == [type(one) for one in await store.commit(stale)]
