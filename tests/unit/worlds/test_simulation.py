"""A run draws from the truth, keeps its books, and tells the news when it arrives."""

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import BadInput
from engine.worlds import delayed, patience
from engine.worlds.atlas import WORLDS
from engine.worlds.policies import AlwaysBest, Never, Random
from engine.worlds.simulation import Run, simulate
from engine.worlds.world import ABSTAIN_INDEX, CLICK, UNSUBSCRIBE, Batch, Delay, Events, Ints
from tests.unit.worlds.small import SMALL, by_hand, copies


class Recorder:
    """Sends message 0 to whom it may and keeps everything it is told."""

    def __init__(self, only: Ints | None = None) -> None:
        self.only, self.batches, self.told = only, [], []

    batches: list[Batch]
    told: list[tuple[Events, float]]

    def act(self, batch: Batch) -> Ints:
        self.batches.append(batch)
        chosen = np.ones(len(batch.users), dtype=bool)
        if self.only is not None:
            chosen = np.isin(batch.users, self.only)
        return np.where(chosen, 0, ABSTAIN_INDEX)

    def observe(self, events: Events, until: float) -> None:
        self.told.append((events, until))

    def news(self, user: int) -> list[tuple[int, int]]:
        """(kind, step) of all news about a user."""
        rows = [zip(e.user, e.kind, e.step, strict=True) for e, _ in self.told]
        return [(int(k), int(s)) for row in rows for u, k, s in row if u == user]


def test_the_same_action_meets_the_same_outcome() -> None:
    """Users 0-9 are sent to in both runs, the other 50 in one: 0-9 hear the same."""
    world = patience.world(seed=0, **SMALL)
    few, all_ = Recorder(only=np.arange(10)), Recorder()
    simulate(world, few, seed=7)
    simulate(world, all_, seed=7)
    assert any(few.news(user) for user in range(10))
    for user in range(10):
        assert few.news(user) == all_.news(user)


def test_the_same_seed_gives_the_same_run_and_another_another() -> None:
    world = patience.world(seed=0, **SMALL)
    first, again, other = (simulate(world, Random(1), seed) for seed in (3, 3, 4))
    assert first.daily_clicks.tolist() == again.daily_clicks.tolist()
    assert first.daily_clicks.tolist() != other.daily_clicks.tolist()


def test_outcomes_come_at_their_probabilities() -> None:
    """40,000 users, one send: clicks 0.3, unsubscribes 0.1, within 5 standard errors (0.0023)."""
    world = copies(by_hand([0.3], [0.1], days=1), 40_000)
    run = simulate(world, Recorder(), seed=0)
    assert run.clicks / 40_000 == pytest.approx(0.3, abs=0.0115)
    assert run.unsubscribes / 40_000 == pytest.approx(0.1, abs=0.0075)


def test_value_is_clicks_at_their_worth_less_send_costs() -> None:
    """Two users worth 3 each, one day, a certain click, cost 0.25: 2 x 3 - 2 x 0.25 = 5.5."""
    world = replace(copies(by_hand([1 - 1e-12], [1e-12], days=1), 2), send_cost=0.25)
    world = replace(world, values=np.full(2, 3.0))
    run = simulate(world, Recorder(), seed=0)
    assert run.value == pytest.approx(5.5)
    assert run.expected_value == pytest.approx(5.5)
    assert (run.clicks, run.sends, run.abstain_share) == (2, 2, 0.0)


def test_silence_costs_and_earns_nothing() -> None:
    run = simulate(patience.world(seed=0, **SMALL), Never(), seed=0)
    assert (run.value, run.sends, run.unsubscribes, run.abstain_share) == (0.0, 0, 0, 1.0)


def test_daily_series_add_up_to_the_totals() -> None:
    run = simulate(WORLDS["irregular"](seed=0, **SMALL), Random(0), seed=0)
    assert run.daily_value.sum() == pytest.approx(run.value)
    assert run.daily_clicks.sum() == run.clicks
    assert run.daily_unsubscribes.sum() == run.unsubscribes
    assert run.daily_sends.sum() == run.sends
    assert len(run.daily_value) == SMALL["days"]


