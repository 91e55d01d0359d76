"""No sequence of decisions, events, edits and passing time breaks a rule.

Two real deciders over one store in memory, under the simulated clock. Neither is told of an edit:
what it knows of the catalog is what its last refused commit made it read. The judge knows only the
log and the edits.
That Redis does the same step by step is the business of the conformance suite.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decision_log import from_row
from engine.rules import Cap
from service.assembly import assemble
from service.deciding import Ask
from service.services import Services
from service.store.keys import shard_of
from service.store.memory import MemoryStore
from service.store.protocol import ABOUT_CONSENT, Change, Event, EventType, LogEntry
from tests.rules_checker import JUDGED, Limits, Logged, complaints
from tests.unit.service.harness import settings as free_sends

HOUR = 3_600.0
DAY = 24 * HOUR
START = 1_700_036_000.0
"""A Wednesday morning in UTC."""
USERS = ("u1", "u2")
assert shard_of(USERS[0]) != shard_of(USERS[1]), "the log is told apart by shard"
MESSAGES = {
    "sale": b'{"tags": ["offer"]}',
    "bargain": b'{"tags": ["offer", "loud"]}',
    "digest": b'{"cooldown_s": 259200}',
    "receipt": b'{"transactional": true, "tags": ["loud"]}',
    "letter": b'{"channel": "email"}',
    "alarm": b'{"tier": 1, "cooldown_s": 86400}',
}
MARKETING = ("sale", "bargain", "digest", "letter")
EDITS: dict[str, dict[str, object]] = {
    "sale": {"tags": ["offer"]},
    "sale untagged": {},
    "sale paused": {"tags": ["offer"], "paused": True},
    "digest": {"cooldown_s": 259200},
    "digest sooner": {"cooldown_s": 86400},
    "digest paused": {"cooldown_s": 259200, "paused": True},
}
"""What a message may be edited to; the first word names it."""
RULES = free_sends(
    simulated_clock=True,
    min_gap_s=HOUR,
    caps="2/1d 5/7d",
    tag_caps="offer:1/2d loud:3/4d",
    quiet_hours="22:00-07:00",
    days="mon tue wed thu fri sat",
)
LIMITS = Limits(
    gap=HOUR,
    caps=((2, DAY), (5, 7 * DAY)),
    tag_caps=(("offer", 1, 2 * DAY), ("loud", 3, 4 * DAY)),
    cooldowns={"digest": 3 * DAY, "alarm": DAY},
    tags={"sale": ("offer",), "bargain": ("offer", "loud"), "receipt": ("loud",)},
    transactional=frozenset({"receipt"}),
    channels={"letter": "email"},
    tiers={"alarm": 1},
    quiet=(22, 7),
    days=frozenset(range(6)),
)
ZONES = ("UTC", "America/New_York", "Asia/Kolkata")


@dataclass(frozen=True)
class Decide:
    """Several questions in one batch, the same user perhaps twice."""

    asks: list[tuple[str, bool, tuple[str, ...] | None, str]]
    worker: int = 0


@dataclass(frozen=True)
class Report:
    user: str
    type: EventType
    about: int
    """Which of the user's decisions, counted from the last."""
    channel: str | None = None
    tolerance: Cap | None = None


@dataclass(frozen=True)
class Pass:
    seconds: float


@dataclass(frozen=True)
class Edit:
    """A message becomes one of `EDITS`, or is deleted."""

    to: str
    delete: bool = False


@dataclass(frozen=True)
class Switch:
    """The kill switch."""

    on: bool


Step = Decide | Report | Pass | Edit | Switch
users = st.sampled_from(USERS)
# Few receipts: they pass every rule, and each of them starts a gap.
some = st.sampled_from([MARKETING, MARKETING, MARKETING[:1], MARKETING[1:], ("receipt",), None])
asks = st.tuples(users, st.booleans(), some, st.sampled_from(ZONES))
asked = st.lists(asks, min_size=1, max_size=3)
decides = st.builds(Decide, asked, st.integers(0, 1))
edits = st.builds(Edit, st.sampled_from(sorted(EDITS)), st.sampled_from([False, False, True]))
switches = st.sampled_from([False, False, True]).map(Switch)
types = ["external_send", "not_sent", "not_sent", "sent", "click"] + ["tolerance", "subscribe"] * 2
reports = st.builds(
    Report,
    users,
    st.sampled_from([*types, "unsubscribe"]).map(EventType),
    st.integers(0, 3),
    st.sampled_from([None, "push", "email"]),
    st.sampled_from([None, Cap(1, 3 * DAY), Cap(3, 2 * DAY)]),
)
pauses = [1.0, HOUR / 2, HOUR - 1, HOUR, 6 * HOUR, DAY - HOUR, DAY, 2 * DAY]
passes = st.sampled_from(pauses).map(Pass)
steps = st.sampled_from(
    [*[decides] * 6, *[passes] * 4, *[reports] * 2, edits, edits, switches]
).flatmap(lambda step: step)


