"""Rounds of the learner: the lease is kept while they last, and lessons keep their one order."""

import numpy as np
import pytest

from engine.learning import Learner, Lesson
from engine.snapshot import to_bytes
from service import learner
from service.assembly import assemble, priors
from service.deciding import Ask
from service.learner import START, Rounds, Superseded, apply, entries_between, in_order
from service.store.memory import MemoryStore
from tests.conformance.facts import DAY, NOW, change
from tests.unit.service.harness import settings

USERS = 45
RENEW_AFTER = 10
PRIORS = priors(settings())


class Watched(MemoryStore):
    """Writes down what the learner does; another one takes the lease before `lost_at` renewals."""

    def __init__(self) -> None:
        super().__init__(half_life_s=4 * DAY, tombstone_secret=b"test")
        self.done: list[str] = []
        self.lost_at: int | None = None

    async def acquire_lease(self, token: str, ttl_s: float) -> int | None:
        if self.done.count("renewed") == self.lost_at:
            await super().release_lease("me")
            await super().acquire_lease("another", ttl_s)
        self.done.append("renewed")
        return await super().acquire_lease(token, ttl_s)


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """With a lesson for each of 45 users; the lease is renewed after ten."""
    store = Watched()
    await store.configure(change({"message/sale": b"{}"}))
    held = assemble(settings(simulated_clock=True), store, np.random.default_rng(1))
    await held.live.refresh()
    await held.decider.decide([Ask(f"u{n}", {"n": n}, at=NOW) for n in range(USERS)])
    await store.sweep(NOW + DAY)
    assert await store.entries_added() >= USERS
    monkeypatch.setattr(learner, "RENEW_AFTER", RENEW_AFTER)
    learn = Learner.learn

    def watched(self: Learner, lesson: Lesson) -> None:
        store.done.append("learned")
        learn(self, lesson)

    monkeypatch.setattr(Learner, "learn", watched)
    return store


async def rounds_of(store: Watched) -> Rounds:
    epoch = await store.acquire_lease("me", 60.0)
    assert epoch is not None
    return Rounds(store, PRIORS, "me", epoch)


def longest_spell(done: list[str]) -> int:
    """The most lessons between two renewals."""
    return max(map(len, " ".join(done).replace("learned", "l").replace(" ", "").split("renewed")))


async def test_the_lease_is_renewed_however_many_lessons_a_round_has(store: Watched) -> None:
    rounds = await rounds_of(store)
    assert await store.entries_added() == await rounds.step()
    assert RENEW_AFTER == longest_spell(store.done)


async def test_the_lease_is_renewed_while_a_round_that_was_cut_off_is_finished(
    store: Watched,
) -> None:
    rounds = await rounds_of(store)
    assert await store.fix_cut(1, await store.stream_ends())
    await rounds.resume()
    assert await store.entries_added() == store.done.count("learned")
    assert RENEW_AFTER == longest_spell(store.done)


async def test_renewing_leaves_the_order_of_lessons_as_it_was(store: Watched) -> None:
    """The same model, to the bit, as of the same lessons in one go."""
    rounds = await rounds_of(store)
    await rounds.step()
    shards = await entries_between(store, START, await store.stream_ends(), 1_000)
    alone = Learner(PRIORS)
    apply(alone, in_order(shards))
    assert to_bytes(alone.state()) == await store.load_model(1)


async def test_a_learner_that_loses_its_lease_midway_stops_there(store: Watched) -> None:
    """After the first lease, one renewal and ten lessons the lease is another one's."""
    store.lost_at = 2
    rounds = await rounds_of(store)
    with pytest.raises(Superseded):
        await rounds.step()
    assert RENEW_AFTER == store.done.count("learned")
    assert 0 == await store.current_version()
