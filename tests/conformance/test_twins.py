"""Random histories through both stores: replies, states, labels and lessons the same at each step.

At the end every label is held against `engine.attribution.settle`, which knows nothing of steps.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from engine.attribution import CONFIRMING, CREDIT_WINDOW_S, Arrival, Ends, Labels, credit, settle
from engine.budget import Budget, Charge
from engine.consent import Consent
from engine.outcome import Slice, Told
from engine.outcome import lessons as taught_by
from engine.rules import Cap
from service.store.keys import lesson_order, shard_of
from service.store.lessons import StreamEntry
from service.store.memory import MemoryStore
from service.store.protocol import (
    ABOUT_CONSENT,
    Change,
    Commit,
    Event,
    EventStatus,
    EventType,
    Holdings,
    Idempotency,
    Replayed,
    Store,
    StoredDecision,
    UserRead,
)
from service.store.redis import RedisStore
from tests.conformance.facts import DAY, HALF_LIFE_S, HOUR, NOW, SECRET, abstention, send

Result = TypeVar("Result")

NEIGHBOUR = next(f"n{i}" for i in range(9_999) if shard_of(f"n{i}") == shard_of("u1"))
USERS = ("u1", NEIGHBOUR)
BUDGET = Budget("team/sends/172800", 7, 2 * DAY)

PAUSES = (0.0, 1.0, HOUR, HOUR, DAY - HOUR, DAY, DAY, 3 * DAY, 6 * DAY, 7 * DAY, 25 * DAY)
"""Chosen so that events fall on, before and after slices, windows, confirmations, the retention;
the longest, after any other week, is past what a history remembers."""

TYPES = (
    "subscribe",
    "click",
    "click",
    "unsubscribe",
    "unsubscribe",
    "not_sent",
    "not_sent",
    "subscribe",
    "sent",
    "dismiss",
    "conversion",
    "external_send",
    "tolerance",
)


@dataclass(frozen=True)
class Decide:
    user: str
    kind: str
    hazard: float
    stale: bool
    key: str | None
    channel: str = "push"
    behind: bool = False
    """Made with the configuration before the one in force."""


@dataclass(frozen=True)
class Happen:
    user: str
    type: EventType
    about: int | None
    """Which of the user's decisions, counted from the last; None names none."""
    event_id: str
    channel: str | None = None
    tolerance: Cap | None = None


@dataclass(frozen=True)
class Pass:
    seconds: float


@dataclass(frozen=True)
class Sweep:
    limit: int


@dataclass(frozen=True)
class Share:
    """Units of the budget for the users' shards; with `recall` idle ones are called back."""

    units: int
    recall: bool


@dataclass(frozen=True)
class Configure:
    """A message is edited or deleted, or the kill switch is turned."""

    part: str
    body: bytes | None
    seen: bool
    """Made for the version in force; else for one before it."""


@dataclass(frozen=True)
class Leave:
    user: str
    erase: bool
    channel: str | None = None


channels = st.sampled_from([None, None, None, "push", "email", "sms"])
users = st.sampled_from([*USERS[:1] * 5, *USERS[1:]])
decides = st.builds(
    Decide,
    users,
    st.sampled_from([*["send"] * 4, "deferred", "deferred", "abstain", "unprompted", "contention"]),
    st.sampled_from([0.0, 0.01, 0.03]),
    st.sampled_from([*[False] * 9, True]),
    st.sampled_from([*[None] * 6, "k1", "k2"]),
    st.sampled_from(["push", "push", "email", "sms"]),
    st.sampled_from([*[False] * 5, True]),
)
configures = st.builds(
    Configure,
    st.sampled_from(["message/spring_sale", "message/digest", "pause"]),
    st.sampled_from([None, b"{}", b'{"paused": true}', b'{"cooldown_s": 60}']),
    st.sampled_from([True, True, False]),
)
happens = st.builds(
    Happen,
    users,
    st.sampled_from(TYPES).map(EventType),
    st.sampled_from([None, None, *[0] * 6, 1, 1, 1, 2, 3, 99]),
    st.integers(0, 99).map(lambda number: f"e{number}"),
    channels,
    st.sampled_from([None, Cap(2, 7 * DAY), Cap(1, DAY)]),
)
passes = st.builds(Pass, st.sampled_from(PAUSES))
sweeps = st.builds(Sweep, st.sampled_from([1, 1000, 1000]))
shares_out = st.builds(Share, st.sampled_from([0, 1, 2, 5]), st.booleans())
leaves = st.builds(Leave, users, st.booleans(), channels)