class Life:
    """One deployment, driven step by step, and its log as the judge wants it."""

    def __init__(self) -> None:
        self.store = MemoryStore(half_life_s=DAY, tombstone_secret=b"test")
        self.workers: list[Services] = [
            assemble(RULES, self.store, np.random.default_rng(seed)) for seed in (1, 2)
        ]
        self.move(START)
        self.limits = LIMITS
        self.log: list[Logged] = []
        self.read: dict[str, str] = dict.fromkeys(USERS, "0-0")
        self.made: dict[str, list[str]] = {user: [] for user in USERS}
        self.events = 0

    async def live(self, history: Sequence[Step]) -> None:
        for name, body in MESSAGES.items():
            await self.store.configure(change({f"message/{name}": body}))
        for held in self.workers:
            await held.live.refresh()
        for step in history:
            await self.take(step)
            for user in USERS:
                await self.follow(user)

    def move(self, now: float) -> None:
        for held in self.workers:
            held.clock.arrival(now)

    @property
    def now(self) -> float:
        return self.workers[0].clock.now()

    async def take(self, step: Step) -> None:
        now = self.now
        match step:
            case Decide(asks, worker):
                await self.workers[worker].decider.decide(
                    [
                        Ask(user, {}, messages=wanted, deferred=deferred, zone=ZoneInfo(zone))
                        for user, deferred, wanted, zone in asks
                    ]
                )
            case Pass(seconds):
                self.move(now + seconds)
            case Edit(to, delete):
                await self.edit(to.split()[0], None if delete else EDITS[to])
            case Switch(on):
                await self.store.configure(change({"pause": b"true" if on else None}))
                self.log.append(Logged(now, pause="", paused=on))
            case Report(user, kind, about, channel, tolerance):
                named = None if kind is EventType.EXTERNAL_SEND else self.own(user, about)
                self.events += 1
                event = Event(
                    f"e{self.events}",
                    kind,
                    user,
                    now,
                    now,
                    named,
                    channel=channel if kind in ABOUT_CONSENT else None,
                    tolerance=tolerance if kind is EventType.TOLERANCE else None,
                )
                await self.store.record_events([event])

    async def edit(self, name: str, body: dict[str, Any] | None) -> None:
        """What is gone is judged like what is paused."""
        sent = None if body is None else json.dumps(body).encode()
        await self.store.configure(change({f"message/{name}": sent}))
        gone = body is None or bool(body.get("paused"))
        body = body or {}
        self.limits = replace(
            self.limits,
            cooldowns={**self.limits.cooldowns, name: body.get("cooldown_s", 0.0)},
            tags={**self.limits.tags, name: tuple(body.get("tags", ()))},
        )
        self.log.append(Logged(self.now, pause=name, paused=gone))
        self.log.append(Logged(self.now, limits=self.limits))

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
        now = self.now
        if entry.kind == "decision":
            return Logged(now, user, from_row(entry.row))
        censored = entry.kind == "labels" and entry.status == "censored"
        if censored or entry.type == EventType.NOT_SENT:
            return Logged(now, user, taken_back=entry.decision_id)
        if entry.type in ABOUT_CONSENT:
            return Logged(now, user, consent=(entry.type, entry.channel))
        if entry.type == EventType.TOLERANCE:
            most, _, days = entry.tolerance.removesuffix("d").partition("/")
            return Logged(now, user, tolerance=(int(most or 0), float(days or 0) * DAY))
        return Logged(now, user, external=entry.type == EventType.EXTERNAL_SEND)


def change(parts: Mapping[str, bytes | None]) -> Change:
    return Change("test", 0.0, parts)


def lived(history: Sequence[Step]) -> Life:
    life = Life()
    asyncio.run(life.live(history))
    return life


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, min_size=10, max_size=60))
def test_no_history_breaks_a_rule(history: list[Step]) -> None:
    assert [] == complaints(lived(history).log, LIMITS)


def test_a_history_of_six_weeks_meets_every_rule() -> None:
    """So that the claim above is not about histories in which nothing was ever at stake."""

    def once(wanted: tuple[str, ...] | None) -> Decide:
        return Decide([("u1", False, wanted, "UTC")])

    often = Decide([("u1", False, MARKETING, "UTC"), ("u1", True, MARKETING[1:], "UTC")])
    weekly: list[Step] = []
    for name in MARKETING:
        weekly += [once((name,)), Pass(7 * DAY)]
    waking: list[Step] = [often, Pass(HOUR / 2)]
    day = waking * 48
    opening: list[Step] = [
        once(None),
        Pass(2 * HOUR),
        once(("alarm",)),
        once(("bargain",)),
        once(("receipt",)),
    ]

    def say(kind: str, channel: str | None = None, tolerance: Cap | None = None) -> Report:
        return Report("u1", EventType(kind), 10**6, channel, tolerance)

    wishes = [say("tolerance", tolerance=Cap(1, 3 * DAY)), *day * 2, say("tolerance")]
    pushed = [say("unsubscribe", "push"), *day * 2, say("subscribe")]
    life = lived([*opening, *day * 6, *pushed, *wishes, Pass(9 * DAY), *weekly])
    assert [] == complaints(life.log, LIMITS)
    decisions = [entry.decision for entry in life.log if entry.decision]
    reasons = {reason.value for one in decisions for _, reason in one.blocked}
    assert JUDGED == reasons
    assert set(MESSAGES) == {one.action for one in decisions if one.action}
