"""Each world is what its file says."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit

from engine.worlds import (
    budget,
    catalog_change,
    drifting,
    hidden_types,
    momentary,
    rare_events,
    shock,
)
from engine.worlds.atlas import WORLDS
from engine.worlds.optimum import Optimal, Plan, advantages, solve
from engine.worlds.policies import AlwaysBest, FrequencyCap, Greedy, Rationed
from engine.worlds.population import Population
from engine.worlds.simulation import Run, simulate
from engine.worlds.world import ABSTAIN_INDEX, Batch, Delay, Events, Floats, Ints, Policy, World
from tests.unit.worlds.small import SMALL

NAMES = list(WORLDS)


def probabilities(world: World, burden: float, step: int = 0) -> tuple[Floats, Floats]:
    """Click and unsubscribe of every user and message, moments at their means: (N, K) each."""
    users = np.arange(world.n_users)
    asked = (
        users,
        np.full(len(users), burden),
        step,
        np.zeros((len(users), len(world.moment_keys))),
    )
    return world.click_probability(*asked), world.unsubscribe_probability(*asked)


@pytest.mark.parametrize("name", NAMES)
def test_a_world_says_what_it_checks(name: str) -> None:
    module = importlib.import_module(f"engine.worlds.{name}")
    assert (module.__doc__ or "").startswith("Checks ")


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_lie_between_zero_and_one(name: str) -> None:
    world = WORLDS[name](seed=0, **SMALL)
    for burden in (0.0, 1.0, 20.0):
        for step in (0, len(world.times) - 1):
            for p in probabilities(world, burden, step):
                assert p.shape == (world.n_users, len(world.messages))
                assert p.min() > 0.0
                assert p.max() < 1.0


@pytest.mark.parametrize("name", NAMES)
def test_a_world_is_drawn_by_its_seed(name: str) -> None:
    first, again, other = (WORLDS[name](seed=s, **SMALL) for s in (0, 0, 1))
    assert first.name == name
    assert np.array_equal(first.click_logit, again.click_logit)
    assert not np.array_equal(first.click_logit, other.click_logit)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_policy_sees_has_the_declared_keys(name: str) -> None:
    world = WORLDS[name](seed=0, **SMALL)
    batch = Run(world, seed=0).next()
    assert batch is not None
    assert tuple(batch.context) == world.user_keys + world.moment_keys
    assert len({message.id for message in world.messages}) == len(world.messages)


def test_patience_has_the_size_that_was_planned() -> None:
    """Optimum about 5,600 at 37 to 59 unsubscribes, always sending several hundred of 600."""
    world = WORLDS["patience"](seed=0)
    plan = solve(world, 30)
    assert (600, 120, 12) == (world.n_users, len(world.times), len(world.messages))
    assert 5300 < plan.value < 6100
    assert 37 <= plan.unsubscribes <= 59
    assert simulate(world, AlwaysBest(world), seed=0).unsubscribes > 300


def test_patience_tires_clicks_and_brings_unsubscribes() -> None:
    world = WORLDS["patience"](seed=0, **SMALL)
    (fresh, calm), (tired, touchy) = probabilities(world, 0.0), probabilities(world, 2.0)
    assert np.all(tired < fresh)
    assert np.all(touchy > calm)


def test_in_no_fatigue_burden_changes_nothing() -> None:
    world = WORLDS["no_fatigue"](seed=0, **SMALL)
    for fresh, burdened in zip(probabilities(world, 0.0), probabilities(world, 9.0), strict=True):
        assert np.array_equal(fresh, burdened)


def test_in_no_fatigue_always_sending_is_all_but_optimal() -> None:
    world = WORLDS["no_fatigue"](seed=0, users=200, days=60)
    best = Optimal(world, solve(world))
    ahead = paired(world, best, AlwaysBest(world), seeds=8)
    always = np.mean([simulate(world, AlwaysBest(world), s).expected_value for s in range(8)])
    assert abs(ahead) < 0.02 * always


def test_where_clicks_tire_nobody_leaves() -> None:
    world = WORLDS["tiring_clicks"](seed=0, **SMALL)
    _, leaves = probabilities(world, 30.0)
    assert leaves.max() * world.n_users * len(world.times) < 1e-6
    assert np.all(probabilities(world, 2.0)[0] < probabilities(world, 0.0)[0])


def test_hidden_types_are_a_third_each_and_do_not_show_in_the_context() -> None:
    """With 3,000 users a correlation by chance has a standard deviation of 0.018."""
    kind = hidden_types.types(0, 3000)
    assert [1000, 1000, 1000] == np.bincount(kind).tolist()
    world = hidden_types.world(seed=0, users=3000, days=2)
    for key, column in world.lasting.items():
        if column.dtype.kind in "bf":
            assert abs(np.corrcoef(kind, column.astype(float))[0, 1]) < 0.08, key
    _, leaves = probabilities(world, 1.0)
    means = [leaves[kind == k].mean() for k in range(3)]
    assert means[2] > 3 * means[1] > 9 * means[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_rare_events_meet_the_rates_of_the_real_log(seed: int) -> None:
    """Click 1.1% and unsubscribe 0.22% per message within 5%, at 3.1 messages in seven days."""
    world = rare_events.world(seed=seed)
    clicks, leaves = probabilities(world, rare_events.reference_burden(world))
    assert clicks.mean() == pytest.approx(0.0110, rel=0.05)
    assert leaves.mean() == pytest.approx(0.0022, rel=0.05)


def test_in_rare_events_half_of_the_users_never_click() -> None:
    """A standard deviation of the share of 3,000 users is 0.009."""
    clicks, _ = probabilities(rare_events.world(seed=0), 0.0)
    never = clicks.max(axis=1) < 1e-5
    assert never.mean() == pytest.approx(0.5, abs=0.04)
    known = rare_events.world(seed=0).lasting["has_opened"]
    assert not np.any(known & never)
    assert known[~never].mean() == pytest.approx(0.85, abs=0.04)


def test_rare_events_come_at_those_rates_when_simulated() -> None:
    """Days 20 to 60 of 6 runs: about 300,000 sends; standard errors 1.7% and 3.9% of the rates.

    Burden then varies about the reference; and the readiest have begun to leave, 4% by day 40.
    """
    world = rare_events.world(seed=0, days=60)
    runs = [simulate(world, Sometimes(rare_events.SENDS_PER_DAY), seed) for seed in range(6)]
    sends = sum(run.daily_sends[20:].sum() for run in runs)
    clicks = sum(run.daily_clicks[20:].sum() for run in runs)
    left = sum(run.daily_unsubscribes[20:].sum() for run in runs)
    assert clicks / sends == pytest.approx(0.0110, rel=0.05)
    assert left / sends == pytest.approx(0.0022, rel=0.12)


class Sometimes:
    """A random message with a fixed probability."""

    def __init__(self, probability: float) -> None:
        self._probability, self._rng = probability, np.random.default_rng(0)

    def act(self, batch: Batch) -> Ints:
        n, k = len(batch.users), len(batch.available)
        sends = self._rng.random(n) < self._probability
        return np.where(sends, self._rng.integers(k, size=n), ABSTAIN_INDEX)

    def observe(self, events: Events, until: float) -> None: ...


def test_drifting_tastes_turn_into_others_of_the_same_spread() -> None:
    world = drifting.world(seed=0, users=600)
    first, last = (logit(probabilities(world, 0.0, step)[0]) for step in (0, 119))
    assert abs(np.corrcoef(first.ravel(), last.ravel())[0, 1]) < 0.35
    assert last.std() == pytest.approx(first.std(), rel=0.2)
    weekly = [probabilities(world, 0.0, step)[0] for step in (0, 6, 7)]
    assert np.array_equal(weekly[0], weekly[1])
    assert not np.array_equal(weekly[1], weekly[2])


def test_the_catalog_changes_once_halfway() -> None:
    """In 30 days: 11 messages at any time, one leaves and another comes on day 15."""
    world = catalog_change.world(seed=0, **SMALL)
    before, after = world.available(14), world.available(15)
    assert (11, 11) == (before.sum(), after.sum())
    retired, added = np.flatnonzero(before & ~after), np.flatnonzero(after & ~before)
    assert (1, 1) == (len(retired), len(added))
    assert int(retired[0]) == np.bincount(world.click_logit[0].argmax(axis=1)).argmax()


def test_delays_have_the_median_and_the_tail_they_claim() -> None:
    """The 0.95 point of a log-normal is median x exp(1.645 spread)."""
    world = WORLDS["delayed"](seed=0, **SMALL)
    half, late = world.click_delay.days(np.array([0.5, 0.95])) * 24
    assert half == pytest.approx(2.0)
    assert late == pytest.approx(2.0 * np.exp(1.645 * 1.8), rel=1e-3)
    assert world.unsubscribe_delay.days(np.array([0.5]))[0] * 24 == pytest.approx(8.0)
    assert Delay().days(np.array([0.01, 0.99])).tolist() == [0.0, 0.0]


def test_values_spread_over_two_orders_of_magnitude() -> None:
    values = WORLDS["spread_values"](seed=0, users=5000, days=2).values
    low, high = np.quantile(values, [0.01, 0.99])
    assert high / low == pytest.approx(100.0, rel=0.25)
    assert values.mean() == pytest.approx(1.0, abs=0.1)


def test_irregular_has_uneven_gaps_and_users_who_come_and_go() -> None:
    world = WORLDS["irregular"](seed=0, **SMALL)
    gaps = np.diff(world.times) * 24
    assert gaps.min() < 1.0
    assert gaps.max() > 10.0
    run, seen = Run(world, seed=0), np.zeros(60)
    while (batch := run.next()) is not None:
        seen[batch.users] += 1
        run.apply(np.full(len(batch.users), ABSTAIN_INDEX))
    assert np.abs(seen / 120 - world.presence).max() < 4 * np.sqrt(0.25 / 120)


def test_many_messages_are_200_in_20_categories() -> None:
    messages = WORLDS["many_messages"](seed=0, **SMALL).messages
    assert (200, 20) == (len(messages), len({m.attributes["category"] for m in messages}))


def test_the_shock_multiplies_the_odds_of_leaving_by_twenty_for_twenty_days() -> None:
    world = shock.world(seed=0, users=20)
    odds = [p / (1 - p) for p in (probabilities(world, 1.0, day)[1] for day in (39, 40, 59, 60))]
    assert np.allclose(odds[1] / odds[0], 20.0)
    assert np.allclose(odds[2] / odds[3], 20.0)


def test_no_policy_passes_the_bound_of_the_budget() -> None:
    world = budget.world(seed=0, users=100, days=60)
    bound = budget.bound(world)
    ranked = simulate(world, budget.Ranked(world, bound.plan), seed=0)
    assert ranked.daily_sends.max() <= 10
    assert 0.9 * bound.value < ranked.expected_value < 1.02 * bound.value
    rivals = (AlwaysBest(world), Greedy(world, 5.0, 0.4), Greedy(world, 5.0, 0.2))
    for rival in rivals:
        run = simulate(world, Rationed(rival, world), seed=0)
        assert run.expected_value < ranked.expected_value
    assert simulate(world, FrequencyCap(world, 1, 7.0), seed=0).daily_sends.max() <= 10


def test_in_momentary_ignoring_or_freezing_the_moment_loses_to_a_flat_cost() -> None:
    """All with the true probabilities; four paired runs of 150 users, 120 days.

    `ignoring` prices patience at the mean moment, `freezing` as if the present moment lasted.
    """
    world = momentary.world(seed=0, users=150)
    flat = max(
        (Greedy(world, 10.0, cost) for cost in (0.2, 0.25, 0.3, 0.35)),
        key=lambda policy: simulate(world, policy, seed=100).expected_value,
    )
    averaging = Optimal(world, solve(world, 30))
    ignoring = Optimal(world, solve(replace(world, moment_effect=(0.0, 0.0)), 30))
    assert paired(world, averaging, flat, seeds=4) > 0.0
    assert paired(world, flat, ignoring, seeds=4) > 0.0
    assert paired(world, flat, Freezing(world), seeds=4) > 0.0


def paired(world: Population, ahead: Policy, behind: Policy, seeds: int) -> float:
    """Mean difference of expected value."""
    runs = [(simulate(world, ahead, s), simulate(world, behind, s)) for s in range(seeds)]
    return float(np.mean([a.expected_value - b.expected_value for a, b in runs]))


class Freezing:
    """Takes the present moment's effect for lasting: one plan per effect, blended between two."""

    def __init__(self, world: Population) -> None:
        self._world = world
        self._effects = np.linspace(-4.2, 4.2, 9)
        self._plans = [frozen_plan(world, effect) for effect in self._effects]

    def act(self, batch: Batch) -> Ints:
        effect = batch.moment @ np.array(self._world.moment_effect)
        upper = np.clip(np.searchsorted(self._effects, effect), 1, len(self._effects) - 1)
        share = (effect - self._effects[upper - 1]) / (self._effects[1] - self._effects[0])
        share = np.clip(share, 0.0, 1.0)[:, None]
        gains = np.stack([advantages(self._world, plan, batch) for plan in self._plans])
        row = np.arange(len(effect))
        gain = gains[upper - 1, row] * (1.0 - share) + gains[upper, row] * share
        return np.where(gain.max(axis=1) > 0.0, gain.argmax(axis=1), ABSTAIN_INDEX)

    def observe(self, events: Events, until: float) -> None: ...


def frozen_plan(world: Population, effect: float) -> Plan:
    lasting = replace(
        world,
        moment_keys=(),
        moment_effect=(),
        click_logit=world.click_logit + effect,
        unsubscribe_logit=world.unsubscribe_logit - world.moment_relief * effect,
    )
    return solve(lasting, 30)
