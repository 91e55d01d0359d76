"""Budgets over HTTP: what is sent, what is held back, what is said of it."""

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pytest

from engine.decision import Reason
from service.assembly import assemble
from service.deciding import Ask
from service.services import Services
from service.store.keys import shard_of
from service.store.memory import MemoryStore
from service.store.protocol import Change
from tests.unit.service.harness import new_store, settings, worker

DAY = 86_400.0
START = 1_700_000_000.0


async def started(store: MemoryStore, **given: Any) -> Services:
    """A worker under the simulated clock, with `sale` and a transactional message."""
    chosen = settings(simulated_clock=True, floor=0.0, **given)
    held = assemble(chosen, store, np.random.default_rng(1))
    held.clock.arrival(START)
    parts = {"message/sale": b"{}", "message/receipt": b'{"transactional": true}'}
    await store.configure(Change("test", 0.0, parts))
    await held.live.refresh()
    return held


async def sends(held: Services, users: range, **ask: Any) -> int:
    """How many of these users are sent to, asked about one after another."""
    reasons = []
    for n in users:
        asked = Ask(f"u{n}", {}, **({"messages": ("sale",)} | ask))
        reasons += [answer.reason for answer in await held.decider.decide([asked])]
    return reasons.count(Reason.CHOSEN)


async def test_a_team_budget_is_spent_whole_and_comes_back_after_its_period() -> None:
    """Ten of thirty users in thirty shards, and ten again a day later.

    By then a slot has its price, so more have to ask: equal users are drawn, as their bids are all
    at the price.
    """
    held = await started(new_store(), budgets="10/1d")
    assert 10 == await sends(held, range(30))
    held.clock.arrival(START + DAY - 1)
    assert 0 == await sends(held, range(30, 50))
    held.clock.arrival(START + DAY + 60)  # a worker that got nothing asks again after a minute
    assert 10 == await sends(held, range(50, 190))


async def test_a_money_budget_is_spent_by_what_messages_cost() -> None:
    """At 0.3 a send, 1.0 is enough for three."""
    held = await started(new_store(), budgets="cost:1/1d", send_cost=0.3, value=100)
    assert 3 == await sends(held, range(10))


async def test_transactional_messages_are_sent_and_count() -> None:
    """Four receipts leave one of five for the sale; nothing stops a fifth receipt."""
    held = await started(new_store(), budgets="5/1d")
    assert 4 == await sends(held, range(4), messages=("receipt",))
    held.clock.arrival(START + 60)  # by then they are reported
    assert 1 == await sends(held, range(10, 20))
    assert 1 == await sends(held, range(30, 31), messages=("receipt",))


@pytest.mark.parametrize("limit", [50, 200, 1000])
async def test_a_batch_gets_all_slots_there_are_and_no_contention(limit: int) -> None:
    """A thousand users, some 16 to a shard; a grant in advance is a 256th of what is left."""
    held = await started(new_store(), budgets=f"{limit}/1d", decide_timeout_ms=5000)
    asks = [Ask(f"u{n}", {}, messages=("sale",)) for n in range(1000)]
    reasons = Counter(answer.reason for answer in await held.decider.decide(asks))
    assert Counter({Reason.CHOSEN: limit, Reason.NO_CANDIDATE: 1000 - limit}) == reasons


async def test_a_lowered_budget_binds_what_shards_hold_already() -> None:
    """Each grant of 1000 is 3, so the 40 users' shards have units for 40 more; 50 leave ten."""
    store = new_store()
    held = await started(store, budgets="1000/1d")
    assert 40 == await sends(held, range(40))
    lower = {"rules": b'{"budgets": "50/1d"}'}
    await store.configure(Change("test", 0.0, lower))
    assert 10 == await sends(held, range(40))


async def test_a_messages_own_budget_leaves_the_others_alone() -> None:
    store = new_store()
    held = await started(store)
    await store.configure(Change("test", 0.0, {"message/rare": b'{"budget": "2/1d"}'}))
    await held.live.refresh()
    assert 2 == await sends(held, range(20), messages=("rare",))
    assert 5 == await sends(held, range(20, 25))


async def test_two_workers_share_one_budget() -> None:
    store = new_store()
    first, second = await started(store, budgets="20/1d"), await started(store, budgets="20/1d")
    one, other = await asyncio.gather(sends(first, range(40)), sends(second, range(40, 80)))
    assert 20 == one + other


@pytest.mark.parametrize(
    ("ahead", "expected"), [(0.01, 1), (5.0, 1), (5.01, 0)], ids=["a moment", "5 s", "more"]
)
async def test_units_fetched_by_who_is_a_little_ahead_are_used_at_once(
    ahead: float, expected: int
) -> None:
    """The other question was granted 3 units, used one, and the grant holds from its own time on.

    The same happens within one worker, to a question that arrived a moment before the other one.
    """
    store = new_store()
    behind, other = await started(store, budgets="1000/1d"), await started(store, budgets="1000/1d")
    other.clock.arrival(START + ahead)
    neighbour = next(n for n in range(1, 10_000) if shard_of(f"u{n}") == shard_of("u0"))
    assert 1 == await sends(other, range(1))
    assert expected == await sends(behind, range(neighbour, neighbour + 1))


async def test_a_spent_budget_is_the_reason_in_record_and_explanation() -> None:
    async with worker(settings(budgets="1/1d")) as running:
        await running.decide("u1")
        answer = (await running.decide("u2")).json()
        assert "no_candidate" == answer["reason"]
        record = (await running.client.get(f"/v1/decisions/{answer['decision_id']}")).json()
        (blocked,) = record["decision"]["blocked"]
        assert ("sale", "budget") == (blocked["message"], blocked["reason"])
        asked = await running.client.post(
            "/v1/decisions/explain", json={"user_id": "u3", "context": {}}
        )
        assert "budget" in asked.text


async def test_the_price_of_a_slot_is_reported_apart() -> None:
    """A price of 0.001: part of the annoyance, in its total, and not paid to silence."""
    async with worker(settings(budgets="100/1d")) as running:
        await running.held.rationing.refresh(running.held.clock.now())  # as the background did
        await asyncio.sleep(0)
        running.held.live.price({"team/sends/86400": 0.001})
        answer = (await running.decide("u1")).json()
        assert 0.001 == answer["annoyance"]["scarcity"]
        assert answer["annoyance"]["total"] >= 0.001
        assert 0.0 == answer["abstain_reward"]


def test_shards_that_transactional_messages_have_overdrawn_stop_nobody() -> None:
    """A budget of 3 and 40 receipts: units are called back from shards in debt that nobody asks."""

    async def asked() -> int:
        held = await started(new_store(), budgets="3/1d")
        assert 40 == await sends(held, range(40), messages=("receipt",))
        return await sends(held, range(40, 80))

    assert 0 <= asyncio.run(asked()) <= 3
