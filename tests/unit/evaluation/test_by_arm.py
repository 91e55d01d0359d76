"""Arms compared per user: the figures of a hand-made log, its warnings, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare, ttest_ind

from engine.arms import Arm, Shares
from engine.errors import BadInput
from engine.evaluation.by_arm import ArmUsers, Moments, differences, sample_ratio, welch
from engine.evaluation.log import Prices
from engine.evaluation.readers.arm_users import arm_users
from engine.evaluation.readers.decision_log import decision_log
from service.comparing_arms import compare_arms, known_shares
from tests.unit.service.harness import settings

PRICES = Prices(click=1.0, unsubscribe=10.0)


def row(number: int, user: str, arm: str, sent: bool = True, **given: Any) -> dict[str, Any]:
    """One settled decision about one message at a send cost of 0.5."""
    candidate = {
        "message": "sale",
        "p_click": 0.1,
        "p_unsubscribe": 0.01,
        "propensity": 0.5,
        "annoyance": {"send_cost": 0.5},
    }
    return {
        "decision_id": f"d{number}",
        "user_id": user,
        "at": float(number),
        "context": {"tenure": 1.0},
        "value": 2.0,
        "burden": 0.0,
        "arm": arm,
        "candidates": [candidate],
        "action": "sale" if sent else None,
        "propensity": 0.5,
        "abstain_propensity": 0.5,
        "click": 0.0,
        "unsubscribe": 0.0,
        "conversion": 0.0,
        "unnamed_conversion": 0.0,
        "left": False,
        "censored": False,
    } | given


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def served(seed: int = 4) -> Iterator[dict[str, Any]]:
    """3,000 users, 1 to 6 decisions each; bandit 80%, holdout 15%, business as usual 5%."""
    rng = np.random.default_rng(seed)
    for user in range(3000):
        arm = rng.choice(["bandit", "holdout", "business_as_usual"], p=[0.8, 0.15, 0.05])
        eager = rng.beta(1, 3)
        for turn in range(rng.integers(1, 7)):
            sent = arm != "holdout" and (arm != "bandit" or rng.random() < 0.5)
            yield row(
                10 * user + turn,
                f"u{user}",
                str(arm),
                sent,
                value=float(rng.choice([1.0, 3.0])),
                click=float(sent and rng.random() < eager),
                left=bool(rng.random() < (0.02 if sent else 0.005)),
            )


def per_user(rows: list[dict[str, Any]], arm: str) -> dict[str, np.ndarray[Any, Any]]:
    """The outcomes of each user of an arm, added up by hand."""
    users: dict[str, list[float]] = {}
    for one in rows:
        if one["arm"] == arm:
            sums = users.setdefault(one["user_id"], [0.0, 0.0, 0.0, 0.0])
            sent = one["action"] is not None
            utility = one["value"] * one["click"] - 10 * one["left"] - 0.5 * sent
            for k, amount in enumerate((sent, one["click"], one["left"], utility)):
                sums[k] += amount
    table = np.array(list(users.values()))
    names = ("sends", "clicks", "unsubscribes", "utility")
    return {name: table[:, k] for k, name in enumerate(names)}


def test_differences_are_welchs_over_sums_per_user(tmp_path: Path) -> None:
    """Against SciPy's test on sums made by hand, users as units."""
    rows = list(served())
    arms = arm_users(written(tmp_path, rows), PRICES)
    assert [Arm.BANDIT, Arm.HOLDOUT, Arm.BUSINESS_AS_USUAL] == [each.arm for each in arms]
    mine = per_user(rows, "bandit")
    found = differences(arms)
    assert 10 == len(found)
    for each in found:
        if each.outcome == "conversions":
            assert (0.0, None) == (each.value, each.interval)
            continue
        theirs = per_user(rows, each.reference)[each.outcome]
        expected = ttest_ind(mine[each.outcome], theirs, equal_var=False).confidence_interval()
        assert pytest.approx(mine[each.outcome].mean() - theirs.mean()) == each.value
        assert each.interval is not None
        assert pytest.approx((expected.low, expected.high)) == (
            each.interval.lower,
            each.interval.upper,
        )


