"""Points, errors and differences from streaming sums, against the plain formulas on arrays."""

import numpy as np
import pytest

from engine.errors import BadInput
from engine.evaluation import estimates, intervals
from engine.evaluation import estimators as est
from engine.evaluation.sums import policy_and_user_sums, policy_sums
from tests.unit.evaluation.logs import sample

MADE = sample(500)
SUMS = policy_sums(MADE.rows())
W = est.importance_weights(MADE.target, MADE.action, MADE.p)
Q = est.chosen(MADE.qhat, MADE.action)
V = est.model_value(MADE.target, MADE.qhat)
TERMS = {
    "ips": est.ips(W, MADE.r),
    "snips": est.snips(W, MADE.r),
    "dm": est.dm(V),
    "dr": est.dr(W, MADE.r, Q, V),
    "sndr": est.sndr(W, MADE.r, Q, V),
}


@pytest.mark.parametrize("name", TERMS)
def test_streamed_points_equal_the_plain_formulas(name: str) -> None:
    assert TERMS[name].mean() == pytest.approx(estimates.POINTS[name](SUMS, 0).value, rel=1e-12)


@pytest.mark.parametrize("name", ["ips", "dm", "dr"])
def test_streamed_error_of_a_plain_mean_is_that_of_its_terms(name: str) -> None:
    found = estimates.standard_error(SUMS, estimates.POINTS[name](SUMS, 0))
    assert intervals.mean_se(TERMS[name]) == pytest.approx(found, rel=1e-9)


def test_streamed_error_of_snips_is_the_delta_formula_up_to_ddof() -> None:
    found = estimates.standard_error(SUMS, estimates.snips(SUMS, 0))
    assert intervals.snips_se(W, MADE.r) * np.sqrt(500 / 499) == pytest.approx(found, rel=1e-9)


def test_streamed_error_of_sndr_is_that_of_its_influence() -> None:
    expected = intervals.mean_se(intervals.sndr_influence(W, MADE.r, Q, V))
    found = estimates.standard_error(SUMS, estimates.sndr(SUMS, 0))
    assert expected == pytest.approx(found, rel=1e-9)


def test_send_only_snips_uses_only_rows_that_sent() -> None:
    sent, rate = MADE.action != 0, float((1.0 - MADE.target[:, 0]).mean())
    expected = est.send_only_snips(W, MADE.r, sent, rate)
    assert expected == pytest.approx(estimates.send_only_snips(SUMS, 0).value, rel=1e-12)


def test_send_only_snips_refuses_an_outcome_that_happens_unprompted() -> None:
    with pytest.raises(BadInput, match="only a send can cause"):
        est.send_only_snips(np.ones(2), np.ones(2), np.array([True, False]), 0.5)


def test_paired_difference_equals_the_interval_of_the_row_wise_difference() -> None:
    """Policy 1 is the logger itself, so w = 1 and its IPS term is r."""
    difference = estimates.ips(SUMS, 0) - estimates.ips(SUMS, 1)
    found = estimates.delta_interval(SUMS, difference)
    expected = intervals.paired_difference(TERMS["ips"], MADE.r)
    assert expected.lower == pytest.approx(found.lower, rel=1e-9)
    assert expected.upper == pytest.approx(found.upper, rel=1e-9)


def test_a_policy_minus_itself_is_exactly_known() -> None:
    same = estimates.ips(SUMS, 1) - estimates.logged_mean(SUMS)
    assert pytest.approx(same.value, abs=1e-12) == 0.0
    assert pytest.approx(estimates.standard_error(SUMS, same), abs=1e-9) == 0.0


def test_clustered_error_equals_the_row_wise_one_with_one_row_per_user() -> None:
    sums, users = policy_and_user_sums(MADE.rows(), np.arange(500, dtype=np.uint64))
    estimate = estimates.dr(sums, 0)
    expected = estimates.standard_error(sums, estimate)
    assert expected == pytest.approx(
        estimates.clustered_error(users.squares(), estimate, 500), rel=1e-9
    )


