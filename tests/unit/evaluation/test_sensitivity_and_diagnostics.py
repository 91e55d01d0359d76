"""The shrinkage path against the plain formulas, and the diagnostics on hand-made weights."""

from math import inf

import numpy as np
import pytest

from engine.errors import BadInput
from engine.evaluation import estimates
from engine.evaluation import estimators as est
from engine.evaluation.calibration import calibration, draws_by_arm, draws_by_size
from engine.evaluation.diagnostics import (
    Judgement,
    Verdict,
    diagnose,
    effective_events,
    judge,
    top_share,
)
from engine.evaluation.intervals import mean_se
from engine.evaluation.log import log_in_memory
from engine.evaluation.policies import Always, Stored
from engine.evaluation.sensitivity import LAMBDAS, path_points, path_sums, sensitivity
from engine.evaluation.settings import Settings
from engine.evaluation.sums import Rows, bin_edges, policy_sums
from tests.unit.evaluation.logs import batch_of, draw, sample

MADE = sample(700, seed=5)
W = est.importance_weights(MADE.target, MADE.action, MADE.p)
Q, V = est.chosen(MADE.qhat, MADE.action), est.model_value(MADE.target, MADE.qhat)


def test_the_path_equals_the_plain_formulas_at_every_lambda() -> None:
    for point in path_points(path_sums(W, MADE.r - Q, V)):
        terms = getattr(est, point.family)(W, MADE.r, Q, V, point.lam)
        assert terms.mean() == pytest.approx(point.value, rel=1e-12)
        assert mean_se(terms) == pytest.approx(point.se, rel=1e-9)


def test_the_unshrunk_end_of_every_path_is_dr_without_bias() -> None:
    ends = [point for point in path_points(path_sums(W, MADE.r - Q, V)) if point.lam == inf]
    assert len(ends) == 3
    for point in ends:
        assert est.dr(W, MADE.r, Q, V).mean() == pytest.approx(point.value, rel=1e-12)
        assert point.bias == 0.0


def test_the_path_of_a_log_merges_over_chunks() -> None:
    log = log_in_memory("log", ("abstain", "a", "b", "c"), batch_of(MADE))
    whole = sensitivity(log, Stored("target"), "click", Settings(chunk_rows=700))
    parts = sensitivity(log, Stored("target"), "click", Settings(chunk_rows=64))
    assert 3 * len(LAMBDAS) == len(whole)
    assert [p.value for p in whole] == pytest.approx([p.value for p in parts], rel=1e-9)


def test_a_path_needs_two_rows_and_overlap() -> None:
    arms = ("abstain", "a", "b", "c")
    one = log_in_memory("log", arms, batch_of(MADE).take(slice(0, 1)))
    with pytest.raises(BadInput, match="got 1 rows, expected at least 2"):
        sensitivity(one, Stored("target"), "click", Settings(model=False))
    drawn = batch_of(MADE)
    others = log_in_memory("log", arms, drawn.take(drawn.action != 1))
    for model in (False, True):
        with pytest.raises(BadInput, match="no overlap with this policy"):
            sensitivity(others, Always("a"), "click", Settings(model=model))


def rows_with(weights: list[float], rewards: list[float]) -> Rows:
    """Rows of arm 1 whose weights are the given ones: the target takes arm 1, p = 1 / w."""
    n = len(weights)
    target = np.tile([0.0, 1.0], (n, 1))
    p = np.array([1.0 / w for w in weights])
    return Rows(np.ones(n, dtype=np.int64), p, np.array(rewards), [target])


def test_effective_sample_size_and_largest_weight_by_hand() -> None:
    """Weights 1, 1, 2: ESS = 16 / 6, the largest row has half of sum w, 2/3 of sum w r."""
    sums = policy_sums(rows_with([1, 1, 2], [0, 1, 1]))
    found = diagnose(sums, 0, estimates.ips(sums, 0), rare=True)
    assert pytest.approx(16 / 6) == found.ess
    assert pytest.approx(0.5) == found.top_row_w
    assert pytest.approx(2 / 3) == found.top_row_wr
    assert found.max_w == 2.0


def test_effective_events_near_the_logger_are_the_events() -> None:
    """30 of 10,000 at w = 1: V = 0.003, se^2 = V (1 - V) / n, so k = 30."""
    se = np.sqrt(0.003 * 0.997 / 10_000)
    assert pytest.approx(30.0) == effective_events(0.003, se)
    assert effective_events(0.0, 0.0) == 0.0


def test_the_top_percent_holds_what_the_heaviest_rows_hold() -> None:
    """2 of 200 rows have weight 64, all rows an event: 128 of 128 + 198."""
    sums = policy_sums(rows_with([64.0] * 2 + [1.0] * 198, [1.0] * 200))
    assert pytest.approx(128 / 326) == top_share(sums, 0)


def test_weight_bins_hold_their_own_lower_edges() -> None:
    edges = bin_edges()
    assert np.all(np.diff(edges) > 0.0)
    assert 1.0 in edges
    assert pytest.approx(2.0 ** (1 / 32), rel=0.01) == (edges[1:] / edges[:-1]).mean()


def test_the_stricter_verdict_wins_and_reasons_are_kept_once() -> None:
    weak, refuse = Judgement(Verdict.WEAK, ("a",)), Judgement(Verdict.REFUSE, ("b", "a"))
    assert Judgement(Verdict.REFUSE, ("a", "b")) == weak + refuse


def test_unknown_support_is_weak_not_ok() -> None:
    made = sample(20_000, rate=0.02)
    rows = Rows(made.action, made.p, made.r, [made.target])
    sums = policy_sums(rows)
    found = judge(diagnose(sums, 0, estimates.ips(sums, 0), rare=True))
    assert found.verdict is Verdict.WEAK
    assert "support cannot be checked" in found.reasons[0]


def test_calibrated_draws_pass_at_their_nominal_rate() -> None:
    """P values of 200 true logs: 5% below 0.05 on average, 10 +- 3.1; at most 20."""
    rng = np.random.default_rng(2)
    small = 0
    for _ in range(200):
        law = rng.dirichlet(np.ones(5), 400)
        action = draw(law, rng)
        small += calibration(draws_by_arm(law, action)).p_value < 0.05
        small += calibration(draws_by_size(law, action)).p_value < 0.05
    assert small <= 2 * 20


def test_a_draw_the_law_excludes_has_p_value_zero() -> None:
    law = np.tile([1.0, 0.0], (50, 1))
    assert calibration(draws_by_arm(law, np.ones(50, dtype=np.int64))).p_value == 0.0