def test_an_interval_of_two_like_arms_holds_nought_nineteen_times_of_twenty() -> None:
    """2,000 pairs of Poisson arms, 300 users against 60: 95% within four standard errors, 2%."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(2000):
        first, second = (moments(rng.poisson(0.8, size)) for size in (300, 60))
        interval = welch(first, second)
        held += interval is not None and 0.0 in interval
    assert pytest.approx(0.95, abs=0.02) == held / 2000


def moments(sums: np.ndarray[Any, Any]) -> Moments:
    """Of one outcome's sums per user."""
    return Moments(len(sums), float(sums.sum()), float(sums @ sums), int((sums != 0).sum()))


def test_an_outcome_of_nine_users_is_not_judged_and_of_ten_it_is() -> None:
    for users, told in ((9, False), (10, True)):
        clicks = np.zeros(500)
        clicks[:users] = 1.0
        both = [moments(clicks), moments(np.zeros(500))]
        arms = [_arm(arm, one) for arm, one in zip((Arm.BANDIT, Arm.HOLDOUT), both, strict=True)]
        (only,) = differences(arms)
        assert told == (only.interval is not None)
        assert users / 500 == only.value


def _arm(arm: Arm, clicks: Moments) -> ArmUsers:
    return ArmUsers(arm, clicks.users, 0, {"clicks": clicks})


def test_who_changed_arms_counts_for_the_first_and_is_counted(tmp_path: Path) -> None:
    rows = [row(1, "a", "bandit", click=1.0), row(2, "a", "holdout", sent=False)]
    rows += [row(3, "b", "holdout", sent=False), row(4, "a", "bandit", click=1.0)]
    bandit, holdout = arm_users(written(tmp_path, rows), PRICES)
    assert (1, 1, 2.0) == (bandit.users, bandit.changed, bandit.outcomes["clicks"].total)
    assert (1, 0, 0.0) == (holdout.users, holdout.changed, holdout.outcomes["clicks"].total)
    (late,) = arm_users(written(tmp_path, rows[1:3]), PRICES, since=2.0)
    assert (Arm.HOLDOUT, 2) == (late.arm, late.users)


def test_what_is_open_in_one_arm_ends_the_reading_of_all(tmp_path: Path) -> None:
    """The fourth decision is open: of the holdout's too, nothing from then on counts."""
    rows = [row(1, "a", "bandit"), row(2, "b", "holdout", sent=False), row(3, "c", "bandit")]
    rows += [row(4, "d", "bandit", unsubscribe=None), row(5, "e", "holdout", sent=False)]
    arms = {each.arm: each.users for each in arm_users(written(tmp_path, rows), PRICES)}
    assert {Arm.BANDIT: 2, Arm.HOLDOUT: 1} == arms


def test_a_user_to_whom_nothing_could_be_sent_is_still_a_user_of_the_arm(tmp_path: Path) -> None:
    """Two of the bandit's three: one censored, one decision never drawn; neither costs a send."""
    rows = [row(1, "a", "bandit", censored=True, click=None, unsubscribe=None)]
    rows += [row(2, "b", "bandit", False, propensity=None, click=None, unsubscribe=None)]
    rows += [row(3, "c", "bandit"), row(4, "s", "shadow", False, propensity=None, click=None)]
    (bandit,) = arm_users(written(tmp_path, rows), PRICES)
    assert (3, 1.0) == (bandit.users, bandit.outcomes["sends"].total)
    assert pytest.approx(-0.5) == bandit.outcomes["utility"].total


def test_a_decision_without_candidates_is_read(tmp_path: Path) -> None:
    rows = [row(1, "a", "bandit", False, candidates=[]), row(2, "b", "bandit")]
    (bandit,) = arm_users(written(tmp_path, rows), PRICES)
    assert 2 == bandit.users


