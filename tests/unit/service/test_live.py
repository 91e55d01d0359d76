"""What a worker takes up, and what it says of it."""

from unittest.mock import MagicMock

import numpy as np
import pytest

from engine.context import SLOTS, EncoderState
from engine.learning import Learner, Priors
from engine.snapshot import State, to_bytes
from service.live import Live
from service.store.memory import MemoryStore
from service.store.protocol import SHARDS, Change
from service.terms import Terms


async def _publish(store: MemoryStore, state: State, version: int) -> None:
    epoch = await store.acquire_lease("test", 60.0)
    assert epoch is not None
    await store.fix_cut(epoch, ("0-0",) * SHARDS)
    await store.commit_round(epoch, version, to_bytes(state), 0)


def _using(share: float) -> State:
    seen = np.zeros(SLOTS + 1, np.bool_)
    seen[: int(share * SLOTS)] = True
    empty = Learner(Priors()).state()
    return State(empty.click, empty.unsubscribe, EncoderState(seen=seen))


async def test_a_table_a_quarter_full_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = MagicMock()
    monkeypatch.setattr("service.live.logger", lambda: said)
    store = MemoryStore(half_life_s=86400.0, tombstone_secret=b"x")
    live = Live(store, lambda _: Terms(), Priors())
    for version, share in enumerate((0.24, 0.26, 0.27), start=1):
        await _publish(store, _using(share), version)
        await live.refresh()
        assert version == live.snapshot.version
    said.warning.assert_called_once()
    assert "weight table fills up" in said.warning.call_args.args[0]


async def test_nothing_new_is_the_same_model() -> None:
    store = MemoryStore(half_life_s=86400.0, tombstone_secret=b"x")
    live = Live(store, lambda _: Terms(), Priors())
    await live.refresh()
    before = live.model
    await live.refresh()
    assert before is live.model
    await store.configure(Change("test", 0.0, {"message/m": b"{}"}))
    await live.refresh()
    assert before is not live.model
