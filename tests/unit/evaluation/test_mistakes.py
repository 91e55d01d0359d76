"""One test for each common mistake of off-policy evaluation: caught, or shown to be harmless."""

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import BadInput
from engine.evaluation import estimates
from engine.evaluation.arrays import Matrix
from engine.evaluation.compare import Comparison, compare
from engine.evaluation.diagnostics import Verdict
from engine.evaluation.estimators import clipped, shrinkage_bias
from engine.evaluation.log import LoggedBatch, log_in_memory
from engine.evaluation.policies import Computed, Logged, Stored, TargetPolicy
from engine.evaluation.reward_model import cross_fitted, model_sums, past_only, user_folds
from engine.evaluation.scoring import holm
from engine.evaluation.settings import Settings
from engine.evaluation.sums import REWARD
from tests.unit.evaluation.logs import batch_of, draw, sample

ARMS = ("abstain", "a", "b", "c")


def judged(batch: LoggedBatch, policy: TargetPolicy | None = None, **facts: object) -> Comparison:
    log = log_in_memory("log", ARMS, batch, **facts)
    return compare(log, [policy or Stored("target")], Settings(model=False))


def verdict(batch: LoggedBatch, policy: TargetPolicy | None = None) -> tuple[Verdict, str]:
    line = judged(batch, policy).scored[0]
    return line.judgement.verdict, "; ".join(line.judgement.reasons)


def good(n: int = 20_000, seed: int = 0) -> LoggedBatch:
    return batch_of(sample(n, seed=seed, rate=0.02))


def test_a_sound_log_is_ok_and_its_interval_holds_the_truth() -> None:
    made = sample(20_000, rate=0.02)
    line = judged(batch_of(made)).line("target", "click")
    assert line.judgement.verdict is Verdict.OK
    assert line.interval is not None
    assert made.truth in line.interval


# -- propensities


def test_an_arm_changed_by_a_fallback_after_logging_is_caught_by_its_propensity() -> None:
    batch = good()
    changed = batch.action.copy()
    changed[7] = (changed[7] + 1) % 4
    with pytest.raises(BadInput, match="row 7, column propensity"):
        judged(replace(batch, action=changed))


def test_an_arm_changed_by_a_filter_with_its_own_propensity_fails_calibration() -> None:
    """A filter replaced one send in three by abstaining and copied p(abstain) into the row."""
    batch, rng = good(), np.random.default_rng(0)
    assert batch.pmf is not None
    action = np.where(rng.random(len(batch)) < 0.33, 0, batch.action)
    wrong = replace(batch, action=action, propensity=batch.pmf[np.arange(len(batch)), action])
    found, reasons = verdict(wrong)
    assert found is Verdict.REFUSE
    assert "abstain was drawn" in reasons


def test_the_propensity_of_the_best_arm_instead_of_the_sampled_one_is_refused() -> None:
    batch = good()
    assert batch.pmf is not None
    with pytest.raises(BadInput, match="not the best arm's"):
        judged(replace(batch, propensity=batch.pmf.max(axis=1)))


def test_the_best_arms_propensity_without_the_whole_law_gives_itself_away_by_mean_weight() -> None:
    batch = good()
    assert batch.pmf is not None
    wrong = replace(batch, propensity=batch.pmf.max(axis=1), pmf=None, eligible=None)
    found, reasons = verdict(wrong)
    assert found is Verdict.REFUSE
    assert "wrong propensities" in reasons


def test_a_propensity_rounded_to_zero_is_refused_with_its_row() -> None:
    batch = good()
    rounded = batch.propensity.copy()
    rounded[3] = 0.0
    with pytest.raises(BadInput, match=r"row 3, column propensity: got 0\.0.*unrounded"):
        judged(replace(batch, propensity=rounded, pmf=None))


def test_a_rounded_propensity_is_caught_against_the_logged_law() -> None:
    batch = good()
    with pytest.raises(BadInput, match="column propensity"):
        judged(replace(batch, propensity=np.maximum(batch.propensity.round(2), 0.01)))


