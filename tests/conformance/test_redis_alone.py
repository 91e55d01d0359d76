"""What only the store on Redis can get wrong: keys, bytes, connections."""

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from engine.budget import Budget
from engine.consent import NOWHERE
from engine.errors import BadInput, StoreError
from service.store import keys
from service.store.embedded import find_server
from service.store.protocol import (
    SWEEP_LIMIT,
    Committed,
    Conflict,
    Event,
    EventType,
    Idempotency,
    StoredConfiguration,
    StoredUser,
    UserRead,
)
from service.store.redis import RedisStore
from service.store.redis_client import HASHES, Argument, Client, Command
from service.sweeping import Sweeper
from tests.conformance.facts import (
    DAY,
    HALF_LIFE_S,
    HOUR,
    NOW,
    SECRET,
    abstention,
    change,
    decision_id,
    event,
    lessons,
    look,
    send,
    slices,
)

USER = "erase-me"


@pytest.fixture
def raw(redis_url: str) -> Iterator[Any]:
    """A plain client that sees everything."""
    client = Redis.from_url(redis_url)
    yield client
    client.close()


def everything(raw: Any) -> dict[bytes, str]:
    """Every key with all that is in it, as text."""
    readers = {
        b"string": raw.get,
        b"hash": raw.hgetall,
        b"set": raw.smembers,
        b"list": lambda key: raw.lrange(key, 0, -1),
        b"zset": lambda key: raw.zrange(key, 0, -1, withscores=True),
        b"stream": raw.xrange,
    }
    return {key: repr(readers[raw.type(key)](key)) for key in raw.scan_iter(count=1000)}


async def a_full_life(store: RedisStore, user: str) -> None:
    """Every kind of decision and event, and rows that name the user, as real ones do."""
    named: dict[str, Any] = {
        "row": f"row of {user}".encode(),
        "answer": f"answer to {user}".encode(),
    }
    once = Idempotency(f"key/{user}/1", "f")
    await store.commit([send("a", user, idempotency=once, **named)])
    await store.commit([send("b", user, expected_version=1, confirm_by=NOW + DAY, **named)])
    await store.commit([abstention("c", user, expected_version=2, **named)])
    await store.commit([abstention("d", user, censored=True, **named)])
    for i, kind in enumerate(EventType):
        about = decision_id(user, "ab"[i % 2]) if i % 3 else None
        await store.record_events([Event(f"{user}-{i}", kind, user, NOW + i, NOW + i, about)])
    await store.sweep(NOW + HOUR)
    await store.record_events([event("last", "unsubscribe", NOW + 2 * HOUR, None, user)])


async def test_after_erasure_no_key_and_no_value_holds_the_user(
    redis_store: RedisStore, raw: Any
) -> None:
    await a_full_life(redis_store, "somebody-else")
    others = everything(raw)
    await a_full_life(redis_store, USER)
    assert any(USER in repr(item) for item in everything(raw).items())
    counts = await redis_store.erase(USER, NOW + DAY)
    left = everything(raw)
    assert [] == [item for item in left.items() if USER in repr(item)]
    assert 1 == counts["tombstones_left"]
    assert others.keys() <= left.keys()
    assert "somebody-else" in repr(left)


async def test_an_opt_out_outlives_the_state_of_its_user(redis_store: RedisStore, raw: Any) -> None:
    """The state of a user nobody hears of expires; here it is deleted, as expiry would."""
    await redis_store.record_events([event("e1", "unsubscribe", NOW)])
    await redis_store.import_unsubscribed(["u2"], NOW)
    for user in ("u1", "u2"):
        key = f"{keys.TAGS[keys.shard_of(user)]}:u:{user}"
        assert raw.ttl(key) > 399 * 86_400
        raw.delete(key)
        assert StoredUser(consent=NOWHERE) == await redis_store.user(user)
    await redis_store.record_events([event("e2", "subscribe", NOW + 1)])
    assert not (await redis_store.user("u1")).unsubscribed


async def test_every_decision_and_event_renews_the_life_of_a_state(
    redis_store: RedisStore, raw: Any
) -> None:
    key = f"{keys.TAGS[keys.shard_of('u1')]}:u:u1"
    await redis_store.commit([send("a")])
    raw.expire(key, 100)
    await redis_store.commit([abstention("b", expected_version=1)])
    assert raw.ttl(key) > 100
    for kind in EventType:
        raw.expire(key, 100)
        await redis_store.record_events([event(kind.value, kind, NOW + 1, "a")])
        assert raw.ttl(key) > 100, kind


async def test_the_log_is_trimmed_by_age_in_every_shard(redis_store: RedisStore, raw: Any) -> None:
    await redis_store.commit([send("a", f"user{i}") for i in range(100)])
    assert 0 == await redis_store.trim_log(int(1000 * (time.time() - 60)))
    assert 100 == await redis_store.trim_log(int(1000 * (time.time() + 60)))
    assert 0 == sum(raw.xlen(keys.log_key(shard)) for shard in range(64))


