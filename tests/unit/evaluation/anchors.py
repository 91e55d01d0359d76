"""What Open Bandit Pipeline and Vowpal Wabbit's `estimators` answer on fixed small logs.

`python -m tests.unit.evaluation.anchors`, where both packages import, writes `anchors.json`: inputs
and their answers, all in float64 digits that round-trip. The tests run the packages themselves
where they import and fall back to the recording elsewhere.
"""

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.replay.fixture import obp_estimators

RECORDING = Path(__file__).with_name("anchors.json")
LAMBDAS = (0.5, 1.5, 10.0)


def small_log(seed: int, dense: bool) -> dict[str, Any]:
    """A log of 60 rows and 4 arms with sparse (0/1) or dense outcomes and an imperfect model."""
    rng = np.random.default_rng(seed)
    n, k = 60, 4
    logged = rng.dirichlet(np.ones(k), n) * 0.8 + 0.05
    target = rng.dirichlet(np.full(k, 0.5), n)
    action = np.array([rng.choice(k, p=row) for row in logged])
    reward = rng.normal(2.0, 1.0, n) if dense else (rng.random(n) < 0.2).astype(float)
    return {
        "logged": logged,
        "target": target,
        "action": action,
        "reward": reward,
        "qhat": rng.random((n, k)),
        "second_logged": rng.dirichlet(np.ones(k), n) * 0.8 + 0.05,
        "feature": np.array([0, 0, 1, 1]),
    }


def logs() -> dict[str, dict[str, Any]]:
    """The recorded cases by name."""
    return {
        f"{kind}-{seed}": small_log(seed, kind == "dense")
        for kind in ("sparse", "dense")
        for seed in (1, 2)
    }


def obp_runs() -> bool:
    """Whether obp 0.5.7 imports here."""
    return obp_estimators() is not None


def obp_answers(log: dict[str, Any]) -> dict[str, float]:
    """Every single-action estimator of obp on one log."""
    ope = importlib.import_module("obp.ope")

    n = log["action"].size
    pscore = log["logged"][np.arange(n), log["action"]]
    common = {
        "reward": log["reward"],
        "action": log["action"],
        "pscore": pscore,
        "action_dist": log["target"][:, :, None],
        "estimated_rewards_by_reg_model": log["qhat"][:, :, None],
    }
    named = {
        "ips": ope.InverseProbabilityWeighting(),
        "snips": ope.SelfNormalizedInverseProbabilityWeighting(),
        "dm": ope.DirectMethod(),
        "dr": ope.DoublyRobust(),
        "sndr": ope.SelfNormalizedDoublyRobust(),
    }
    for lam in LAMBDAS:
        named[f"clipped_ips@{lam}"] = ope.InverseProbabilityWeighting(lambda_=lam)
        named[f"clipped_dr@{lam}"] = ope.DoublyRobust(lambda_=lam)
        named[f"switch_dr@{lam}"] = ope.SwitchDoublyRobust(lambda_=lam)
        named[f"dr_os@{lam}"] = ope.DoublyRobustWithShrinkage(lambda_=lam)
    named["sub_gaussian_ips@0.3"] = ope.SubGaussianInverseProbabilityWeighting(lambda_=0.3)
    named["sub_gaussian_dr@0.3"] = ope.SubGaussianDoublyRobust(lambda_=0.3)
    answers = {name: float(e.estimate_policy_value(**common)) for name, e in named.items()}
    return answers | _obp_balanced(log, common) | _obp_marginal(log)


def _obp_balanced(log: dict[str, Any], common: dict[str, Any]) -> dict[str, float]:
    ope = importlib.import_module("obp.ope")

    rows = np.arange(log["action"].size)
    second = log["second_logged"][rows, log["action"]]
    mixture = (common["pscore"] + 2.0 * second) / 3.0
    stratum = (rows % 3 > 0).astype(int)
    shared = common | {"stratum_idx": stratum, "pscore_avg": mixture}
    return {
        "balanced_ips": float(
            ope.MultiLoggersBalancedInverseProbabilityWeighting().estimate_policy_value(**shared)
        ),
        "balanced_dr": float(
            ope.MultiLoggersBalancedDoublyRobust().estimate_policy_value(**shared)
        ),
    }


def _obp_marginal(log: dict[str, Any]) -> dict[str, float]:
    ope = importlib.import_module("obp.ope")

    given = np.zeros((4, 2, 1))
    given[np.arange(4), log["feature"], 0] = 1.0
    estimator = ope.MarginalizedInverseProbabilityWeighting(n_actions=4)
    value = estimator.estimate_policy_value(
        context=np.zeros((log["action"].size, 1)),
        reward=log["reward"],
        action=log["action"],
        action_embed=log["feature"][log["action"]][:, None],
        pi_b=log["logged"][:, :, None],
        action_dist=log["target"][:, :, None],
        p_e_a=given,
    )
    return {"marginal_ips": float(value)}


def vw_runs() -> bool:
    """Whether VW's `estimators` package imports here."""
    return importlib.util.find_spec("estimators") is not None


def vw_answers(log: dict[str, Any]) -> dict[str, list[float]]:
    """VW's points and intervals of one log; outcomes are scaled into [0, 1] first."""
    names = ("clopper_pearson", "cressieread", "cs", "gaussian", "mle")
    clopper_pearson, cressieread, cs, gaussian, mle = (
        importlib.import_module(f"estimators.bandits.{name}") for name in names
    )
    forms = {
        "cressie_read_point": cressieread.Estimator(),
        "cressie_read_point@50": cressieread.Estimator(wmin=0, wmax=50),
        "cressie_read": cressieread.Interval(),
        "cressie_read@50": cressieread.Interval(wmin=0, wmax=50),
        "gaussian": gaussian.Interval(),
        "clopper_pearson": clopper_pearson.Interval(),
        "empirical_likelihood": mle.Estimator(),
        "empirical_likelihood@50": mle.Estimator(wmax=50),
        "confidence_sequence": cs.Interval(),
    }
    answers = {}
    for name, form in forms.items():
        for w, r in zip(*weights_and_unit_rewards(log), strict=True):
            form.add_example(1.0, float(r), float(w))
        answer = form.get()
        answers[name] = [float(end) for end in np.atleast_1d(answer)]
    return answers


def weights_and_unit_rewards(log: dict[str, Any]) -> tuple[Any, Any]:
    """W (n,) and the outcome scaled into [0, 1], (n,)."""
    rows = np.arange(log["action"].size)
    w = log["target"][rows, log["action"]] / log["logged"][rows, log["action"]]
    low, high = log["reward"].min(), log["reward"].max()
    return w, (log["reward"] - low) / (high - low)


def recorded() -> dict[str, dict[str, Any]]:
    """Cases of the recording: log (arrays), obp, vw."""
    cases = json.loads(RECORDING.read_text())
    for case in cases.values():
        case["log"] = {name: np.array(values) for name, values in case["log"].items()}
    return cases  # type: ignore[no-any-return]


def main() -> None:
    """Record both packages' answers."""
    if not (obp_runs() and vw_runs()):
        raise SystemExit("obp and estimators must both import to record their answers")
    cases = {
        name: {
            "log": {key: array.tolist() for key, array in log.items()},
            "obp": obp_answers(log),
            "vw": vw_answers(log),
        }
        for name, log in logs().items()
    }
    RECORDING.write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
