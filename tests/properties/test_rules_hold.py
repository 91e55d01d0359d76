"""No sequence of decisions, events and passing time breaks a gap, a cap or a cooldown.

The real decider over the store in memory, under the simulated clock; the judge knows only the log.
That Redis does the same step by step is the business of the conformance suite.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decision_log import from_row
from service.assembly import assemble
from service.deciding import Ask
from service.services import Services
from service.store.keys import shard_of
from service.store.memory import MemoryStore
from service.store.protocol import Change, Event, EventType, LogEntry
from tests.rules_checker import Limits, Logged, complaints
from tests.unit.service.harness import settings as free_sends

HOUR = 3_600.0
DAY = 24 * HOUR
START = 1_700_000_000.0
USERS = ("u1", "u2")
assert shard_of(USERS[0]) != shard_of(USERS[1]), "the log is told apart by shard"
MESSAGES = {
    "sale": b'{"tags": ["offer"]}',
    "bargain": b'{"tags": ["offer", "loud"]}',
    "digest": b'{"cooldown_s": 259200}',
    "receipt": b'{"transactional": true, "tags": ["loud"]}',
}
MARKETING = ("sale", "bargain", "digest")
RULES = free_sends(
    simulated_clock=True,
    min_gap_s=HOUR,
    caps="2/1d 5/7d",
    tag_caps="offer:1/2d loud:3/4d",
)
LIMITS = Limits(
    gap=HOUR,
    caps=((2, DAY), (5, 7 * DAY)),
    tag_caps=(("offer", 1, 2 * DAY), ("loud", 3, 4 * DAY)),
    cooldowns={"digest": 3 * DAY},
    tags={"sale": ("offer",), "bargain": ("offer", "loud"), "receipt": ("loud",)},
    transactional=frozenset({"receipt"}),
)


@dataclass(frozen=True)
class Decide:
    """Several questions in one batch, the same user perhaps twice."""

    asks: list[tuple[str, bool, tuple[str, ...] | None]]


@dataclass(frozen=True)
class Report:
    user: str
    type: EventType
    about: int
    """Which of the user's decisions, counted from the last."""


@dataclass(frozen=True)
class Pass:
    seconds: float


Step = Decide | Report | Pass
users = st.sampled_from(USERS)
# Few receipts: they pass every rule, and each of them starts a gap.
some = st.sampled_from([MARKETING, MARKETING, MARKETING[:1], MARKETING[1:], ("receipt",), None])
decides = st.lists(st.tuples(users, st.booleans(), some), min_size=1, max_size=3).map(Decide)
types = ["external_send", "not_sent", "not_sent", "sent", "click", "unsubscribe", "subscribe"]
reports = st.builds(Report, users, st.sampled_from(types).map(EventType), st.integers(0, 3))
pauses = [1.0, HOUR / 2, HOUR - 1, HOUR, 6 * HOUR, DAY - HOUR, DAY, 2 * DAY]
passes = st.sampled_from(pauses).map(Pass)
steps = st.sampled_from([decides, decides, decides, passes, passes, reports]).flatmap(lambda s: s)


class Life:
    """One deployment, driven step by step, and its log as the judge wants it."""

    def __init__(self) -> None:
        self.store = MemoryStore(half_life_s=DAY, tombstone_secret=b"test")
        self.held: Services = assemble(RULES, self.store, np.random.default_rng(1))
        self.held.clock.arrival(START)
        self.log: list[Logged] = []
        self.read: dict[str, str] = dict.fromkeys(USERS, "0-0")
        self.made: dict[str, list[str]] = {user: [] for user in USERS}
        self.events = 0

    async def live(self, history: Sequence[Step]) -> None:
        for name, body in MESSAGES.items():
            await self.store.configure(Change("test", 0.0, {f"message/{name}": body}))
        await self.held.live.refresh()
        for step in history:
            await self.take(step)
            for user in USERS:
                await self.follow(user)

    async def take(self, step: Step) -> None:
        now = self.held.clock.now()
        match step:
            case Decide(asks):
                await self.held.decider.decide(
                    [
                        Ask(user, {}, messages=wanted, deferred=deferred)
                        for user, deferred, wanted in asks
                    ]
                )
            case Pass(seconds):
                self.held.clock.arrival(now + seconds)
            case Report(user, kind, about):
                named = None if kind is EventType.EXTERNAL_SEND else self.own(user, about)
                self.events += 1
                event = Event(f"e{self.events}", kind, user, now, now, named)
                await self.store.record_events([event])

    def own(self, user: str, about: int) -> str | None:
        mine = self.made[user]
        return mine[-1 - about] if about < len(mine) else None

    async def follow(self, user: str) -> None:
        """Take over what was logged of the user; the two users are in shards of their own."""
        for entry in await self.store.read_log(shard_of(user), self.read[user], 1000):
            self.read[user] = entry.entry_id
            self.log.append(self.logged(user, entry))
            if entry.kind == "decision" and entry.decision_id:
                self.made[user].append(entry.decision_id)

    def logged(self, user: str, entry: LogEntry) -> Logged:
        now = self.held.clock.now()
        if entry.kind == "decision":
            return Logged(now, user, from_row(entry.row))
        censored = entry.kind == "labels" and entry.status == "censored"
        if censored or entry.type == EventType.NOT_SENT:
            return Logged(now, user, taken_back=entry.decision_id)
        return Logged(now, user, external=entry.type == EventType.EXTERNAL_SEND)


def lived(history: Sequence[Step]) -> Life:
    life = Life()
    asyncio.run(life.live(history))
    return life


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, min_size=10, max_size=60))
def test_no_history_breaks_a_rule(history: list[Step]) -> None:
    assert [] == complaints(lived(history).log, LIMITS)


def test_a_history_of_ten_days_meets_every_rule() -> None:
    """So that the claim above is not about histories in which nothing was ever at stake."""
    often = Decide([("u1", False, MARKETING), ("u1", True, MARKETING)])
    waking: list[Step] = [often, Pass(HOUR / 2)]
    daily = [*waking * 48, Decide([("u1", False, ("receipt",))])]
    life = lived(daily * 10)
    assert [] == complaints(life.log, LIMITS)
    decisions = [entry.decision for entry in life.log if entry.decision]
    reasons = {reason.value for one in decisions for _, reason in one.blocked}
    assert {"gap", "cap", "tag_cap", "cooldown"} == reasons
    assert set(MESSAGES) == {one.action for one in decisions if one.action}