def test_float32_propensities_of_a_millionth_change_no_digit_that_matters() -> None:
    made = sample(5000, floor=1e-6, seed=4)
    batch = batch_of(made)
    stored = made.p.astype(np.float32).astype(np.float64)
    exact = judged(batch).sums["click"]
    rounded = judged(replace(batch, propensity=stored)).sums["click"]
    assert estimates.snips(exact, 0).value == pytest.approx(
        estimates.snips(rounded, 0).value, rel=1e-6
    )


def test_a_deterministic_logger_is_refused_with_or_without_its_law() -> None:
    batch = good()
    first = np.ones(len(batch), dtype=np.int64)
    law = np.eye(4)[first]
    sure = replace(batch, action=first, propensity=np.ones(len(batch)), pmf=law, eligible=None)
    for pmf in (law, None):
        found, reasons = verdict(replace(sure, pmf=pmf))
        assert found is Verdict.REFUSE
        assert "deterministic logger" in reasons


def test_a_deterministic_logger_can_still_be_evaluated_on_itself() -> None:
    batch = good()
    first = np.ones(len(batch), dtype=np.int64)
    sure = replace(
        batch, action=first, propensity=np.ones(len(batch)), pmf=np.eye(4)[first], eligible=None
    )
    assert verdict(sure, Logged())[0] is Verdict.OK


# -- support


def test_deficient_support_is_refused_though_the_effective_sample_size_looks_fine() -> None:
    """Arm c was never logged; the target wants it a quarter of the time."""
    batch, rng = good(), np.random.default_rng(1)
    law = np.tile([0.4, 0.3, 0.3, 0.0], (len(batch), 1))
    action = draw(law, rng)
    blind = replace(
        batch, action=action, propensity=law[np.arange(len(batch)), action], pmf=law, eligible=None
    )
    uniform = Computed("uniform", lambda b, arms: np.full((len(b), len(arms)), 0.25))
    line = judged(blind, uniform).line("uniform", "click")
    assert line.diagnostics is not None
    assert line.diagnostics.ess > 0.7 * len(batch)
    assert line.judgement.verdict is Verdict.REFUSE
    assert pytest.approx(0.25) == line.diagnostics.unlogged
    assert "could not occur" in line.judgement.reasons[0]


def test_deficient_support_is_refused_by_mean_weight_where_the_law_was_not_logged() -> None:
    batch, rng = good(), np.random.default_rng(1)
    law = np.tile([0.4, 0.3, 0.3, 0.0], (len(batch), 1))
    action = draw(law, rng)
    p = law[np.arange(len(batch)), action]
    blind = replace(batch, action=action, propensity=p, pmf=None, eligible=None)
    uniform = Computed("uniform", lambda b, arms: np.full((len(b), len(arms)), 0.25))
    assert verdict(blind, uniform)[0] is Verdict.REFUSE


def test_a_target_blind_to_eligibility_is_refused() -> None:
    """Arm c was eligible on half of the rows; the target wants it everywhere."""
    batch, rng = good(), np.random.default_rng(2)
    eligible = np.ones((len(batch), 4), dtype=np.bool_)
    eligible[::2, 3] = False
    law = eligible / eligible.sum(axis=1, keepdims=True)
    action = draw(law, rng)
    rows = np.arange(len(batch))
    half = replace(batch, action=action, propensity=law[rows, action], pmf=law, eligible=eligible)
    always = Computed("always c", lambda b, arms: np.eye(len(arms))[np.full(len(b), 3)])
    found, reasons = verdict(half, always)
    assert found is Verdict.REFUSE
    assert "50.0% of the policy's choices could not occur" in reasons


def test_exploding_weights_are_refused() -> None:
    """The target lives on an arm logged once in 20,000: a handful of rows carry everything."""
    batch, rng = good(), np.random.default_rng(3)
    law = np.tile([0.5, 0.3, 0.19995, 0.00005], (len(batch), 1))
    action = draw(law, rng)
    p = law[np.arange(len(batch)), action]
    rare = replace(batch, action=action, propensity=p, pmf=law, eligible=None)
    always = Computed("always c", lambda b, arms: np.eye(len(arms))[np.full(len(b), 3)])
    found, reasons = verdict(rare, always)
    assert found is Verdict.REFUSE
    assert "effective sample size" in reasons


def test_a_target_whose_arms_do_not_sum_to_one_is_refused() -> None:
    short = Computed("short", lambda b, arms: np.full((len(b), len(arms)), 0.2))
    with pytest.raises(BadInput, match=r"sum to 0\.8, expected 1"):
        judged(good(), short)


