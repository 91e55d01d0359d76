"""The optimum is exact: against pencil and paper, against enumeration, against simulation."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from engine.worlds import momentary, patience
from engine.worlds.atlas import WORLDS
from engine.worlds.optimum import Optimal, solve
from engine.worlds.policies import AlwaysBest, FrequencyCap, Greedy, Never, Random
from engine.worlds.population import Population
from engine.worlds.simulation import simulate
from engine.worlds.world import Floats, Policy
from tests.unit.worlds.small import SMALL, by_hand, copies

UNBUDGETED = [name for name in WORLDS if name != "budget"]


def test_a_risky_message_is_kept_for_the_last_day() -> None:
    """Two days; message a clicks 0.5 and drives off 0.4, message b clicks 0.4 and drives off 0.

    Last day: a is worth 0.5, b 0.4; V = 0.5.
    First day: a 0.5 + 0.6 x 0.5 = 0.80; b 0.4 + 0.5 = 0.90; silence 0.5. So b, then a.
    Value 0.9, expected unsubscribes 0.4 (day two), two sends.
    """
    plan = solve(by_hand([0.5, 0.4], [0.4, 1e-12], days=2))
    assert plan.value == pytest.approx(0.9, abs=1e-6)
    assert plan.unsubscribes == pytest.approx(0.4, abs=1e-6)
    assert plan.sends == pytest.approx(2.0, abs=1e-6)


def test_a_costly_send_is_not_made() -> None:
    """A click of probability 0.3 at a cost of 0.31 is worth -0.01: silence, value 0."""
    plan = solve(replace(by_hand([0.3], [0.1], days=5), send_cost=0.31))
    assert (plan.value, plan.sends) == (0.0, 0.0)


def test_absence_scales_the_last_day() -> None:
    """One day, there half of the time: 0.5 x 0.3 = 0.15."""
    absent = replace(by_hand([0.3], [0.1], days=1), presence=np.array([0.5]))
    assert solve(absent).value == pytest.approx(0.15, abs=1e-6)


def test_it_equals_the_enumeration_of_all_histories() -> None:
    """Six days, three messages, fatigue in both: 4^6 plans per user, burdens followed exactly."""
    world = patience.world(seed=5, users=4, days=6, messages=3)
    by_enumeration = sum(enumerated(world, user, 0, 0.0) for user in range(4))
    assert solve(world).value == pytest.approx(by_enumeration, rel=1e-4)


def enumerated(world: Population, user: int, step: int, burden: float) -> float:
    """Best expected value from this step on, by recursion over actions, without any grid."""
    if step == len(world.times):
        return 0.0
    keep = 2.0 ** (-1.0 / world.half_life)
    asked = (np.array([user]), np.array([burden]), step, np.zeros((1, 0)))
    clicks = world.click_probability(*asked)[0]
    leaves = world.unsubscribe_probability(*asked)[0]
    silent = enumerated(world, user, step + 1, burden * keep)
    after = enumerated(world, user, step + 1, (burden + 1.0) * keep)
    return max(silent, float((clicks - world.send_cost + (1.0 - leaves) * after).max()))


def test_moments_are_averaged_as_a_large_sample_would() -> None:
    """One day, one message: V = E max(0, sigmoid(a + z) - c) over the moment z.

    Against 200,000 draws of z; the standard error of their mean is about 0.0005.
    """
    world = replace(momentary.world(seed=0, users=1, days=1), send_cost=0.3)
    z = np.random.default_rng(0).normal(size=200_000)[:, None] * 1.2
    best = expit(world.click_logit[0, 0] + z).max(axis=1)
    expected = np.maximum(0.0, best - 0.3).mean()
    assert solve(world).value == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("name", UNBUDGETED)
def test_its_policy_earns_what_it_promises(name: str) -> None:
    """Within four standard errors over ten runs, plus 0.2% for the grid; unsubscribes likewise."""
    world = WORLDS[name](seed=0, **SMALL)
    plan = solve(world)
    runs = [simulate(world, Optimal(world, plan), seed) for seed in range(10)]
    values = np.array([run.expected_value for run in runs])
    slack = 4 * values.std(ddof=1) / np.sqrt(10) + 0.002 * plan.value
    assert abs(values.mean() - plan.value) <= slack
    left = np.array([run.unsubscribes for run in runs])
    assert abs(left.mean() - plan.unsubscribes) <= 4 * np.sqrt(plan.unsubscribes / 10) + 0.1


@pytest.mark.parametrize("name", UNBUDGETED)
def test_no_simple_policy_beats_it(name: str) -> None:
    """By more than four standard errors of the paired difference over four runs."""
    world = WORLDS[name](seed=1, **SMALL)
    plan = solve(world)
    best = values(world, lambda: Optimal(world, plan))
    for rival in (
        Never,
        lambda: Random(0),
        lambda: AlwaysBest(world),
        lambda: Greedy(world, 10.0, 0.0),
        lambda: Greedy(world, 10.0, 0.3),
        lambda: FrequencyCap(world, 1, 4.0),
    ):
        ahead = best - values(world, rival)
        assert ahead.mean() >= -4 * ahead.std(ddof=1) / 2 - 1e-9


def values(world: Population, make: Callable[[], Policy]) -> Floats:
    return np.array([simulate(world, make(), seed).expected_value for seed in range(4)])


def test_users_are_independent_so_copies_multiply_the_value() -> None:
    one = by_hand([0.5, 0.4], [0.4, 0.01], days=5)
    assert solve(copies(one, 7)).value == pytest.approx(7 * solve(one).value, rel=1e-9)


def test_a_finer_grid_changes_next_to_nothing() -> None:
    for name in ("patience", "irregular"):
        world = WORLDS[name](seed=2, **SMALL)
        assert solve(world).value == pytest.approx(solve(world, 150).value, rel=1e-3)