def test_clustered_error_of_copied_rows_grows_by_the_square_root_of_the_copies() -> None:
    """Four copies of each user's row carry no more information: n is 4 times too large in iid."""
    user = np.repeat(np.arange(500, dtype=np.uint64), 4)
    terms = np.repeat(TERMS["ips"] - TERMS["ips"].mean(), 4)
    expected = intervals.mean_se(TERMS["ips"])
    assert expected == pytest.approx(intervals.clustered_se(terms, user), rel=1e-12)
    assert expected > 1.9 * intervals.mean_se(terms)


def test_one_user_alone_shows_no_spread() -> None:
    assert np.inf == intervals.clustered_se(np.array([1.0, -1.0]), np.zeros(2, np.uint64))


def test_gamma_interval_from_sums_equals_the_one_from_arrays() -> None:
    n, can = MADE.action.size, MADE.action != 0
    mean = intervals.size_biased_mean_weight(W[can].sum(), W[can] @ W[can], n)
    y, s = W @ MADE.r / n, (W * W) @ MADE.r / n**2
    expected = intervals.size_biased_gamma(float(y), float(s), float(mean))
    found = estimates.gamma_interval(SUMS, 0)
    assert [expected.lower, expected.upper] == pytest.approx([found.lower, found.upper], rel=1e-9)


def test_snips_is_moved_by_exactly_the_constant_added_to_the_outcome() -> None:
    expected = TERMS["snips"].mean() + 7.0
    assert expected == pytest.approx(est.snips(W, MADE.r + 7.0).mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("small", "large", "first", "last"),
    [("switch_dr", "switch_dr", 0.0, np.inf), ("dr_os", "dr_os", 0.0, np.inf)],
)
def test_shrunk_estimators_run_from_dm_to_dr(
    small: str, large: str, first: float, last: float
) -> None:
    at_zero = getattr(est, small)(W, MADE.r, Q, V, first)
    at_infinity = getattr(est, large)(W, MADE.r, Q, V, last)
    assert TERMS["dm"] == pytest.approx(at_zero)
    assert TERMS["dr"] == pytest.approx(at_infinity)


def test_sub_gaussian_weight_is_zero_where_the_weight_is_zero() -> None:
    """At lambda = 1 the formula is w / w: 0 / 0 without the definition."""
    assert est.sub_gaussian(np.array([0.0, 0.5, 4.0]), 1.0).tolist() == [0.0, 1.0, 1.0]


def test_stable_variance_dr_weighs_the_better_explored_period_more() -> None:
    """Period 0 draws the wanted arm always (h = 1), period 1 one time in four (h = 1/2)."""
    target = np.tile([0.0, 1.0], (4, 1))
    logged = np.array([[0.0, 1.0], [0.0, 1.0], [0.75, 0.25], [0.75, 0.25]])
    h = est.stable_variance_weights(target, logged, np.array([0, 0, 1, 1]))
    assert h.tolist() == [1.0, 1.0, 0.5, 0.5]
    assert pytest.approx(est.stable_variance(np.array([1.0, 1.0, 0.0, 0.0]), h)) == 2.0 / 3.0


def test_a_period_that_could_not_draw_what_is_wanted_weighs_nothing() -> None:
    """Period 0 could not, period 1 half the time: h = 0 and (1 / 0.5)^(-1/2) = 0.707."""
    target = np.tile([0.0, 1.0], (4, 1))
    logged = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5], [0.5, 0.5]])
    h = est.stable_variance_weights(target, logged, np.array([0, 0, 1, 1]))
    assert [0.0, 0.0, 0.5**0.5, 0.5**0.5] == pytest.approx(h.tolist())
    with pytest.raises(BadInput, match="in every period"):
        est.stable_variance_weights(target[:2], logged[:2], np.array([0, 0]))


def test_a_target_that_does_not_sum_to_one_is_refused_not_averaged_away() -> None:
    with pytest.raises(BadInput, match=r"row 1 sum to 0\.9"):
        est.model_value(np.array([[0.5, 0.5], [0.5, 0.4]]), np.ones((2, 2)))


def test_a_target_without_overlap_is_refused_by_snips() -> None:
    with pytest.raises(BadInput, match="no overlap"):
        est.snips(np.zeros(3), np.ones(3))