# Weighted: a history is mostly decisions and events, and few people leave.
steps = st.sampled_from(
    [
        *[decides] * 5,
        *[happens] * 9,
        *[passes] * 4,
        sweeps,
        sweeps,
        *[shares_out] * 3,
        configures,
        leaves,
    ]
).flatmap(lambda step: step)


Step: TypeAlias = Decide | Happen | Pass | Sweep | Share | Configure | Leave


@dataclass
class Past:
    """A decision as the specification sees it."""

    commit: Commit
    arrivals: list[Arrival] = field(default_factory=list)

    def ends(self) -> Ends:
        ends = {piece.head: piece.due for piece in self.commit.slices}
        return Ends(
            ends.get("click"),
            ends.get("unsubscribe"),
            self.commit.confirm_by,
            self.commit.gain_event,
        )

    def takes_blame(self, now: float) -> bool:
        """Its unsubscribe label could still change, by the rules alone."""
        end = self.ends().unsubscribe
        if end is None or now >= end or any(a.type == "unsubscribe" for a in self.arrivals):
            return False
        by = self.commit.confirm_by
        seen = replace(self.ends(), confirm_by=by if by is not None and now >= by else None)
        return not settle(self.arrivals, seen).censored

    def is_confirmed(self) -> bool:
        """Known to have happened, where it was not sent at once."""
        said = any(a.named and a.type in CONFIRMING for a in self.arrivals)
        return said or self.commit.confirm_by is None