# -- the sample ratio


def test_the_sample_ratio_is_the_chi_square_of_users_by_share() -> None:
    """1,000 users at 10 / 20 / 70%: expected 100, 200, 700."""
    shares = Shares(holdout=0.1, business_as_usual=0.2)
    users = {Arm.HOLDOUT: 120, Arm.BUSINESS_AS_USUAL: 190, Arm.BANDIT: 690}
    expected = chisquare([120, 190, 690], [100, 200, 700]).pvalue
    ratio = sample_ratio(users, shares)
    assert pytest.approx(expected) == ratio.p_value
    assert not ratio.mismatch
    assert sample_ratio(users | {Arm.HOLDOUT: 160}, shares).mismatch


def test_users_of_an_arm_without_a_share_do_not_fit() -> None:
    assert sample_ratio({Arm.BANDIT: 1000, Arm.RANDOM: 1}, Shares()).mismatch


def test_too_few_users_say_nothing_of_the_shares() -> None:
    assert sample_ratio({Arm.BANDIT: 90}, Shares(holdout=0.05)).p_value is None
    assert sample_ratio({Arm.BANDIT: 90}, Shares()).p_value is None


# -- the command and the reader of the same log


def test_the_command_prints_what_was_brought_and_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = written(tmp_path, list(served())), tmp_path / "arms.json"
    shares = Shares(holdout=0.15, business_as_usual=0.05)
    compare_arms(path, PRICES, shares, None, out)
    printed = capsys.readouterr().out
    assert "bandit against holdout, per user" in printed
    assert "bandit against business_as_usual, per user" in printed
    assert "WARNING" not in printed
    told = json.loads(out.read_text())
    assert 3000 == sum(arm["users"] for arm in told["arms"])
    assert told["sample_ratio_p"] > 1e-3
    compare_arms(path, PRICES, Shares(holdout=0.2, business_as_usual=0.05), None, None)
    assert "WARNING: the arms' users do not fit their shares" in capsys.readouterr().out


def test_shares_come_from_the_command_the_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "forbear.yaml"
    file.write_text("arms:\n  shares: {holdout: 0.2}\n")
    environment = settings(arms="holdout:0.1")
    both = settings(arms="holdout:0.1", config=file)
    assert Shares(holdout=0.1) == known_shares(environment, None)
    assert Shares(holdout=0.2) == known_shares(both, None)
    assert Shares(holdout=0.3) == known_shares(both, "holdout:0.3")
    assert known_shares(settings(), None) is None


def test_a_time_without_an_offset_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, [row(1, "a", "bandit")])
    with pytest.raises(BadInput, match=r"--since '2026-11-22' cannot be read; expected a time"):
        compare_arms(path, PRICES, None, "2026-11-22", None)
    with pytest.raises(BadInput, match="holds no decision of an arm that is settled"):
        compare_arms(path, PRICES, None, "2026-11-22T00:00:00Z", None)


def test_estimates_rest_on_the_arms_that_draw_and_say_what_they_leave_out(tmp_path: Path) -> None:
    rows = [row(n, f"u{n}", ["bandit", "random", "holdout"][n % 3]) for n in range(30)]
    log = decision_log(written(tmp_path, rows))
    batch = next(log.batches())
    assert [0, 1] * 10 == (batch.time % 3).tolist()
    assert (
        "left out, because their actions were not drawn: 10 of holdout; see `forbear arms`",
    ) == (log.notes)
    with pytest.raises(BadInput, match="holds decisions of no arm but these: 10 of holdout"):
        decision_log(written(tmp_path, rows[2::3]))


def test_an_open_decision_of_a_rules_arm_ends_no_estimate(tmp_path: Path) -> None:
    rows = [row(n, f"u{n}", "bandit") for n in range(1, 6)]
    rows[1] |= {"arm": "business_as_usual", "click": None}
    assert 4 == len(next(decision_log(written(tmp_path, rows)).batches()))