async def test_erasure_finds_what_is_deep_in_the_log(redis_store: RedisStore, raw: Any) -> None:
    neighbour = next(f"n{i}" for i in range(9_999) if keys.shard_of(f"n{i}") == keys.shard_of(USER))
    await redis_store.commit([send("a", USER)])
    await redis_store.commit(
        [abstention(f"d{i}", neighbour) for i in range(1_200)]
        + [abstention("z", USER, NOW, expected_version=1)]
    )
    assert 2 == (await redis_store.erase(USER, NOW))["log_entries"]
    assert 1_200 == raw.xlen(keys.log_key(keys.shard_of(USER)))


async def test_erasure_leaves_what_is_decided_after_it(
    redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision for the same user, once the state is gone and before the log is cleared."""
    await redis_store.commit([send("old")])
    one = Client.one

    async def and_then_decide(client: Client, *command: Argument) -> Any:
        reply = await one(client, *command)
        if command[1] == HASHES["erase"]:
            assert [Committed()] == await redis_store.commit([send("new", now=NOW + 1)])
        return reply

    monkeypatch.setattr(Client, "one", and_then_decide)
    assert 1 == (await redis_store.erase("u1", NOW + 1))["log_entries"]
    log = await redis_store.read_log(keys.shard_of("u1"), "0-0", 100)
    assert [decision_id("u1", "new")] == [entry.decision_id for entry in log]
    assert b"row of new" == (await look(redis_store, "new")).row


async def test_a_sweep_lets_other_steps_in_between(
    redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """120 decisions of one user and one each of ten others: never two scripts in one exchange."""
    mine = [abstention(f"d{i}", slices=slices(NOW)) for i in range(120)]
    await redis_store.commit(mine + [send("a", f"other{i}") for i in range(10)])
    shards = {keys.shard_of(user) for user in ("u1", *(f"other{i}" for i in range(10)))}
    exchange = Client.attempt
    limits: list[list[Argument]] = []

    async def watched(client: Client, commands: Sequence[Command]) -> list[Any]:
        limits.append([command[5] for command in commands if command[1] == HASHES["sweep"]])
        return await exchange(client, commands)

    monkeypatch.setattr(Client, "attempt", watched)
    await Sweeper(redis_store, HOUR).sweep(NOW + 8 * DAY)
    scripts = [each for each in limits if each]
    assert [[SWEEP_LIMIT]] * (len(shards) + 2) == scripts, "120 decisions take three"
    logs = [await redis_store.read_log(shard, "0-0", 1000) for shard in shards]
    assert 120 + 10 == sum(entry.kind == "labels" for log in logs for entry in log)
    limits.clear()
    assert await redis_store.sweep(NOW + 8 * DAY) is None
    assert [[]] == limits, "nothing is due: one look"


async def test_every_key_stands_in_the_key_map(redis_store: RedisStore, raw: Any) -> None:
    await a_full_life(redis_store, USER)
    await redis_store.erase(USER, NOW + DAY)
    await a_full_life(redis_store, "another")
    await redis_store.configure(change({"message/m": b"{}"}))
    await redis_store.put_api_key("k", b"body")
    epoch = await redis_store.acquire_lease("me", 60.0)
    assert epoch
    await redis_store.fix_cut(epoch, await redis_store.stream_ends())
    await redis_store.commit_round(epoch, 1, b"blob", 3)
    await redis_store.settle(Budget("team/sends/60", 10, 60.0), NOW, {0: 1})
    await redis_store.swap_demand(0, b"demand")
    assert keys.__doc__
    names = re.findall(
        r"^    (\S+) +(string|hash|set|zset|list|stream) ", keys.__doc__, re.MULTILINE
    )
    documented = {_pattern(name): kind for name, kind in names}
    unseen = set(documented)
    for key in raw.scan_iter(count=1000):
        matching = {p for p in documented if re.fullmatch(p, key.decode(), re.DOTALL)}
        kinds = {documented[p] for p in matching}
        assert {raw.type(key).decode()} == kinds, key
        unseen -= matching
    assert set() == unseen


def _pattern(name: str) -> str:
    """{sNN}:u:USER as a regular expression; capitals stand for what differs from key to key."""
    text = re.escape(name).replace("sNN", r"s[0-5]\d|s6[0-3]").replace("\\{s[", "\\{(?:s[")
    return re.sub(r"\b[A-Z]+\b", ".+", text.replace("3]\\}", "3])\\}"))


@pytest.fixture
def cluster_url() -> Iterator[str]:
    """One server in cluster mode, which refuses a script that leaves its slot."""
    folder = Path(tempfile.mkdtemp(prefix="fb"))
    with socket.create_server(("127.0.0.1", 0)) as free:  # else every server takes the same one
        bus = free.getsockname()[1]
    options = ["--cluster-enabled", "yes", "--port", "0", "--unixsocket", "s", "--logfile", "log"]
    options += ["--cluster-port", str(bus)]
    server = subprocess.Popen([find_server(), *options], cwd=folder)
    raw: Any = Redis(unix_socket_path=str(folder / "s"), retry=Retry(NoBackoff(), 0))
    try:
        _wait_for(raw.ping)
        raw.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        _wait_for(lambda: b"cluster_state:ok" in raw.execute_command("CLUSTER", "INFO"))
        yield f"unix://{folder / 's'}"
    finally:
        raw.close()
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder)


def _wait_for(condition: Callable[[], Any]) -> None:
    for _ in range(250):
        with contextlib.suppress(RedisError):
            if condition():
                return
        time.sleep(0.02)
    pytest.fail("the server in cluster mode was not ready within 5 s")


async def test_no_script_leaves_its_slot(cluster_url: str) -> None:
    store = await RedisStore.open(cluster_url, half_life_s=HALF_LIFE_S, tombstone_secret=SECRET)
    for user in (USER, "another"):
        await a_full_life(store, user)
    await store.import_unsubscribed(["x", "y"], NOW)
    await store.configure(change({"message/m": b"{}"}))
    await store.audit(None, 10)
    epoch = await store.acquire_lease("me", 60.0)
    assert epoch
    await store.fix_cut(epoch, await store.stream_ends())
    assert await store.commit_round(epoch, 1, b"blob", 3)
    await store.release_lease("me")
    assert 4 == (await store.erase(USER, NOW))["decisions"]
    await store.close()


async def test_scripts_the_server_has_lost_are_loaded_again(
    redis_store: RedisStore, raw: Any
) -> None:
    for _ in range(2):
        raw.script_flush()
        users = [f"user{i}" for i in range(50)]
        await redis_store.read_users([UserRead(user) for user in users])
    raw.script_flush()
    await redis_store.commit([send("a")])
    assert 1 == (await redis_store.user("u1")).sends


async def test_a_full_server_refuses_whole_steps_and_still_reads(
    redis_store: RedisStore, raw: Any
) -> None:
    await redis_store.commit([send("a")])
    raw.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreError, match=r"refused a command: .*maxmemory"):
            await redis_store.commit([send("b", "u2")])
        assert 1 == (await redis_store.user("u1")).sends
        assert await redis_store.decision(decision_id("u1", "a")) is not None
        assert 1 == (await redis_store.erase("u1", NOW))["decisions"]
    finally:
        raw.config_set("maxmemory", 0)
    assert 0 == (await redis_store.user("u2")).decisions
    assert [] == [key for key in raw.scan_iter() if b"u2" in key]


async def test_of_two_processes_one_wins_each_race(redis_store: RedisStore, redis_url: str) -> None:
    other = await RedisStore.open(redis_url, half_life_s=HALF_LIFE_S, tombstone_secret=SECRET)
    for i in range(50):
        user = f"user{i}"
        first, second = await asyncio.gather(
            redis_store.commit([send("a", user)]), other.commit([send("b", user)])
        )
        assert 1 == sum(isinstance(outcome, Conflict) for outcome in first + second)
    await other.close()


async def test_another_format_is_refused(redis_store: RedisStore, raw: Any, redis_url: str) -> None:
    await redis_store.ping()
    raw.set(keys.FORMAT_KEY, b"0")
    with pytest.raises(
        StoreError, match=r"format version 0, this Forbear reads version \d+; start"
    ):
        await RedisStore.open(redis_url, half_life_s=HALF_LIFE_S, tombstone_secret=SECRET)


async def test_another_secret_is_refused(redis_store: RedisStore, redis_url: str) -> None:
    """Under it nobody who was erased would be known as somebody who has left."""
    await redis_store.ping()
    with pytest.raises(BadInput, match=r"another FORBEAR_PSEUDONYM_KEY.*; set the one"):
        await RedisStore.open(redis_url, half_life_s=HALF_LIFE_S, tombstone_secret=b"another")


async def test_no_server_is_one_sentence_without_the_password() -> None:
    with pytest.raises(StoreError, match="localhost:1 cannot be reached") as caught:
        await RedisStore.open(
            "redis://:hunter2@localhost:1", half_life_s=HALF_LIFE_S, tombstone_secret=SECRET
        )
    assert "hunter2" not in str(caught.value)


async def test_a_url_of_another_kind_is_bad_input() -> None:
    with pytest.raises(BadInput, match="URL cannot be used"):
        await RedisStore.open("http://x", half_life_s=HALF_LIFE_S, tombstone_secret=SECRET)


async def test_a_server_that_hangs_is_an_error_in_time_and_then_works_again(
    redis_store: RedisStore, raw: Any, redis_url: str
) -> None:
    hasty = await RedisStore.open(
        redis_url, half_life_s=HALF_LIFE_S, tombstone_secret=SECRET, read_timeout_s=0.1
    )
    raw.execute_command("CLIENT", "PAUSE", "400", "ALL")
    with pytest.raises(StoreError, match=r"no answer within 0\.1 s"):
        await hasty.commit([send(f"d{i}") for i in range(100)])
    await asyncio.sleep(0.5)
    states = await hasty.read_users([UserRead(f"other{i}") for i in range(100)])
    assert {0} == {getattr(state, "version", None) for state in states}
    await hasty.close()
    await redis_store.ping()


async def test_a_call_cut_off_leaves_no_replies_for_the_next(redis_url: str, raw: Any) -> None:
    raw.flushall()
    store = await RedisStore.open(
        redis_url, half_life_s=HALF_LIFE_S, tombstone_secret=SECRET, max_connections=1
    )
    for _ in range(20):
        cut = asyncio.create_task(store.read_users([UserRead(f"user{i}") for i in range(300)]))
        await asyncio.sleep(0.0005)
        cut.cancel()
        assert StoredConfiguration() == await store.configuration()
    await store.close()


async def test_connections_are_bounded(redis_url: str, raw: Any) -> None:
    before = raw.info("clients")["connected_clients"]
    store = await RedisStore.open(
        redis_url,
        half_life_s=HALF_LIFE_S,
        tombstone_secret=SECRET,
        max_connections=4,
        read_timeout_s=20.0,
    )
    await asyncio.gather(*(store.user(f"user{i}") for i in range(200)))
    assert raw.info("clients")["connected_clients"] <= before + 4
    await store.close()


async def test_an_open_decision_is_small(redis_store: RedisStore, raw: Any) -> None:
    """Its hash stays in the compact encoding: a field over 64 bytes would triple it."""
    name = decision_id("u1", "0123456789abcdef")
    hazard = 0.0012345678901234567
    await redis_store.commit([send("x", decision_id=name, hazard=hazard, now=NOW + 0.123456)])
    key = f"{keys.TAGS[keys.shard_of('u1')]}:d:{name}"
    assert b"listpack" == raw.object("encoding", key)
    assert raw.memory_usage(key) <= 300


async def test_what_leads_to_a_user_expires(redis_store: RedisStore, raw: Any) -> None:
    await redis_store.commit([send("a", idempotency=Idempotency("k", "f"))])
    await redis_store.record_events([event("e1", "click", NOW + 1, "a")])
    tag = keys.TAGS[keys.shard_of("u1")]
    for key, days in (
        (f"{tag}:u:u1", 400),
        (f"{tag}:d:{decision_id('u1', 'a')}", 39),
        (f"{tag}:ud:u1", 39),
        (f"{tag}:ue:u1", 9),
        (f"{tag}:i:{keys.idempotency_name('k').decode()}", 1),
    ):
        assert days * 86_400 - 60 <= raw.ttl(key) <= days * 86_400, key


async def test_a_decision_that_waits_for_nothing_expires_with_the_retention(
    redis_store: RedisStore, raw: Any
) -> None:
    """Only what is still due is kept longer, for a service that was away."""
    await redis_store.commit([send("swept")])
    await redis_store.commit([send("censored", expected_version=1)])
    await redis_store.commit([abstention("silent", expected_version=2)])
    await redis_store.record_events([event("e1", "not_sent", NOW + 1, "censored")])
    await redis_store.sweep(NOW + 9 * DAY)
    for name in ("swept", "censored", "silent"):
        key = f"{keys.TAGS[keys.shard_of('u1')]}:d:{decision_id('u1', name)}"
        assert 9 * 86_400 - 60 <= raw.ttl(key) <= 9 * 86_400, name


async def test_after_nine_days_away_windows_still_close(redis_store: RedisStore, raw: Any) -> None:
    """As many real days pass as the store keeps a decision; then the first sweep comes."""
    await redis_store.commit([send("a")])
    tag = keys.TAGS[keys.shard_of("u1")]
    for key in (f"{tag}:d:{decision_id('u1', 'a')}", f"{tag}:ud:u1"):
        raw.expire(key, raw.ttl(key) - 9 * 86_400)
    assert await redis_store.sweep(NOW + 9 * DAY) is None
    log = await redis_store.read_log(keys.shard_of("u1"), "0-0", 100)
    assert ("labels", "resolved") == (log[-1].kind, log[-1].status)
    assert 4 == len(await lessons(redis_store))
