"""Sends that were cut off are taken back: a portion at a time, by whoever comes next, none lost."""

import asyncio
from collections.abc import Sequence
from unittest.mock import MagicMock

import pytest

from engine.errors import StoreError
from service import background
from service.deciding import Ask
from service.disowning import AT_ONCE, MOST, Disowned
from service.store.memory import MemoryStore
from service.store.protocol import (
    SHARDS,
    Commit,
    Committed,
    Conflict,
    Event,
    EventStatus,
    Replayed,
    StoredDecision,
)
from tests.conformance.facts import abstention, every_lesson, send
from tests.unit.service.harness import SwitchableStore, Worker, settings, worker


class CutOff(SwitchableStore):
    """Loses the answer to a commit, when told to, and hangs when it is told too much at once."""

    cut = False

    def __init__(self) -> None:
        super().__init__(half_life_s=4 * 86400.0, tombstone_secret=b"test")
        self.told = asyncio.Event()

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict | Replayed]:
        done = await super().commit(commits)
        if self.cut:
            raise StoreError("the answer was lost")
        return done

    async def record_events(self, events: Sequence[Event]) -> list[EventStatus]:
        if len(events) > AT_ONCE:
            await asyncio.Event().wait()
        statuses = await super().record_events(events)
        self.told.set()
        return statuses


class Told(MemoryStore):
    """Remembers what it was told, and answers once `open` is set; `lost`: with an error."""

    def __init__(self) -> None:
        self.portions: list[list[str]] = []
        self.open, self.lost = asyncio.Event(), False
        self.open.set()

    async def record_events(self, events: Sequence[Event]) -> list[EventStatus]:
        self.portions.append([event.user_id for event in events])
        await self.open.wait()
        if self.lost:
            raise StoreError("the answer was lost")
        return [EventStatus.ACCEPTED] * len(events)


async def the_decision(store: CutOff) -> StoredDecision:
    """The only one in the store."""
    logs = [await store.read_log(shard, "0-0", 10) for shard in range(SHARDS)]
    (name,) = {entry.decision_id for log in logs for entry in log if entry.decision_id}
    found = await store.decision(name)
    assert found is not None
    return found


async def cut_off(running: Worker, store: CutOff) -> None:
    """One send whose sender is told `fallback`."""
    store.cut = True
    assert "fallback" == (await running.decide()).json()["reason"]
    store.cut = False
    assert ("open", "sale") == ((await the_decision(store)).status, await sent(store))


async def sent(store: CutOff) -> str | None:
    (last, *_) = (await store.user("u1")).history or [None]
    return last.message if last else None


async def test_a_worker_answers_again_however_many_sends_were_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than one question could take back within its deadline: each takes a portion."""
    monkeypatch.setattr(background, "TAKE_BACK_EVERY_S", 3600.0)
    store = CutOff()
    async with worker(settings(), store) as running:
        many = [send("a", f"v{n}") for n in range(3 * AT_ONCE + 1)]
        running.held.decider.disowned.add(many)
        reasons, left = [], []
        for n in range(4):
            (answer,) = await running.held.decider.decide([Ask(f"w{n}", {})])
            reasons.append(answer.reason)
            left.append(len(running.held.decider.disowned))
    assert ["chosen"] * 4 == reasons
    assert [2 * AT_ONCE + 1, AT_ONCE + 1, 1, 0] == left


async def test_a_worker_that_nobody_asks_takes_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "TAKE_BACK_EVERY_S", 0.01)
    store = CutOff()
    async with worker(settings(), store) as running:
        await cut_off(running, store)
        await asyncio.wait_for(store.told.wait(), 10.0)
        assert ("censored", None) == ((await the_decision(store)).status, await sent(store))


async def test_a_worker_takes_back_before_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "TAKE_BACK_EVERY_S", 3600.0)
    store = CutOff()
    async with worker(settings(), store) as running:
        await cut_off(running, store)
    assert ("censored", None) == ((await the_decision(store)).status, await sent(store))


async def test_under_a_simulated_clock_it_is_taken_back_before_anything_is_taught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next question comes twelve hours later; a first lesson would be due after eight."""
    monkeypatch.setattr(background, "TAKE_BACK_EVERY_S", 3600.0)
    store = CutOff()
    async with worker(settings(simulated_clock=True), store) as running:
        await cut_off(running, store)
        await running.decide("u2", at="1970-01-01T12:00:00Z", messages=[])
        assert [] == await every_lesson(store)


async def test_two_who_take_back_at_once_tell_different_portions() -> None:
    store = Told()
    disowned = Disowned(store)
    disowned.add([send("a", f"v{n}") for n in range(AT_ONCE + 3)])
    await asyncio.gather(disowned.take_back(0.0), disowned.take_back(0.0))
    assert [AT_ONCE, 3] == [len(portion) for portion in store.portions]
    assert AT_ONCE + 3 == len({user for portion in store.portions for user in portion})
    assert 0 == len(disowned)


@pytest.mark.parametrize("how", ["refused", "in vain"])
async def test_a_portion_that_was_not_acknowledged_is_told_again(how: str) -> None:
    store = Told()
    disowned = Disowned(store)
    disowned.add([send("a", f"v{n}") for n in range(2)])
    if how == "refused":
        store.lost = True
        with pytest.raises(StoreError):
            await disowned.take_back_all(0.0)
    else:
        store.open.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(disowned.take_back_all(0.0), 0.01)
    assert 2 == len(disowned)
    store.open.set()
    store.lost = False
    await disowned.take_back_all(0.0)
    assert [["v0", "v1"]] * 2 == store.portions
    assert 0 == len(disowned)


async def test_silences_are_taken_back_like_sends_and_what_is_censored_is_not() -> None:
    disowned = Disowned(Told())
    disowned.add([abstention("a"), send("b"), abstention("c", censored=True)])
    assert 2 == len(disowned)


async def test_what_is_forgotten_is_counted_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once when it begins, and how many when all others have been taken back."""
    said = MagicMock()
    monkeypatch.setattr("service.disowning.logger", lambda: said)
    disowned = Disowned(Told())
    disowned.add([send("a", f"v{n}") for n in range(MOST)])
    said.warning.assert_not_called()
    for n in range(2):
        disowned.add([send("b", f"v{n}")])
    said.warning.assert_called_once()
    assert MOST == len(disowned)
    await disowned.take_back_all(0.0)
    assert [2] == [call.kwargs["decisions"] for call in said.error.call_args_list]
