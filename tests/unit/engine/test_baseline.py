"""Constant and burden: what was wrongly believed of fatigue is taken back, and doubted in time."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from engine.context import BURDEN, CONSTANT, RESERVED, burden_features
from engine.learning import Priors
from engine.response import Baseline, Head, Learned, Prior, untaught
from engine.snapshot import Snapshot, State

USUAL = 2.0
PRIORS = Priors()


def teach(head: Head, burden: float, chance: float, draw: float) -> None:
    """One lesson of a send at this burden, clicked with this chance."""
    features = np.array([1.0, *burden_features(np.array(burden))], np.float32)
    head.learn(np.arange(RESERVED), features, int(draw < chance), 1.0)


def slope_learned(seed: int) -> float:
    """300 sends that tire by 1.2 a unit, then 5,000 at burdens of 1 to 3 that tire by 0.15."""
    rng, head = np.random.default_rng(seed), Head(Prior(base_rate=0.02))
    for _ in range(300):
        burden = float(rng.integers(3))
        teach(head, burden, 0.3 * np.exp(-1.2 * burden), rng.random())
    for _ in range(5000):
        burden = rng.uniform(1.0, 3.0)
        teach(head, burden, expit(-2.2 - 0.15 * (burden - USUAL)), rng.random())
    around = np.stack(burden_features(np.array([USUAL - 0.5, USUAL + 0.5])))
    return float(head.learned().baseline.mean[BURDEN:] @ (around[:, 1] - around[:, 0]))


def test_a_steep_slope_is_taken_back_from_burdens_that_hardly_vary() -> None:
    """The mean of six; without the covariance of slope and constant it stays at -0.4."""
    learned = np.mean([slope_learned(seed) for seed in range(6)])
    assert pytest.approx(-0.15, abs=0.12) == learned


def test_a_lesson_moves_the_baseline_as_the_extended_kalman_filter_does() -> None:
    """Prior variance 1 for each, x = (1, 2, 0), p = 1/4, a click counted twice.

    Information 2 x 3/16 = 3/8; x'Cx = 5; gain (1, 2, 0) / (5 + 8/3) = (3, 6, 0) / 23. Mean: gain
    x (3/4) / (3/16) = 4 gain. Variance of the constant: 1 - 3/23.
    """
    before = Baseline(np.zeros(3), np.eye(3))
    after = before.taught(np.array([1.0, 2.0, 0.0]), 1, 2.0, 0.25)
    assert np.allclose([12 / 23, 24 / 23, 0.0], after.mean)
    expected = np.array([[20.0, -6.0, 0.0], [-6.0, 11.0, 0.0], [0.0, 0.0, 23.0]]) / 23.0
    assert np.allclose(expected, after.covariance)


def test_forgetting_half_keeps_half_of_what_was_learned_of_the_precision() -> None:
    """Precisions 4 and 20 give 12; the mean stands."""
    prior = Baseline(np.zeros(3), np.eye(3) / 4.0)
    learned = Baseline(np.array([1.0, 2.0, 3.0]), np.eye(3) / 20.0)
    half = learned.forgot(0.5, prior)
    assert np.allclose(np.eye(3) / 12.0, half.covariance)
    assert np.array_equal(learned.mean, half.mean)


def tiring(prior: Prior, slope: float) -> Learned:
    """A head that has learned a slope, to a deviation of 0.5, and nothing else."""
    covariance = np.diag([1.0, 0.25, 1e-12])
    baseline = Baseline(np.array([prior.logit, slope, 0.0]), covariance)
    return replace(untaught(prior), baseline=baseline)


def test_doubt_takes_people_to_tire_less() -> None:
    """Slopes -1 and +1 with deviation 0.5: at a burden of 2 and one deviation of doubt clicks and
    staying lose 1 instead of 2; at two deviations nothing.
    """
    priors = PRIORS.click, PRIORS.unsubscribe
    click, unsubscribe = (
        tiring(prior, slope) for prior, slope in zip(priors, (-1, 1), strict=True)
    )
    snapshot = Snapshot(1, State(click, unsubscribe), priors)
    burdens = np.array([0.0, 2.0])
    assert np.allclose([[0.0, -2.0], [0.0, 2.0]], snapshot.burden_effect(burdens))
    assert np.allclose([[0.0, -1.0], [0.0, 1.0]], snapshot.burden_effect(burdens, 1.0), atol=1e-5)
    assert np.allclose(0.0, snapshot.burden_effect(burdens, 2.0), atol=1e-5)


def test_vw_keeps_no_weight_for_the_baseline() -> None:
    head = Head(Prior(base_rate=0.02))
    for _ in range(50):
        teach(head, 1.0, 1.0, 0.0)
    assert np.array_equal(np.zeros(RESERVED), head.columns()[:RESERVED, 0])
    assert 0 == head.learned().slots.size
    assert head.learned().baseline.mean[CONSTANT] > Prior(base_rate=0.02).logit
