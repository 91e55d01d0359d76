"""Public data sets through the common schema, held against their published figures."""

import numpy as np
import pytest

from engine.evaluation import estimates
from engine.evaluation.compare import compare
from engine.evaluation.diagnostics import Verdict
from engine.evaluation.log import Prices
from engine.evaluation.policies import Always, Never, Random, TargetPolicy
from engine.evaluation.readers.bank_marketing import bank_marketing, warm_start
from engine.evaluation.readers.fatigue_rollout import SCHEDULES, fatigue_rollout
from engine.evaluation.readers.hillstrom import hillstrom
from engine.evaluation.readers.open_bandit import bts_policy, open_bandit, top_ranks
from engine.evaluation.readers.upworthy import counted_log, upworthy
from engine.evaluation.settings import Settings
from engine.evaluation.sums import Rows, W, policy_sums
from tests.unit.evaluation.data import data


def test_open_bandit_random_to_bts_has_the_published_value() -> None:
    log = open_bandit(data("open_bandit_small/random_all.csv.gz"), 80)
    bts = bts_policy(data("open_bandit_small/bts_priors.json"), "all")
    found = compare(log, [bts], Settings(model=False, clustered=False))
    sums = found.sums["click"]
    assert pytest.approx(0.004553, abs=0.00002) == estimates.ips(sums, 0).value
    assert pytest.approx(0.004776, abs=0.00002) == estimates.snips(sums, 0).value
    ess = found.line("bts", "click").diagnostics
    assert ess is not None
    assert pytest.approx(1641, rel=0.02) == ess.ess


def test_ten_thousand_rows_of_open_bandit_cannot_rank_policies_and_are_refused() -> None:
    log = open_bandit(data("open_bandit_small/random_all.csv.gz"), 80)
    bts = bts_policy(data("open_bandit_small/bts_priors.json"), "all")
    line = compare(log, [bts], Settings(model=False, clustered=False)).line("bts", "click")
    assert line.judgement.verdict is Verdict.REFUSE
    assert line.value is None


def test_weights_of_bts_women_towards_uniform_explode_and_are_refused() -> None:
    """Weights reach 2.2e4 and average 3.1 instead of 1."""
    log = open_bandit(data("open_bandit_small/bts_women.csv.gz"), 46)
    line = compare(log, [Random()], Settings(model=False)).line("random", "click")
    assert line.judgement.verdict is Verdict.REFUSE
    assert line.diagnostics is not None
    assert line.diagnostics.max_w > 1e4
    assert pytest.approx(3.1, abs=0.05) == line.diagnostics.mean_w


def test_ranks_of_thompson_draws_are_integrated_not_sampled() -> None:
    """Four equal items: each rank one time in four; a surely better one is always first."""
    equal = top_ranks(np.full(4, 3.0), np.full(4, 9.0))
    assert equal == pytest.approx(np.full((3, 4), 0.25), abs=1e-9)
    better = top_ranks(np.array([900.0, 3.0, 3.0]), np.array([100.0, 900.0, 900.0]))
    assert pytest.approx(1.0, abs=1e-6) == better[0, 0]


@pytest.mark.parametrize(
    ("cost", "mens", "never"),
    [(0.0, 0.1823, 0.1062), (0.05, 0.1323, 0.1062), (0.08, 0.1023, 0.1062), (0.12, 0.0623, 0.1062)],
)
def test_hillstrom_values_fall_by_exactly_the_send_cost(
    cost: float, mens: float, never: float
) -> None:
    log = hillstrom(data("hillstrom/hillstrom.csv.gz"))
    policies: list[TargetPolicy] = [Never(), Always("Mens E-Mail"), Always("Womens E-Mail")]
    found = compare(log, policies, Settings(Prices(send=cost)), against="always:Mens E-Mail")
    best, none = found.line("always:Mens E-Mail", "utility"), found.line("never", "utility")
    assert pytest.approx(mens, abs=0.0005) == best.value
    assert pytest.approx(0.0026, abs=0.0001) == best.points["dr"][1]
    assert pytest.approx(never, abs=0.0005) == none.value
    assert none.difference is not None
    assert none.difference.interval.width < 2 * 1.96 * 2 * 0.0026  # paired beats two alone