def test_burden_rises_by_one_and_halves_each_half_life() -> None:
    """Half-life one day, a send every day: 0, 1/2, 3/4, 7/8."""
    recorder = Recorder()
    simulate(by_hand([0.5], [1e-12], days=4), recorder, seed=0)
    assert [b.burden[0] for b in recorder.batches] == pytest.approx([0.0, 0.5, 0.75, 0.875])


def test_who_has_left_is_not_asked_about_again() -> None:
    recorder = Recorder()
    run = simulate(by_hand([0.5], [1 - 1e-12], days=4), recorder, seed=0)
    assert [1, 0, 0, 0] == [len(b.users) for b in recorder.batches]
    assert (run.sends, run.unsubscribes) == (1, 1)


def test_late_news_of_an_unsubscribe_costs_nothing_but_time() -> None:
    """Leaves on day one, known two days later: asked three times, one send delivered."""
    world = replace(by_hand([0.5], [1 - 1e-12], days=6), unsubscribe_delay=Delay(2.25, 0.0))
    recorder = Recorder()
    run = simulate(world, recorder, seed=0)
    assert [1, 1, 1, 0, 0, 0] == [len(b.users) for b in recorder.batches]
    assert (run.sends, run.unsubscribes) == (1, 1)


def test_news_arrives_once_in_order_and_in_its_time() -> None:
    recorder = Recorder()
    world = delayed.world(seed=0, **SMALL)
    run = simulate(world, recorder, seed=0)
    start = 0.0
    for events, until in recorder.told:
        assert np.all(np.diff(events.at) >= 0.0)
        assert np.all((events.at >= start) & (events.at < until))
        start = until
    kinds = np.concatenate([events.kind for events, _ in recorder.told])
    assert 0 < (kinds == CLICK).sum() <= run.clicks
    assert 0 < (kinds == UNSUBSCRIBE).sum() <= run.unsubscribes


def test_without_delay_all_news_comes_before_the_next_step() -> None:
    recorder = Recorder()
    run = simulate(patience.world(seed=0, **SMALL), recorder, seed=0)
    for step, (events, _) in enumerate(recorder.told):
        assert set(events.step.tolist()) <= {step}
    assert sum((e.kind == CLICK).sum() for e, _ in recorder.told) == run.clicks


def test_telling_late_changes_no_outcome_while_nobody_listens() -> None:
    """Random does not learn, so late news alone must not change value or unsubscribes."""
    at_once = simulate(patience.world(seed=0, **SMALL), Random(0), seed=0)
    late = simulate(delayed.world(seed=0, **SMALL), Random(0), seed=0)
    assert (at_once.value, at_once.unsubscribes) == (late.value, late.unsubscribes)


def test_contexts_are_plain_values_one_map_per_user() -> None:
    batch = Run(WORLDS["momentary"](seed=0, **SMALL), seed=0).next()
    assert batch is not None
    contexts = batch.contexts()
    assert len(contexts) == len(batch.users)
    assert {str, bool, float} == {type(value) for value in contexts[0].values()}
    assert contexts[3]["attention"] == batch.moment[3, 0]


@pytest.mark.parametrize(
    ("actions", "sentence"),
    [(np.zeros(2, dtype=np.int64), "one each"), (np.full(60, 12), "no message available")],
)
def test_bad_actions_are_refused(actions: Ints, sentence: str) -> None:
    run = Run(patience.world(seed=0, **SMALL), seed=0)
    run.next()
    with pytest.raises(BadInput, match=sentence):
        run.apply(actions)


def test_calls_out_of_turn_are_refused() -> None:
    run = Run(patience.world(seed=0, **SMALL), seed=0)
    with pytest.raises(BadInput, match=r"call next\(\) first"):
        run.apply(np.zeros(60, dtype=np.int64))
    run.next()
    with pytest.raises(BadInput, match="called twice"):
        run.next()


def test_more_sends_than_the_budget_are_refused() -> None:
    world = WORLDS["budget"](seed=0, **SMALL)
    with pytest.raises(BadInput, match="the world allows 6"):
        simulate(world, AlwaysBest(world), seed=0)
