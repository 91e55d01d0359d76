"""Our estimators and intervals against Open Bandit Pipeline and Vowpal Wabbit's `estimators`.

Runs the packages themselves where they import, else compares with `anchors.json`, their recording.
"""

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
import pytest

from engine.errors import BadInput
from engine.evaluation import estimators as est
from engine.evaluation import vw_intervals as vw
from engine.evaluation.intervals import Interval
from tests.unit.evaluation import anchors

OBP = anchors.obp_runs()
VW = anchors.vw_runs()
CASES = anchors.recorded()


def our_estimates(log: dict[str, Any]) -> dict[str, float]:
    """The counterparts of `anchors.obp_answers`."""
    rows, action, r = np.arange(log["action"].size), log["action"], log["reward"]
    p = log["logged"][rows, action]
    w = est.importance_weights(log["target"], action, p)
    q, v = est.chosen(log["qhat"], action), est.model_value(log["target"], log["qhat"])
    terms = {
        "ips": est.ips(w, r),
        "snips": est.snips(w, r),
        "dm": est.dm(v),
        "dr": est.dr(w, r, q, v),
        "sndr": est.sndr(w, r, q, v),
        "sub_gaussian_ips@0.3": est.sub_gaussian_ips(w, r, 0.3),
        "sub_gaussian_dr@0.3": est.sub_gaussian_dr(w, r, q, v, 0.3),
        "marginal_ips": est.marginal_ips(log["target"], log["logged"], log["feature"], action, r),
    }
    for lam in anchors.LAMBDAS:
        terms[f"clipped_ips@{lam}"] = est.clipped_ips(w, r, lam)
        terms[f"clipped_dr@{lam}"] = est.clipped_dr(w, r, q, v, lam)
        terms[f"switch_dr@{lam}"] = est.switch_dr(w, r, q, v, lam)
        terms[f"dr_os@{lam}"] = est.dr_os(w, r, q, v, lam)
    both = np.stack([p, log["second_logged"][rows, action]], axis=1)
    mixture = est.balanced_propensity(both, np.array([20.0, 40.0]))
    balanced = est.importance_weights(log["target"], action, mixture)
    terms["balanced_ips"] = est.ips(balanced, r)
    terms["balanced_dr"] = est.dr(balanced, r, q, v)
    return {name: float(term.mean()) for name, term in terms.items()}


def our_vw_forms(log: dict[str, Any]) -> dict[str, list[float]]:
    """The counterparts of `anchors.vw_answers`."""
    w, r = anchors.weights_and_unit_rewards(log)
    moments, bounded = vw.weight_moments(w, r), vw.weight_moments(w, r, w_max=50.0)
    answers: dict[str, float | Interval] = {
        "cressie_read_point": vw.cressie_read_point(moments),
        "cressie_read_point@50": vw.cressie_read_point(bounded),
        "cressie_read": vw.cressie_read_interval(moments),
        "cressie_read@50": vw.cressie_read_interval(bounded),
        "gaussian": vw.gaussian_interval(moments),
        "clopper_pearson": vw.clopper_pearson_interval(moments),
        "empirical_likelihood": vw.empirical_likelihood_point(w, r),
        "empirical_likelihood@50": vw.empirical_likelihood_point(w, r, w_max=50.0),
        "confidence_sequence": vw.confidence_sequence(w, r),
    }
    return {
        name: [answer.lower, answer.upper] if isinstance(answer, Interval) else [answer]
        for name, answer in answers.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_every_estimator_equals_the_recorded_obp(case: str) -> None:
    assert CASES[case]["obp"] == pytest.approx(our_estimates(CASES[case]["log"]), rel=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_every_vw_form_equals_the_recorded_package(case: str) -> None:
    ours = our_vw_forms(CASES[case]["log"])
    for name, expected in CASES[case]["vw"].items():
        assert expected == pytest.approx(ours[name], abs=1e-8), name


@pytest.mark.skipif(not OBP, reason="obp does not import here; the recording is compared instead")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [1, 2, 11, 12, 13])
@pytest.mark.parametrize("dense", [False, True])
def test_every_estimator_equals_obp_run_for_real(seed: int, dense: bool) -> None:
    log = anchors.small_log(seed, dense)
    assert anchors.obp_answers(log) == pytest.approx(our_estimates(log), rel=1e-9)


@pytest.mark.skipif(not VW, reason="estimators does not import; the recording is compared instead")
@pytest.mark.parametrize("seed", [1, 2, 11, 12, 13])
@pytest.mark.parametrize("dense", [False, True])
def test_every_vw_form_equals_the_package_run_for_real(seed: int, dense: bool) -> None:
    log = anchors.small_log(seed, dense)
    ours = our_vw_forms(log)
    for name, expected in anchors.vw_answers(log).items():
        assert expected == pytest.approx(ours[name], abs=1e-8), name


def test_cressie_read_ends_are_never_crossed_on_small_logs() -> None:
    """VW's fallback to r_min at both ends crosses or collapses the interval on such logs."""
    rng = np.random.default_rng(0)
    for _ in range(3000):
        n = int(rng.integers(1, 6))
        w = rng.choice([0.0, 0.1, 1.0, 3.0, 20.0], n)
        r = (rng.random(n) < 0.5).astype(float)
        for top in (inf, 25.0):
            found = vw.cressie_read_interval(vw.weight_moments(w, r, w_max=top))
            assert found.lower <= found.upper
            assert found.upper > 0.0


def test_without_overlap_no_vw_form_names_a_value() -> None:
    """All weights 0: only intervals may answer, and with all that is possible."""
    w, r = np.zeros(5), np.ones(5)
    moments = vw.weight_moments(w, r)
    refusing: list[Callable[[], object]] = [
        lambda: vw.gaussian_interval(moments),
        lambda: vw.clopper_pearson_interval(moments),
        lambda: vw.cressie_read_point(moments),
        lambda: vw.empirical_likelihood_point(w, r),
    ]
    for answer in refusing:
        with pytest.raises(BadInput, match="no overlap with this policy"):
            answer()
    for whole in (vw.cressie_read_interval(moments), vw.confidence_sequence(w, r)):
        assert (0.0, 1.0) == (whole.lower, whole.upper)


def test_a_gaussian_interval_needs_two_rows() -> None:
    with pytest.raises(BadInput, match="got 1 rows"):
        vw.gaussian_interval(vw.weight_moments(np.ones(1), np.ones(1)))


def test_more_weighted_events_than_rows_are_all_rows() -> None:
    """Weights 3, 3, 3, outcomes 1: 3 events of N = 3 / 3 = 1. Of 1 in 1, the lower end is 0.025."""
    found = vw.clopper_pearson_interval(vw.weight_moments(np.full(3, 3.0), np.ones(3)))
    assert (0.025, 1.0) == pytest.approx((found.lower, found.upper))


def test_moments_of_two_stretches_add_up_to_those_of_the_whole() -> None:
    w, r = anchors.weights_and_unit_rewards(CASES["dense-1"]["log"])
    whole = vw.weight_moments(w, r)
    parts = vw.weight_moments(w[:25], r[:25]) + vw.weight_moments(w[25:], r[25:])
    assert whole.w2r2 == pytest.approx(parts.w2r2, rel=1e-14)
    expected, actual = vw.cressie_read_interval(whole), vw.cressie_read_interval(parts)
    assert [expected.lower, expected.upper] == pytest.approx([actual.lower, actual.upper], rel=1e-9)
