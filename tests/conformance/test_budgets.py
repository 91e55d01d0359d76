"""Budgets in a store: allowances, charges, refunds, and what comes back."""

from dataclasses import replace

from engine.allowance import Allowance
from engine.budget import Budget, Charge
from service.store.keys import shard_of
from service.store.protocol import Commit, Committed, Conflict, Settled, Store, StoredUser, UserRead
from tests.conformance.facts import DAY, NOW, abstention, event, send

TEN = Budget("team/sends/86400", 10, DAY)
MINE = shard_of("u1")
ELSEWHERE = next(f"e{i}" for i in range(999) if shard_of(f"e{i}") != MINE)
THERE = shard_of(ELSEWHERE)


def charged(commit: Commit, needed: int = 1, spent: int = 1) -> Commit:
    return replace(commit, charges=(Charge(TEN.name, needed, spent),))


async def held(store: Store, user: str = "u1") -> Allowance:
    (state,) = await store.read_users([UserRead(user)], (TEN.name,))
    assert isinstance(state, StoredUser)
    return state.allowances[TEN.name]


async def test_a_budget_nobody_granted_cannot_be_spent(store: Store) -> None:
    (outcome,) = await store.commit([charged(send("a"))])
    assert Conflict(StoredUser()) == outcome
    assert await store.decision(send("a").decision_id) is None


async def test_what_is_granted_can_be_spent_and_no_more(store: Store) -> None:
    assert Settled(8, 10) == await store.settle(TEN, NOW, {MINE: 2})
    first, second, third = (charged(send(name, f"u{name}"), 1, 1) for name in "abc")
    same = [replace(c, user_id="u1", expected_version=v) for v, c in enumerate((first, second))]
    assert [Committed(), Committed()] == await store.commit(same)
    third = replace(third, user_id="u1", expected_version=2)
    assert isinstance((await store.commit([third]))[0], Conflict)
    assert Allowance(2, 2, since=NOW, last=NOW) == await held(store)
    assert Settled(8, 8) == await store.settle(TEN, NOW, {})


async def test_an_abstention_depends_on_its_candidates_budgets_and_takes_nothing(
    store: Store,
) -> None:
    silent = charged(abstention("a"), needed=1, spent=0)
    assert isinstance((await store.commit([silent]))[0], Conflict)
    await store.settle(TEN, NOW, {MINE: 1})
    assert [Committed()] == await store.commit([silent])
    assert 1 == (await held(store)).left


async def test_a_transactional_send_is_spent_though_nothing_is_left(store: Store) -> None:
    """Overdrawn by one: two more units are granted before one can be spent again."""
    assert [Committed()] == await store.commit([charged(send("a"), needed=0, spent=1)])
    assert -1 == (await held(store)).left
    assert Settled(8, 9) == await store.settle(TEN, NOW, {MINE: 1})
    assert Allowance(2, 1, since=NOW, last=NOW) == await held(store)


async def test_a_send_dated_before_its_grant_is_refused(store: Store) -> None:
    await store.settle(TEN, NOW, {MINE: 1})
    (outcome,) = await store.commit([charged(send("a", now=NOW - 1))])
    assert isinstance(outcome, Conflict)


async def test_more_than_the_limit_is_not_granted_and_comes_back_a_period_later(
    store: Store,
) -> None:
    await store.settle(TEN, NOW, {MINE: 10})
    commits = [
        charged(send(f"d{n}", expected_version=n, burden_after=1.0), 1, 1) for n in range(10)
    ]
    assert [Committed()] * 10 == await store.commit(commits)
    assert Settled(0, 0, (THERE,)) == await store.settle(TEN, NOW + DAY - 1, {THERE: 1, MINE: 0})
    (state,) = await store.read_users([UserRead(ELSEWHERE)], (TEN.name,))
    assert isinstance(state, StoredUser)
    assert 0 == state.allowances.get(TEN.name, Allowance()).left
    assert Settled(9, 10) == await store.settle(TEN, NOW + DAY, {THERE: 1})


async def test_what_is_idle_is_called_back_for_those_in_need(store: Store) -> None:
    await store.settle(TEN, NOW, {THERE: 10})
    assert Settled(0, 10, (MINE,)) == await store.settle(TEN, NOW, {MINE: 3})
    assert Settled(7, 10) == await store.settle(TEN, NOW, {MINE: 3}, recall=True)
    assert 3 == (await held(store)).left
    assert 0 == (await held(store, ELSEWHERE)).left


async def test_what_was_not_sent_is_given_out_anew(store: Store) -> None:
    await store.settle(TEN, NOW, {MINE: 1})
    await store.commit([charged(send("a"))])
    await store.record_events([event("e", "not_sent", NOW + 60, "a")])
    assert Settled(10, 10) == await store.settle(TEN, NOW + 60, {})
    await store.record_events([event("f", "not_sent", NOW + 61, "a")])
    assert Settled(10, 10) == await store.settle(TEN, NOW + 62, {})


async def test_a_deferred_send_that_nobody_confirms_is_given_out_anew(store: Store) -> None:
    week = replace(TEN, period=7 * DAY)
    await store.settle(week, NOW, {MINE: 1})
    await store.commit([charged(send("a", confirm_by=NOW + DAY))])
    assert 9 == (await store.settle(week, NOW + DAY - 1, {})).left
    await store.sweep(NOW + DAY)
    assert 10 == (await store.settle(week, NOW + DAY, {})).left


async def test_of_two_workers_who_tell_of_demand_at_once_one_tells_again(store: Store) -> None:
    assert (0, b"") == await store.demand()
    assert await store.swap_demand(0, b"one")
    assert not await store.swap_demand(0, b"two")
    assert (1, b"one") == await store.demand()
