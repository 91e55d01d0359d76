"""After an erasure nothing in Redis leads back to the user: every key and every value is searched.

A whole worker and a learner over a real server: real rows, answers, lessons and models. Searched
for are the user's id, its plain hashes, and the ids of the user's decisions. What may remain is
keyed: one tombstone of an unsubscribed user, and the lessons' pseudonyms of decisions.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from redis import Redis

from service.assembly import assemble, priors
from service.auth import Caller
from service.deciding import Ask
from service.learner import Rounds
from service.person import everything
from service.reading import read_ask
from service.schemas import DecisionRequest
from service.services import Services
from service.store.keys import lesson_order, tombstone
from service.store.protocol import Event, EventType
from service.store.redis import RedisStore
from tests.conformance.facts import DAY, HALF_LIFE_S, HOUR, NOW, SECRET, change
from tests.unit.service.harness import settings

USER, OTHER = "erase-me@example.org", "stays@example.org"


@pytest.fixture
async def held(redis_store: RedisStore) -> Services:
    """A worker under the simulated clock with two messages to send."""
    started = assemble(settings(simulated_clock=True), redis_store, np.random.default_rng(1))
    offer = b'{"attributes": {"category": "offer"}}'
    await redis_store.configure(change({"message/sale": offer, "message/digest": offer}))
    await started.live.refresh()
    started.clock.arrival(NOW)
    return started


@pytest.fixture
def raw(redis_url: str) -> Iterator[Any]:
    """A plain client that sees everything."""
    client = Redis.from_url(redis_url)
    yield client
    client.close()


async def live(held: Services, user: str) -> list[str]:
    """Decisions with contexts and idempotency keys that name the user, every kind of event."""
    made: list[str] = []
    for n in range(8):
        held.clock.arrival(held.clock.now() + HOUR)
        request = DecisionRequest(
            user,
            {"home": f"home of {user}", "age": 41},
            messages=[] if n == 7 else None,
            deferred=n == 2,
            idempotency_key=f"{user}/{n}",
        )
        (answer,) = await held.decider.decide([read_ask(request, Caller("key"), held.clock)])
        made.append(answer.body.split(b'"')[3].decode())
    for n, kind in enumerate([*EventType, EventType.UNSUBSCRIBE]):
        at = held.clock.arrival(held.clock.now() + 60)
        about = made[n % 8] if n % 3 else None
        await held.store.record_events([Event(f"{user}-event-{n}", kind, user, at, at, about)])
    return made


async def learn(held: Services) -> int:
    """How many lessons one round of a learner applied."""
    epoch = await held.store.acquire_lease("test", 60.0)
    assert epoch is not None
    rounds = Rounds(held.store, priors(held.settings), "test", epoch)
    await rounds.resume()
    return await rounds.step()


def stored(raw: Any) -> bytes:
    """Every key with all that is in it."""
    readers = {
        b"string": raw.get,
        b"hash": raw.hgetall,
        b"set": raw.smembers,
        b"list": lambda key: raw.lrange(key, 0, -1),
        b"zset": lambda key: raw.zrange(key, 0, -1),
        b"stream": raw.xrange,
    }
    keys = list(raw.scan_iter(count=1000))
    return b"\n".join(_flat([(key, readers[raw.type(key)](key)) for key in keys]))


def _flat(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from _flat(list(value.items()))
    else:
        for item in value:
            yield from _flat(item)


def found(raw: Any, traces: list[str] | list[bytes]) -> list[int]:
    """Which of these occur anywhere in the server."""
    everywhere = stored(raw)
    wanted = [trace.encode() if isinstance(trace, str) else trace for trace in traces]
    return [n for n, trace in enumerate(wanted) if trace in everywhere]


async def test_after_erasure_nothing_leads_back_to_the_user(held: Services, raw: Any) -> None:
    mine = [USER, *await live(held, USER)]
    others = [OTHER, *await live(held, OTHER)]
    assert await learn(held) > 0
    held.clock.arrival(held.clock.now() + DAY)
    await held.sweeper.sweep(held.clock.now())
    assert list(range(9)) == found(raw, mine), "the search finds what is there"

    erased = await held.store.erase(USER, held.clock.now())

    assert all(erased[kind] > 0 for kind in ("users", "decisions", "event_ids", "log_entries"))
    assert [] == found(raw, mine)
    digest = hashlib.sha256(USER.encode())
    assert [] == found(raw, [digest.digest(), digest.hexdigest().encode()])
    assert [0] == found(raw, [tombstone(SECRET, USER)]), "he had unsubscribed"
    assert list(range(9)) == found(raw, others)


async def test_lessons_in_flight_are_learned_and_name_nobody(held: Services, raw: Any) -> None:
    _, *decisions = [USER, *await live(held, USER)]
    held.clock.arrival(held.clock.now() + DAY)
    await held.sweeper.sweep(held.clock.now())
    await held.store.erase(USER, held.clock.now())
    assert [] == found(raw, [USER, *decisions])
    assert [] != found(raw, [lesson_order(SECRET, name) for name in decisions])
    assert await learn(held) > 0


async def test_nothing_about_an_erased_user_comes_back_later(held: Services, raw: Any) -> None:
    """Deadlines still to come, repeated events, and a not_sent that a worker owes."""
    mine = [USER, *await live(held, USER)]
    await held.store.erase(USER, held.clock.now())
    at = held.clock.arrival(held.clock.now() + 8 * DAY)
    await held.sweeper.sweep(at)
    for name in mine[1:]:
        for kind in (EventType.CLICK, EventType.NOT_SENT, EventType.DISMISS):
            await held.store.record_events([Event(f"{name}-{kind}", kind, USER, at, at, name)])
    assert [] == found(raw, mine)


async def test_an_erased_user_has_nothing_to_export(held: Services) -> None:
    """Of ten events two need a decision and name none: unknown, and not stored."""
    await live(held, USER)
    told = await everything(held.store, USER, held.clock.now(), HALF_LIFE_S)
    assert (8, 8) == (len(told["decisions"]), len(told["events"]))
    assert 8 == len(told["idempotency_records"]) == len(told["open_decisions"])
    await held.store.erase(USER, held.clock.now())
    told = await everything(held.store, USER, held.clock.now(), HALF_LIFE_S)
    kinds = ("decisions", "events", "open_decisions", "event_ids", "idempotency_records")
    assert [] == [item for kind in kinds for item in told[kind]]
    assert (True, 0) == (told["state"]["unsubscribed"], told["state"]["decisions"])


async def test_who_never_unsubscribed_leaves_nothing_at_all(held: Services, raw: Any) -> None:
    before = set(raw.scan_iter())
    (answer,) = await held.decider.decide([Ask(USER, {"age": 41})])
    assert answer.model_version is not None
    await held.store.erase(USER, held.clock.now())
    left = set(raw.scan_iter()) - before
    assert all(raw.type(key) == b"stream" and raw.xlen(key) == 0 for key in left)
