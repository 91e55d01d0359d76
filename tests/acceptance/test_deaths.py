"""Processes die without warning; what was acknowledged stays, and is learned exactly once."""

from collections import Counter

import numpy as np

from engine.learning import Learner
from engine.snapshot import State, from_bytes
from engine.worlds.patience import world as patience_world
from engine.worlds.simulation import Run
from engine.worlds.world import CLICK, Events
from service.assembly import priors
from service.demo.local import Client, ServiceError, running_service
from service.demo.population import DAY_S, OverHttp, settings
from service.learner import START, apply, entries_between, in_order
from service.settings import load_settings
from service.store.lessons import Checkpoint, StreamEntry
from service.store.redis import RedisStore
from tests.acceptance.conftest import kill, with_store

PRIORS = priors(load_settings())


async def _uninterrupted(store: RedisStore) -> State:
    """What one learner that never died makes of the same streams and cuts."""
    learner, after = Learner(PRIORS), START
    for cut in await store.rounds():
        apply(learner, in_order(await entries_between(store, after, cut, 1_000_000)))
        after = cut
    return learner.state()


async def _learned(store: RedisStore) -> tuple[Checkpoint, State, int, list[StreamEntry]]:
    checkpoint = await store.load_checkpoint()
    assert checkpoint is not None
    blob = await store.load_model(checkpoint.version)
    assert blob is not None
    shards = await entries_between(store, START, await store.stream_ends(), 1_000_000)
    entries = [entry for shard in shards for entry in shard]
    return checkpoint, from_bytes(blob), await store.entries_added(), entries


def _same(one: State, other: State) -> bool:
    return all(
        np.array_equal(mine.slots, theirs.slots)
        and np.array_equal(mine.columns, theirs.columns)
        and np.array_equal(mine.baseline.mean, theirs.baseline.mean)
        and np.array_equal(mine.baseline.covariance, theirs.baseline.covariance)
        for mine, theirs in ((one.click, other.click), (one.unsubscribe, other.unsubscribe))
    )


def test_a_learner_killed_midway_applies_every_lesson_exactly_once() -> None:
    """2,000 decisions; the learner is killed on four days while lessons are waiting for it."""
    world = patience_world(seed=4, users=200, days=10)
    acknowledged: Counter[int] = Counter()
    fast = {**settings(world), "publish_interval_s": 0.005}
    with running_service(fast) as service, service.client() as client:
        policy, run = OverHttp(world, client), Run(world, 4)
        while (batch := run.next()) is not None:
            events, until = run.apply(policy.act(batch))
            if batch.step in (1, 3, 5, 7):
                kill(service, "service.cli learn")
            policy.observe(events, until)
            acknowledged.update(events.kind.tolist())
        # The last clicks wait for a slice; an idle day lets their windows close.
        none = np.zeros(0, np.int64)
        policy.observe(Events(none, none, none, np.zeros(0)), until + 1.0)
        checkpoint, state, added, entries = with_store(service, DAY_S, _learned)
        never_died = with_store(service, DAY_S, _uninterrupted)
    assert added == checkpoint.applied == len(entries)
    clicks = [entry for entry in entries if entry.head == "click" and entry.label]
    assert acknowledged[CLICK] == len(clicks) == len({entry.order for entry in clicks})
    assert _same(state, never_died)


def test_a_server_killed_midway_keeps_everything_acknowledged() -> None:
    """400 users get a decision and, if sent to, a click; the server dies four times on the way."""
    sending = {
        "patience": "constant",
        "unsubscribe_cost": 0.0,
        "floor": 0.5,
        "decide_timeout_ms": 1000,
    }
    decided: dict[str, float] = {}
    clicked: set[str] = set()
    with running_service(sending) as service, service.client() as client:
        client.call("PUT", "/v1/messages/hello", {})
        for number in range(400):
            if number % 100 == 50:
                kill(service, "valkey-server")
            _one_user(client, f"user-{number}", decided, clicked)
        records = {key: client.call("GET", f"/v1/decisions/{key}") for key in decided}
    assert len(decided) == 400
    assert len(clicked) > 200
    for key, record in records.items():
        assert decided[key] == record["decision"]["propensity"]
        assert (key in clicked) == any(event["type"] == "click" for event in record["events"])


def _one_user(client: Client, user: str, decided: dict[str, float], clicked: set[str]) -> None:
    """One decision and, after a send, one click; each repeated until it is acknowledged."""
    (answer,) = client.decide([{"user_id": user, "context": {}}])
    while answer["decision_id"] is None:  # the fallback: the store is away
        (answer,) = client.decide([{"user_id": user, "context": {}}])
    key = answer["decision_id"]
    decided[key] = answer["propensity"]
    click = {"event_id": f"c-{user}", "type": "click", "user_id": user, "decision_id": key}
    while answer["action"] is not None and key not in clicked:
        try:
            (status,) = client.report([click])
        except ServiceError:  # 503: nothing was stored
            continue
        assert status in ("accepted", "duplicate")
        clicked.add(key)
