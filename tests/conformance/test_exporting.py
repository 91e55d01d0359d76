"""Every decision leaves the store with its labels, abstentions too, and nobody's name."""

from dataclasses import replace

from engine.decision_log import contention, to_row
from service.exporting import pseudonym, records
from service.store.keys import shard_of
from service.store.protocol import Commit, EventStatus, Store
from tests.conformance.facts import DAY, NOW, SECRET, abstention, event, send


def with_row(commit: Commit) -> Commit:
    """The same with a row that can be read; it says that nothing was chosen."""
    decision = contention(commit.decision_id, commit.user_id, {}, 1.0, commit.now)
    return replace(commit, row=to_row(decision))


async def exported(store: Store) -> dict[str, dict[str, object]]:
    found = [record async for record in records(store, shard_of("u1"), SECRET)]
    return {record["decision_id"].split("-")[1]: record for record in found}


async def test_a_settled_send_has_its_labels(store: Store) -> None:
    await store.commit([with_row(send("a"))])
    await store.record_events([event("e1", "click", NOW + 1, "a")])
    await store.sweep(NOW + 8 * DAY)
    a = (await exported(store))["a"]
    assert (1.0, 0.0, "resolved", False) == (
        a["click"], a["unsubscribe"], a["status"], a["censored"],
    )  # fmt: skip
    assert pseudonym(SECRET, "u1") == a["user_id"]


async def test_an_open_send_has_no_labels_yet(store: Store) -> None:
    await store.commit([with_row(send("a", action="spring_sale"))])
    assert "open" == (await exported(store))["a"]["status"]


async def test_an_abstention_that_waits_for_nothing_came_to_nothing(store: Store) -> None:
    await store.commit([with_row(abstention("a"))])
    a = (await exported(store))["a"]
    assert (0.0, 0.0, "resolved") == (a["click"], a["unsubscribe"], a["status"])


async def test_a_decision_not_carried_out_is_marked_censored(store: Store) -> None:
    await store.commit([with_row(send("a"))])
    await store.record_events([event("e1", "not_sent", NOW + 1, "a")])
    assert (await exported(store))["a"]["censored"]


async def test_conversions_are_added_up(store: Store) -> None:
    await store.commit([with_row(send("a"))])
    paid = replace(event("e1", "conversion", NOW + 1, "a"), value=12.5)
    await store.record_events([paid, event("e2", "conversion", NOW + 2, "a")])
    assert 13.5 == (await exported(store))["a"]["conversion"]


async def test_an_erased_user_is_not_exported(store: Store) -> None:
    await store.commit([with_row(send("a"))])
    await store.erase("u1", NOW + 1)
    assert {} == await exported(store)


async def test_a_conversion_leaves_an_abstention_resolved(store: Store) -> None:
    await store.commit([with_row(abstention("a"))])
    await store.record_events([event("e1", "conversion", NOW + 1, "a")])
    a = (await exported(store))["a"]
    assert ("resolved", 0.0, 1.0) == (a["status"], a["click"], a["conversion"])


async def test_what_names_no_decision_stands_with_the_users_latest(store: Store) -> None:
    """Also where nothing was ever sent; before the first decision there is nowhere to put it."""
    early = replace(event("e0", "conversion", NOW - 1), value=9.0)
    await store.record_events([early])
    await store.commit([with_row(abstention("a"))])
    await store.commit([with_row(abstention("b", now=NOW + 10))])
    later = replace(event("e1", "conversion", NOW + 20), value=2.5)
    await store.record_events([later, event("e2", "unsubscribe", NOW + 30)])
    found = await exported(store)
    assert (0.0, False) == (found["a"]["unnamed_conversion"], found["a"]["left"])
    assert (2.5, True) == (found["b"]["unnamed_conversion"], found["b"]["left"])
    assert (0.0, 0.0) == (found["b"]["conversion"], found["b"]["unsubscribe"])


async def test_a_user_leaves_once_until_he_comes_back(store: Store) -> None:
    for n, kinds in enumerate([["unsubscribe", "unsubscribe"], ["unsubscribe"], ["subscribe"]]):
        version = (await store.user("u1")).version
        decided = abstention(f"a{n}", now=NOW + 10 * n, expected_version=version)
        await store.commit([with_row(decided)])
        events = [event(f"e{n}{i}", kind, NOW + 10 * n + 1) for i, kind in enumerate(kinds)]
        await store.record_events(events)
    await store.record_events([event("last", "unsubscribe", NOW + 40)])
    found = await exported(store)
    left = [found[f"a{n}"]["left"] for n in range(3)]
    assert [True, False, True] == left


async def test_what_came_too_late_for_a_label_still_came_of_the_user(store: Store) -> None:
    """Arms are compared by it: 12.5 a day after the windows, an opt-out beyond the retention."""
    await store.commit([with_row(send("a"))])
    paid = replace(event("e1", "conversion", NOW + 8 * DAY, "a"), value=12.5)
    left = event("e2", "unsubscribe", NOW + 10 * DAY, "a")
    await store.sweep(NOW + 8 * DAY)
    assert [EventStatus.LATE, EventStatus.UNKNOWN] == await store.record_events([paid, left])
    a = (await exported(store))["a"]
    assert (0.0, 0.0, "resolved") == (a["click"], a["unsubscribe"], a["status"])
    assert (12.5, True) == (a["conversion"], a["left"])
