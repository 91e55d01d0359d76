"""Intervals on cases small enough to check by hand, and their agreement with each other."""

from math import log

import numpy as np
import pytest
from scipy.stats import chi2

from engine.errors import BadInput
from engine.evaluation import intervals
from engine.evaluation.anytime import anytime_lower_bound
from engine.evaluation.bootstrap import bootstrap_ips, bootstrap_snips
from engine.evaluation.intervals import Interval


def test_gamma_with_unit_weights_is_the_exact_poisson_interval() -> None:
    """7 events of 1000: lower chi2(0.025; 14)/2, upper chi2(0.975; 16)/2, both over 1000."""
    found = intervals.size_biased_gamma(0.007, 7 / 1000**2, 1 / 1000)
    expected = [chi2.ppf(0.025, 14) / 2000, chi2.ppf(0.975, 16) / 2000]
    assert expected == pytest.approx([found.lower, found.upper], rel=1e-9)


def test_gamma_without_events_is_the_rule_of_three_with_weights() -> None:
    """No event in 1000 rows of size-biased mean weight 4: upper = -ln(0.025) * 4 / 1000."""
    found = intervals.size_biased_gamma(0.0, 0.0, 4 / 1000)
    assert found.lower == 0.0
    assert -log(0.025) * 4 / 1000 == pytest.approx(found.upper, rel=1e-12)


def test_size_biased_mean_weight_is_pulled_to_large_weights() -> None:
    """Weights 1, 1, 4: (1 + 1 + 16) / (1 + 1 + 4) = 3, over n = 3."""
    assert intervals.size_biased_mean_weight(6.0, 18.0, 3.0) == 1.0


def test_mover_with_one_fixed_side_keeps_the_others_reach() -> None:
    found = intervals.mover(5.0, Interval(3.0, 9.0), 2.0, Interval(2.0, 2.0), c=2.0)
    assert Interval(-1.0, 5.0) == found


def test_mover_adds_reaches_in_quadrature_on_the_right_sides() -> None:
    """Lower: first's lower reach 3 and c times second's UPPER reach 4: 5 below 10 - 2 * 1 = 8."""
    found = intervals.mover(10.0, Interval(7.0, 10.0), 1.0, Interval(1.0, 3.0), c=2.0)
    assert Interval(3.0, 8.0) == found


def test_korn_graubard_near_the_logger_is_clopper_pearson() -> None:
    """With w = 1: se^2 = V(1-V)/n, so n_eff = n and k = the events."""
    se = np.sqrt(0.1 * 0.9 / 200)
    expected, found = intervals.clopper_pearson(20.0, 200.0), intervals.korn_graubard(0.1, se)
    assert [expected.lower, expected.upper] == pytest.approx([found.lower, found.upper], rel=1e-9)


def test_paired_interval_of_similar_policies_is_far_narrower_than_two_separate_ones() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(0.0, 1.0, 1000)
    first, second = noise + 0.01, noise
    paired = intervals.paired_difference(first, second)
    alone = intervals.normal_interval(first.mean(), intervals.mean_se(first))
    assert paired.lower > 0.0
    assert alone.lower < second.mean()


def test_anytime_bound_never_falls_and_stays_below_the_mean_almost_always() -> None:
    """At alpha = 0.05, of 400 logs at most 5% may ever cross the mean: 20 + 3 sd (13) = 33."""
    rng = np.random.default_rng(5)
    crossed = 0
    for _ in range(400):
        bound = anytime_lower_bound((rng.random(2000) < 0.3) * rng.choice([0.5, 1.5], 2000))
        assert np.all(np.diff(bound) >= 0.0)
        crossed += bool(bound[-1] > 0.3)
    assert crossed <= 33


def test_anytime_bound_becomes_useful_with_rows() -> None:
    rng = np.random.default_rng(6)
    bound = anytime_lower_bound((rng.random(20_000) < 0.3).astype(float))
    assert 0.27 < bound[-1] < 0.3


def test_anytime_bound_is_unchanged_by_what_comes_later() -> None:
    z = np.random.default_rng(7).random(300)
    changed = np.concatenate((z[:200], np.zeros(100)))
    expected, actual = anytime_lower_bound(z)[:200], anytime_lower_bound(changed)[:200]
    assert expected.tolist() == actual.tolist()


def test_anytime_bound_refuses_a_negative_score() -> None:
    with pytest.raises(BadInput, match="row 1 is -1"):
        anytime_lower_bound(np.array([0.5, -1.0]))


def test_bootstrap_of_a_dense_outcome_agrees_with_the_delta_interval() -> None:
    rng = np.random.default_rng(8)
    w, r = rng.exponential(1.0, 4000), rng.normal(2.0, 1.0, 4000)
    users = np.arange(4000, dtype=np.uint64)
    expected = 2 * 1.96 * intervals.snips_se(w, r)
    found = bootstrap_snips(users, w, r, rng, resamples=4000).width
    assert expected == pytest.approx(found, rel=0.06)


def test_bootstrap_by_user_is_wider_than_by_row_when_users_repeat() -> None:
    rng = np.random.default_rng(9)
    r = np.repeat((rng.random(500) < 0.1).astype(float), 6)
    w, rows = np.ones(3000), np.arange(3000, dtype=np.uint64)
    by_user = bootstrap_ips(rows // np.uint64(6), w, r, rng)
    by_row = bootstrap_ips(rows, w, r, rng)
    assert by_user.width > 2.0 * by_row.width
