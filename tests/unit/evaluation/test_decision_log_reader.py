"""The service's own log: what counts, what is left out, and what is never read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import BadInput
from engine.evaluation.compare import compare
from engine.evaluation.log import Prices
from engine.evaluation.policies import Logged, Never, Repriced, TargetPolicy
from engine.evaluation.readers.decision_log import decision_log
from engine.evaluation.settings import Settings


def record(k: int, rng: np.random.Generator) -> dict[str, Any]:
    """One decision over two messages, `digest` a candidate on even rows only."""
    names = ["digest", "sale"] if k % 2 == 0 else ["sale"]
    law = rng.dirichlet(np.ones(len(names) + 1)).astype(np.float32)
    drawn = int(rng.choice(len(law), p=law / law.sum()))
    clicks = {"digest": 0.1, "sale": 0.2}
    action = None if drawn == 0 else names[drawn - 1]
    return {
        "decision_id": f"07-{k}",
        "user_id": f"u{k % 40}",
        "at": 1000.0 * k,
        "context": {"tenure": k % 7, "country": "DE"},
        "value": 1.0,
        "burden": 0.5,
        "action": action,
        "propensity": float(law[drawn]),
        "abstain_propensity": float(law[0]),
        "abstain_reward": 0.125,
        "candidates": [
            {
                "message": name,
                "p_click": clicks[name],
                "p_unsubscribe": 0.01,
                "propensity": float(p),
                "annoyance": {"send_cost": 0.002},
            }
            for name, p in zip(names, law[1:], strict=True)
        ],
        "click": int(rng.random() < clicks.get(action or "", 0.0)),
        "unsubscribe": 0,
        "censored": False,
    }


def written(path: Path, made: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in made))
    return path


def records(n: int = 400) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [record(k, rng) for k in range(n)]


def test_candidates_become_arms_with_the_law_and_the_forecasts(tmp_path: Path) -> None:
    log = decision_log(written(tmp_path / "log.jsonl", records()), context=("tenure",))
    batch = next(log.batches())
    assert log.arms == ("abstain", "digest", "sale")
    assert batch.pmf is not None
    assert batch.eligible is not None
    assert batch.features is not None
    assert pytest.approx(np.ones(400)) == batch.pmf.sum(axis=1)
    assert batch.eligible[1].tolist() == [True, False, True]
    assert batch.targets["forecast:click"][0].tolist() == [0.0, 0.1, 0.2]
    assert batch.features[3].tolist() == [0.5, 3.0]
    assert pytest.approx(0.002) == batch.send_cost[0]


def test_unresolved_and_censored_decisions_are_left_out_whole(tmp_path: Path) -> None:
    made = records(10)
    made[2]["unsubscribe"] = None
    made[3]["censored"] = True
    made[4]["propensity"] = None
    batch = next(decision_log(written(tmp_path / "log.jsonl", made)).batches())
    assert (batch.time / 1000.0).astype(int).tolist() == [0, 1, 5, 6, 7, 8, 9]


def test_a_changed_abstain_reward_changes_no_figure(tmp_path: Path) -> None:
    policies: list[TargetPolicy] = [Logged(), Never(), Repriced(Prices(unsubscribe=5.0))]
    plain, paid = records(), records()
    for each in paid:
        each["abstain_reward"] = 1e9
    grams = []
    for name, made in (("a", plain), ("b", paid)):
        log = decision_log(written(tmp_path / f"{name}.jsonl", made))
        found = compare(log, policies, Settings(Prices(unsubscribe=5.0)))
        grams.append({name: sums.gram.tolist() for name, sums in found.sums.items()})
    assert grams[0] == grams[1]


def test_a_served_log_is_called_adaptive(tmp_path: Path) -> None:
    log = decision_log(written(tmp_path / "log.jsonl", records()))
    reasons = compare(log, [Logged()]).scored[0].judgement.reasons
    assert any("adapted" in reason for reason in reasons)


def test_a_log_without_labels_says_which_column_is_missing(tmp_path: Path) -> None:
    made = [{key: each[key] for key in each if key != "click"} for each in records(5)]
    with pytest.raises(BadInput, match="no column 'click'"):
        decision_log(written(tmp_path / "log.jsonl", made))