def test_a_target_with_a_negative_probability_is_refused_though_it_sums_to_one() -> None:
    law = np.array([1.5, -0.5, 0.0, 0.0])
    odd = Computed("odd", lambda b, _arms: np.tile(law, (len(b), 1)))
    with pytest.raises(BadInput, match="expected 0 or more"):
        judged(good(), odd)


# -- rows


def test_rows_dropped_by_success_are_refused() -> None:
    """One message in three was never delivered and its row was lost."""
    batch, rng = good(), np.random.default_rng(4)
    lost = (batch.action != 0) & (rng.random(len(batch)) < 1 / 3)
    found, reasons = verdict(batch.take(~lost))
    assert found is Verdict.REFUSE
    assert "rows lost by outcome" in reasons


def test_a_log_without_its_abstentions_is_refused() -> None:
    batch = good()
    found, reasons = verdict(batch.take(batch.action != 0))
    assert found is Verdict.REFUSE
    assert "abstain was drawn 0.00 times as often" in reasons


def test_a_decision_joined_twice_with_its_outcomes_is_refused() -> None:
    batch = good(100)
    twice = np.append(np.arange(100), 5)
    with pytest.raises(BadInput, match=r"appeared before.*join its outcomes into one row"):
        log_in_memory("log", ARMS, batch.take(twice))


def test_rows_younger_than_the_attribution_window_are_dropped_whole() -> None:
    """Dropped on both sides: neither their outcomes nor their weights count."""
    batch = good(1000)
    closed = batch.closed_before(now=1000.0, window=100.0)
    assert len(closed) == 900
    assert closed.time.max() < 900.0


# -- estimates


def test_the_snips_denominator_runs_over_all_rows_not_only_events() -> None:
    sums = judged(good()).sums["click"]
    on_events = sums.total(0, 1) / sums.product(0, 0, 1) * sums.total(0, 0) / sums.n
    assert estimates.snips(sums, 0).value == pytest.approx(
        sums.total(0, 1) / sums.total(0, 0), rel=1e-12
    )
    assert estimates.snips(sums, 0).value < 0.5 * on_events


def test_every_estimator_uses_the_same_degrees_of_freedom() -> None:
    """On the logger's own rows w = 1: IPS and SNIPS are the mean of r, with one and the same se."""
    found = judged(good(), Logged())
    errors = [found.scored[0].points[name][1] for name in ("ips", "snips")]
    assert errors[0] == pytest.approx(errors[1], rel=1e-9)
    assert found.log_judgement.verdict is Verdict.OK


def test_a_policy_gap_is_judged_by_the_paired_interval() -> None:
    """The target is the logger with 2% of its abstentions turned into sends."""

    def nudged(batch: LoggedBatch, arms: tuple[str, ...]) -> Matrix:
        assert batch.pmf is not None
        moved = batch.pmf.copy()
        moved[:, 3] += 0.2 * moved[:, 0]
        moved[:, 0] *= 0.8
        assert len(arms) == moved.shape[1]
        return moved

    log = log_in_memory("log", ARMS, good())
    found = compare(log, [Computed("nudged", nudged), Logged()], Settings(model=False), "logged")
    line, base = found.line("nudged", "click"), found.line("logged", "click")
    assert line.difference is not None
    assert line.interval is not None
    assert base.interval is not None
    assert line.interval.lower < base.interval.upper  # the separate intervals overlap
    assert line.difference.interval.lower > 0.0  # the paired one is clear


def test_many_policies_are_corrected_by_holm() -> None:
    """Smallest times 3, next times 2 but never below the one before: 0.03, 0.06, 0.06."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_clipping_is_reported_with_its_bias_never_as_unbiased() -> None:
    w, r = np.array([0.5, 4.0, 1.0]), np.array([1.0, 1.0, 0.0])
    assert pytest.approx(2.0 / 3.0) == shrinkage_bias(w, clipped(w, 2.0), r)
    assert not {"clipped_ips", "switch_dr", "dr_os"} & set(estimates.POINTS)


def test_an_outcome_model_never_scores_rows_it_learned_from() -> None:
    """Changing every outcome of a fold leaves that fold's own predictions untouched."""
    batch = good(2000)
    fold, r = user_folds(batch), batch.outcomes["click"]
    changed = np.where(fold == 2, 1.0 - r, r)
    before = cross_fitted(model_sums(batch, r, fold, 4, 5), False).predict(batch, fold)
    after = cross_fitted(model_sums(batch, changed, fold, 4, 5), False).predict(batch, fold)
    assert before[fold == 2] == pytest.approx(after[fold == 2], abs=1e-12)
    assert abs(before[fold == 1] - after[fold == 1]).max() > 0.01