class Twins:
    """The two stores, driven as one, with the clock and what the specification needs to know."""

    def __init__(self, memory: Store, redis: Store) -> None:
        self.memory, self.redis = memory, redis
        self.now = NOW
        self.made: list[Commit] = []
        self.past: dict[str, Past] = {}

    async def both(
        self, one: Coroutine[Any, Any, Result], two: Coroutine[Any, Any, Result]
    ) -> Result:
        expected, actual = await one, await two
        assert expected == actual
        return expected

    async def take(self, step: Step) -> None:
        match step:
            case Decide():
                await self.decide(step)
            case Happen():
                await self.happen(step)
            case Pass(seconds):
                self.now += seconds
            case Sweep(limit):
                await self.both(
                    self.memory.sweep(self.now, limit), self.redis.sweep(self.now, limit)
                )
            case Configure():
                await self.configure(step)
            case Share(units, recall):
                await self.share_out(units, recall)
            case Leave(user, erase, channel):
                await (self.erase(user) if erase else self.opt_out(user, channel))

    async def configure(self, step: Configure) -> None:
        version = await self.memory.configuration_version()
        change = Change("somebody", self.now, {step.part: step.body}, version - (not step.seen))
        await self.both(self.memory.configure(change), self.redis.configure(change))
        await self.both(self.memory.configuration(), self.redis.configuration())
        await self.both(self.memory.audit(None, 3), self.redis.audit(None, 3))

    async def decide(self, step: Decide) -> None:
        once = Idempotency(f"{step.user}/{step.key}", "f") if step.key else None
        read, budgets = [UserRead(step.user, once)], (BUDGET.name,)
        (state,) = await self.both(
            self.memory.read_users(read, budgets), self.redis.read_users(read, budgets)
        )
        version = 0 if isinstance(state, Replayed) else state.version
        in_force = await self.memory.configuration_version()
        commit = self.proposal(step, version + step.stale, once)
        commit = replace(commit, catalog_version=in_force - step.behind)
        (outcome,) = await self.both(self.memory.commit([commit]), self.redis.commit([commit]))
        if type(outcome).__name__ == "Committed":
            self.made.append(commit)
            await self.forget_old(step.user)
            self.past[commit.decision_id] = Past(commit)

    def proposal(self, step: Decide, version: int, once: Idempotency | None) -> Commit:
        name, now = f"d{len(self.made):03d}", self.now  # ids sort as they were made
        value = (1.0, 1.0, 20.0)[len(self.made) // 3 % 3]  # the field is there only where needed
        common: dict[str, Any] = {
            "expected_version": version,
            "idempotency": once,
            "value": value,
        }
        if step.hazard and step.kind != "contention":  # a third of them need no budget
            needed, spent = int(step.hazard < 0.02), int(step.kind in {"send", "deferred"})
            common["charges"] = (Charge(BUDGET.name, needed, spent),)
        tags = ("offer", "vip")[: len(self.made) % 3]
        if step.kind == "send":
            common["channel"] = step.channel
            return send(name, step.user, now, hazard=step.hazard, tags=tags, **common)
        if step.kind == "deferred":
            by = now + DAY
            return send(name, step.user, now, hazard=step.hazard, confirm_by=by, **common)
        if step.kind == "unprompted":
            soon = (Slice(now + HOUR, "click", 0.95), Slice(now + DAY, "click", 0.05))
            common |= {"slices": soon, "teaching": b"t", "gain_event": "conversion"}
        return abstention(name, step.user, now, censored=step.kind == "contention", **common)

    async def happen(self, step: Happen) -> None:
        own = [commit.decision_id for commit in self.made if commit.user_id == step.user]
        about = None
        if step.about is not None:
            about = own[-1 - step.about] if step.about < len(own) else "00-never"
        event = Event(
            step.event_id,
            step.type,
            step.user,
            self.now,
            self.now,
            about,
            channel=step.channel if step.type in ABOUT_CONSENT else None,
            tolerance=step.tolerance if step.type is EventType.TOLERANCE else None,
        )
        before = await self.memory.user(step.user)
        statuses = await self.both(
            self.memory.record_events([event]), self.redis.record_events([event])
        )
        after = await self.memory.user(step.user)
        self.note(event, statuses[0], before.consent, after.consent)

    def note(self, event: Event, status: EventStatus, before: Consent, after: Consent) -> None:
        """What each decision of the user sees of an event, by the specification."""
        if status is EventStatus.DUPLICATE:
            return
        named = None if status is EventStatus.UNKNOWN else self.past.get(event.decision_id or "")
        if event.type is not EventType.UNSUBSCRIBE:
            if named:
                named.arrivals.append(Arrival(event.type, event.now))
            return
        left = self.left(event.user_id, before, after)
        shares: dict[str, float] = {}
        if named and before != after:
            shares = {named.commit.decision_id: 1.0}
            left += [named] * (named not in left and named.takes_blame(self.now))
        elif status is EventStatus.ACCEPTED:
            shares = self.shares(left)
        self.blame(left, shares)
        if named:
            # Where nothing was left by it, it still shows that the push went out.
            said = Arrival("unsubscribe", event.now, None) if before != after else None
            named.arrivals.append(said or Arrival("dismiss", event.now))

    def left(self, user: str, before: Consent, after: Consent) -> list[Past]:
        """Sends with an open label on channels that this change took away."""
        return [
            p
            for p in self.of(user)
            if p.takes_blame(self.now)
            and before.allows(p.commit.channel)
            and not after.allows(p.commit.channel)
        ]

    def shares(self, left: list[Past]) -> dict[str, float]:
        since = self.now - CREDIT_WINDOW_S
        blamed = [p for p in left if p.commit.now >= since and p.is_confirmed()]
        weights = credit([p.commit.hazard for p in blamed])
        return {p.commit.decision_id: w for p, w in zip(blamed, weights, strict=True)}

    def blame(self, left: list[Past], shares: dict[str, float]) -> None:
        for past in left:
            share = shares.get(past.commit.decision_id)
            past.arrivals.append(Arrival("unsubscribe", self.now, share, named=False))

    async def share_out(self, units: int, recall: bool) -> None:
        needed = {shard_of(user): units for user in USERS if units}
        await self.both(
            self.memory.settle(BUDGET, self.now, needed, recall=recall),
            self.redis.settle(BUDGET, self.now, needed, recall=recall),
        )

    async def opt_out(self, user: str, channel: str | None) -> None:
        before = await self.memory.user(user)
        await self.both(
            self.memory.import_unsubscribed([user], self.now, channel),
            self.redis.import_unsubscribed([user], self.now, channel),
        )
        after = await self.memory.user(user)
        self.blame(self.left(user, before.consent, after.consent), {})

    async def erase(self, user: str) -> None:
        await self.both(self.memory.erase(user, self.now), self.redis.erase(user, self.now))
        self.forget(self.of(user))

    def of(self, user: str) -> list[Past]:
        return [past for past in self.past.values() if past.commit.user_id == user]

    async def forget_old(self, user: str) -> None:
        """What is beyond the retention goes, unless a sweep has still to close it."""
        for past in self.of(user):
            if past.commit.now <= self.now - 9 * DAY:
                found = await self.memory.decision(past.commit.decision_id)
                if found is None:
                    self.forget([past])

    def forget(self, gone: Iterable[Past]) -> None:
        for past in gone:
            del self.past[past.commit.decision_id]

    async def compare(self, decisions: int) -> None:
        """Users, lessons and the last decisions."""
        for user in USERS:
            expected, actual = await self.memory.user(user), await self.redis.user(user)
            assert expected.burden == pytest.approx(actual.burden, abs=1e-12)
            assert replace(expected, burden=0.0) == replace(actual, burden=0.0)
        for commit in self.made[-decisions:]:
            name = commit.decision_id
            await self.both(self.memory.decision(name), self.redis.decision(name))
        assert await lessons(self.memory) == await lessons(self.redis)
        for user in USERS:
            assert await held(self.memory, user) == await held(self.redis, user)

    async def check_against_the_specification(self) -> None:
        while (due := await self.memory.sweep(NOW + 400 * DAY)) is not None:
            assert due
        await self.redis.sweep(NOW + 400 * DAY)
        await self.compare(len(self.made))
        entries = await lessons(self.memory)
        for name, past in self.past.items():
            if past.commit.censored:
                continue
            found = await self.redis.decision(name)
            assert found is not None
            labels = settle(past.arrivals, past.ends())
            assert labels == Labels(found.click, found.unsubscribe, found.status == "censored")
            mine = [entry for entry in entries if entry.order == lesson_order(SECRET, name)]
            check_lessons(found, mine)
            if found.status != "censored":
                check_clicks(past, mine)


def check_clicks(past: Past, entries: list[StreamEntry]) -> None:
    """What was taught of a click label is what the time of its arrival says, and nothing else."""
    pieces = [piece for piece in past.commit.slices if piece.head == "click"]
    if not pieces or not past.commit.teaching:
        return
    gains = [a.now for a in past.arrivals if a.type == past.commit.gain_event]
    came = min((now for now in gains if now < pieces[-1].due), default=None)
    found = [Told(e.label, e.weight, e.taught) for e in entries if e.head == "click"]
    assert taught_by(pieces, came) == found


def check_lessons(found: StoredDecision, entries: list[StreamEntry]) -> None:
    """What was taught of a decision adds up to its labels."""
    assert [i == 0 for i in range(len(entries))] == [entry.first for entry in entries]
    if found.status == "censored":
        return
    for head, label in (("click", found.click), ("unsubscribe", found.unsubscribe)):
        mine = [entry for entry in entries if entry.head == head]
        positive = sum(entry.weight for entry in mine if entry.label == 1)
        negative = sum(entry.weight for entry in mine if entry.label == 0)
        if label is not None:
            assert label == pytest.approx(positive)
            assert negative >= 1.0 - label - 1e-9
        if label == 0.0:
            assert negative == pytest.approx(1.0)


async def held(store: Store, user: str) -> Holdings:
    """All that is kept of a user, without entry ids: those differ from store to store."""
    found = await store.holdings(user)
    return replace(
        found,
        log=tuple(replace(entry, entry_id="") for entry in found.log),
        event_ids=tuple(sorted(found.event_ids)),
    )


async def lessons(store: Store) -> list[StreamEntry]:
    found: list[StreamEntry] = []
    for shard in sorted({shard_of(user) for user in USERS}):
        found += await store.read_stream(shard, "0-0", f"{2**63}-0", 10_000)
    return [replace(entry, entry_id="") for entry in found]


async def live(history: Iterable[Step], url: str) -> None:
    redis = await RedisStore.open(
        url, half_life_s=HALF_LIFE_S, tombstone_secret=SECRET, read_timeout_s=20.0
    )
    try:
        twins = Twins(MemoryStore(half_life_s=HALF_LIFE_S, tombstone_secret=SECRET), redis)
        for step in history:
            await twins.take(step)
            await twins.compare(4)
        await twins.check_against_the_specification()
    finally:
        await redis.close()


@settings(max_examples=100, deadline=None)
@given(history=st.lists(steps, min_size=20, max_size=50))
def test_both_stores_live_the_same_history(redis_url: str, history: list[Step]) -> None:
    Redis.from_url(redis_url).flushall()
    first = [Decide(user, "send", 0.01, stale=False, key=None) for user in USERS]
    asyncio.run(live([*first, *history], redis_url))
