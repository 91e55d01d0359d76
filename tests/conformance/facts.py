"""A small world for the store's tests: one day's decisions with round numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from zlib import crc32

from engine.outcome import Slice
from service.store.keys import lesson_order, shard_of
from service.store.lessons import StreamEntry
from service.store.protocol import (
    SHARDS,
    Change,
    Commit,
    Event,
    EventType,
    Store,
    StoredDecision,
)

HALF_LIFE_S = 86_400.0
SECRET = b"a secret of the tests"
NOW = 1_700_000_000.0
HOUR = 3_600.0
DAY = 24 * HOUR

CLICK_ENDS = DAY
UNSUBSCRIBE_ENDS = 7 * DAY


def slices(at: float) -> tuple[Slice, ...]:
    """Click: half after an hour, half after a day; unsubscribe: after two days and seven."""
    return (
        Slice(at + HOUR, "click", 0.5),
        Slice(at + CLICK_ENDS, "click", 0.5),
        Slice(at + 2 * DAY, "unsubscribe", 0.5),
        Slice(at + UNSUBSCRIBE_ENDS, "unsubscribe", 0.5),
    )


def decision_id(user_id: str, name: str) -> str:
    """An id in the user's shard, no other user's, and not naming the user."""
    return f"{shard_of(user_id):02d}-{name}-{crc32(user_id.encode()):08x}"


def order(user_id: str, name: str) -> str:
    """What lessons call that decision."""
    return lesson_order(SECRET, decision_id(user_id, name))


def send(name: str, user_id: str = "u1", now: float = NOW, **changes: object) -> Commit:
    """A send to a user who has never had one."""
    commit = Commit(
        user_id=user_id,
        expected_version=0,
        now=now,
        decision_id=decision_id(user_id, name),
        action="spring_sale",
        row=b"row of " + name.encode(),
        answer=b"answer of " + name.encode(),
        burden_after=1.0,
        hazard=0.01,
        teaching=b"teaching of " + name.encode(),
        slices=slices(now),
        confirm_by=None,
        gain_event="click",
    )
    return replace(commit, **changes)  # type: ignore[arg-type]


def abstention(name: str, user_id: str = "u1", now: float = NOW, **changes: object) -> Commit:
    """An abstention where outcomes need a send: nothing to wait for."""
    nothing = {"action": None, "burden_after": None, "hazard": 0.0, "teaching": b"", "slices": ()}
    return send(name, user_id, now, **(nothing | changes))


def event(
    event_id: str,
    type_: EventType | str,
    now: float,
    name: str | None = None,
    user_id: str = "u1",
) -> Event:
    """An event of a user, about the decision of this name if there is one."""
    about = None if name is None else decision_id(user_id, name)
    return Event(event_id, EventType(type_), user_id, now, now, about)


async def lessons(store: Store, users: Sequence[str] = ("u1",)) -> list[StreamEntry]:
    """All lessons of these users' shards, without their ids: those differ from store to store."""
    found = []
    for shard in sorted({shard_of(user_id) for user_id in users}):
        found += await store.read_stream(shard, "0-0", f"{2**63}-0", 10_000)
    return [replace(entry, entry_id="") for entry in found]


async def every_lesson(store: Store) -> list[StreamEntry]:
    """All lessons of all shards, without their ids."""
    found: list[StreamEntry] = []
    for shard in range(SHARDS):
        found += await store.read_stream(shard, "0-0", f"{2**63}-0", 10_000)
    return [replace(entry, entry_id="") for entry in found]


def change(parts: Mapping[str, bytes | None], expected: int | None = None) -> Change:
    """A change of the configuration by somebody."""
    return Change("somebody", NOW, parts, expected)


async def look(store: Store, name: str, user_id: str = "u1") -> StoredDecision:
    """A decision that is there."""
    found = await store.decision(decision_id(user_id, name))
    assert found is not None
    return found


def taught(entries: Sequence[StreamEntry]) -> list[tuple[str, int, float, float, float]]:
    """What lessons say, without where they come from."""
    return [(e.head, e.label, e.weight, e.taught, e.delay) for e in entries]


async def two_sends(store: Store, second_at: float = NOW + HOUR) -> None:
    """Hazards 0.01 and 0.03."""
    await store.commit([send("a")])
    await store.commit([send("b", now=second_at, expected_version=1, hazard=0.03)])