def test_hillstrom_propensities_are_calibrated() -> None:
    log = hillstrom(data("hillstrom/hillstrom.csv.gz"))
    assert compare(log, [Never()]).log_judgement.verdict is Verdict.OK


def test_all_six_published_fatigue_effects_are_within_the_authors_errors() -> None:
    """On minus ghost, self-normalised; published errors 96.7 sessions per 1,000, 0.284 points."""
    truth = {"cadence": (1894.4, 1.02), "ripple": (1248.8, 0.62), "surge": (821.1, 3.72)}
    log = fatigue_rollout(data("notification_fatigue_synthetic"))
    policies = [Always(arm) for arm in log.arms[1:]]
    found = compare(log, policies, Settings(model=False))
    for name in SCHEDULES:
        on, ghost = log.arms.index(f"{name}:on") - 1, log.arms.index(f"{name}:ghost") - 1
        effects = [
            (estimates.snips(found.sums[o], on) - estimates.snips(found.sums[o], ghost)).value
            for o in ("conversion", "unsubscribe")
        ]
        assert pytest.approx(truth[name][0], abs=96.75) == 1000 * effects[0]
        assert pytest.approx(truth[name][1], abs=0.2845) == 100 * effects[1]


def test_fatigue_weights_average_to_one_with_users_outside_the_probe_kept() -> None:
    log = fatigue_rollout(data("notification_fatigue_synthetic"))
    batch = next(log.batches(100_000))
    everyone = np.zeros((len(batch), len(log.arms)))
    everyone[:, log.arms.index("surge:on")] = 1.0
    rows = Rows(batch.action, batch.propensity, batch.outcomes["conversion"], [everyone])
    assert pytest.approx(1.0, abs=0.02) == policy_sums(rows).total(0, W) / len(batch)


def test_bank_marketing_is_refused_for_policy_value() -> None:
    log = bank_marketing(data("bank_marketing/bank-full.csv.gz"))
    line = compare(log, [Always("call")]).scored[0]
    assert line.judgement.verdict is Verdict.REFUSE
    assert "observational" in line.judgement.reasons[0]
    assert line.value is None


def test_bank_marketing_serves_as_warm_start() -> None:
    features, bought = warm_start(
        bank_marketing(data("bank_marketing/bank-full.csv.gz")), "conversion"
    )
    assert features.shape == (45_211, 7)
    assert pytest.approx(0.1170, abs=0.0001) == bought.mean()


def test_upworthy_drops_the_risky_window() -> None:
    tests = upworthy(data("upworthy_exploratory/upworthy_exploratory.csv.gz"))
    assert len(tests) == 3824
    assert sum(test.impressions.size for test in tests) == 18_392
    assert sum(test.clicks.sum() for test in tests) == 844_221


def test_always_showing_one_arm_of_a_uniform_test_is_worth_its_own_click_rate() -> None:
    test = upworthy(data("upworthy_exploratory/upworthy_exploratory.csv.gz"))[0]
    found = compare(counted_log(test), [Always("arm 1")], Settings(model=False))
    value, _ = found.line("always:arm 1", "click").points["snips"]
    assert pytest.approx(test.clicks[1] / test.impressions[1], rel=1e-9) == value


def test_best_of_many_arms_is_worth_less_on_fresh_rows_than_where_it_was_chosen() -> None:
    """Winner's curse: chosen on one half of the clicks, the lead shrinks on the other half."""
    rng = np.random.default_rng(1)
    chosen, fresh = [], []
    for test in upworthy(data("upworthy_exploratory/upworthy_exploratory.csv.gz"))[:400]:
        views = np.maximum(test.impressions.astype(int) // 2, 1)
        first = rng.hypergeometric(
            test.clicks.astype(int), (test.impressions - test.clicks).astype(int), views
        )
        second = test.clicks - first
        best = int(np.argmax(first / views))
        chosen.append(first[best] / views[best])
        fresh.append(second[best] / max(test.impressions[best] - views[best], 1))
    assert np.mean(fresh) < np.mean(chosen) - 0.0005