def test_one_users_rows_are_all_in_one_fold() -> None:
    batch = batch_of(sample(600), users=50)
    fold = user_folds(batch)
    assert len({(int(u), int(f)) for u, f in zip(batch.user, fold, strict=True)}) == 50


def test_an_adaptive_log_is_modelled_from_the_past_only_and_called_adaptive() -> None:
    batch = good(2000)
    fold = (np.arange(2000) // 400).astype(np.int64)
    r = batch.outcomes["click"]
    future = np.where(fold >= 3, 1.0 - r, r)
    before = past_only(model_sums(batch, r, fold, 4, 5), False).predict(batch, fold)
    after = past_only(model_sums(batch, future, fold, 4, 5), False).predict(batch, fold)
    assert before[fold <= 3] == pytest.approx(after[fold <= 3], abs=1e-12)
    line = judged(good(), None, adaptive=True).scored[0]
    assert line.judgement.verdict is Verdict.WEAK
    assert "adapted" in "; ".join(line.judgement.reasons)


def test_position_or_time_effects_absorbed_in_a_policy_show_as_lost_calibration_by_day() -> None:
    """Logged at an average p while the arm was drawn twice as often on odd days."""
    n, rng = 20_000, np.random.default_rng(6)
    day = np.arange(n) % 2
    true = np.where(day[:, None] == 1, [0.2, 0.4, 0.2, 0.2], [0.4, 0.2, 0.2, 0.2])
    action = draw(true, rng)
    law = np.tile([0.3, 0.3, 0.2, 0.2], (n, 1))
    wrong = replace(
        good(), action=action, propensity=law[np.arange(n), action], pmf=law, eligible=None
    )
    assert judged(wrong).log_judgement.verdict is Verdict.OK  # over both days it averages out
    dated = judged(replace(wrong, time=86_400.0 * day.astype(np.float64))).log_judgement
    assert dated.verdict is Verdict.REFUSE
    assert "on day" in dated.reasons[0]


def test_the_abstain_reward_enters_no_estimate() -> None:
    """There is no column for it; what an abstention is worth is what was observed: nothing."""
    assert not [name for name in LoggedBatch.__slots__ if "abstain" in name or "reward" in name]
    found = judged(good())
    assert found.sums["utility"].gram[0, REWARD] - found.sums["click"].gram[0, REWARD] == 0.0


def test_a_refused_line_has_no_number_anywhere() -> None:
    line = judged(good(50)).scored[0]
    assert line.judgement.verdict is Verdict.REFUSE
    assert line.value is None
    assert line.interval is None
    assert line.difference is None
    assert line.points == {}


def test_duplicate_policies_and_unknown_references_are_refused() -> None:
    log = log_in_memory("log", ARMS, good(100))
    with pytest.raises(BadInput, match="reference among them"):
        compare(log, [Stored("target")], against="other")


def test_clusters_of_one_user_widen_the_interval() -> None:
    """Forty rows a user; one user in twenty clicks on every send, the others on none."""
    batch, rng = good(), np.random.default_rng(7)
    user = np.arange(len(batch)) // 40
    keen = rng.random(len(batch)) < 0.05
    clicks = (keen[user] & batch.sent).astype(float)
    outcomes = {"click": clicks, "unsubscribe": np.zeros(len(batch))}
    log = log_in_memory("log", ARMS, replace(batch, user=user.astype(np.uint64), outcomes=outcomes))
    wide = compare(log, [Stored("target")], Settings(model=False)).scored[0].interval
    narrow = compare(log, [Stored("target")], Settings(model=False, clustered=False)).scored[0]
    assert wide is not None
    assert narrow.interval is not None
    assert wide.width > 3.0 * narrow.interval.width
