"""The service's own log: what counts, what is left out, and what is never read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.arms import Arm
from engine.decision import Decision, Forecasts, Reason
from engine.decision_log import to_json
from engine.errors import BadInput
from engine.evaluation.compare import compare
from engine.evaluation.log import Log, Prices
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


def test_the_reader_takes_the_records_the_engine_writes(tmp_path: Path) -> None:
    """Two candidates at 0.25 and 0.5, abstain 0.25; `sale` was drawn."""
    forecasts = Forecasts(
        p_click=np.array([0.1, 0.2]),
        p_unsubscribe=np.array([0.01, 0.02]),
        gain=np.array([0.2, 0.4]),
        unsubscribe=np.array([0.01, 0.02]),
        send_cost=np.full(2, 0.002),
        scarcity=np.zeros(2),
        net=np.array([0.178, 0.368]),
        propensity=np.array([0.25, 0.5]),
    )
    decision = Decision(
        decision_id="07-x",
        user_id="u",
        at=5.0,
        context={"tenure": 3.0},
        value=2.0,
        burden=1.5,
        candidates=("digest", "sale"),
        forecasts=forecasts,
        blocked=(("late", Reason.UNKNOWN_MESSAGE),),
        p0=0.0,
        unsubscribe_cost=1.0,
        price=0.01,
        action="sale",
        propensity=0.5,
        abstain_propensity=0.25,
        abstain_reward=0.0,
        reason=Reason.CHOSEN,
        arm=Arm.BANDIT,
        policy="thompson",
        model_version=1,
        encoder_version=1,
    )
    labelled = to_json(decision) | {"click": 1, "unsubscribe": 0}
    log = decision_log(written(tmp_path / "log.jsonl", [labelled]), context=("tenure",))
    batch = next(log.batches())
    assert batch.pmf is not None
    assert batch.features is not None
    assert [0.25, 0.25, 0.5] == pytest.approx(batch.pmf[0].tolist())
    assert (2, 0.5, 2.0, 0.002) == pytest.approx(
        (batch.action[0], batch.propensity[0], batch.value[0], batch.send_cost[0])
    )
    assert [1.5, 3.0] == batch.features[0].tolist()
    assert [0.0, 0.01, 0.02] == pytest.approx(batch.targets["forecast:unsubscribe"][0].tolist())


def test_from_the_first_open_decision_on_and_censored_ones_are_left_out(tmp_path: Path) -> None:
    """The last resolved ones are mostly abstentions, which resolve at once: they go as well."""
    made = records(10)
    made[7]["unsubscribe"] = None
    made[3]["censored"] = True
    made[4]["propensity"] = None
    batch = next(decision_log(written(tmp_path / "log.jsonl", made)).batches())
    assert (batch.time / 1000.0).astype(int).tolist() == [0, 1, 2, 5, 6]


def test_decisions_without_candidates_or_with_other_contexts_are_read(tmp_path: Path) -> None:
    made = records(60)
    for k in range(0, 60, 3):
        made[k] |= {"candidates": [], "action": None, "propensity": 1.0, "abstain_propensity": 1.0}
        made[k]["context"] = {f"key {k}": k}
    log = decision_log(written(tmp_path / "log.jsonl", made), context=("tenure",))
    batch = next(log.batches())
    assert batch.pmf is not None
    assert batch.features is not None
    assert [1.0, 0.0, 0.0] == batch.pmf[0].tolist()
    assert [0.5, 0.0] == batch.features[0].tolist()
    assert [0.5, 1.0] == batch.features[1].tolist()


def test_a_log_whose_decisions_are_all_open_says_what_to_wait_for(tmp_path: Path) -> None:
    made = [each | {"click": None} for each in records(3)]
    with pytest.raises(BadInput, match="no drawn decision that is settled"):
        decision_log(written(tmp_path / "log.jsonl", made))


def test_a_feature_of_no_context_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'tenor' stands in no context of log\.jsonl"):
        decision_log(written(tmp_path / "log.jsonl", records(3)), context=("tenor",))


def test_a_truncated_jsonl_is_one_sentence(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", records(20))
    path.write_text(path.read_text()[:-60])
    with pytest.raises(BadInput, match=r"log\.jsonl cannot be read"):
        list(decision_log(path).batches())


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


def coin(k: int, rng: np.random.Generator, alone: float) -> dict[str, Any]:
    """A message sent or not with probability 1/2; the outcome comes with 0.02, else `alone`."""
    sent = bool(rng.random() < 0.5)
    happened = float(rng.random() < (0.02 if sent else alone))
    return {
        "decision_id": f"07-{k}",
        "user_id": f"u{k}",
        "at": 60.0 * k,
        "value": 1.0,
        "burden": 0.0,
        "p0": alone,
        "action": "sale" if sent else None,
        "propensity": 0.5,
        "abstain_propensity": 0.5,
        "candidates": [
            {
                "message": "sale",
                "p_click": 0.02,
                "p_unsubscribe": 0.0,
                "propensity": 0.5,
                "annoyance": {"send_cost": 0.01},
            }
        ],
        "click": happened,
        "unsubscribe": 0.0,
        "conversion": happened,
    }


def coins(tmp_path: Path, alone: float) -> Log:
    rng = np.random.default_rng(0)
    return decision_log(written(tmp_path / "log.jsonl", [coin(k, rng, alone) for k in range(4000)]))


def test_an_outcome_that_an_abstention_had_also_happens_unprompted(tmp_path: Path) -> None:
    assert frozenset({"click", "conversion"}) == coins(tmp_path, alone=0.015).unprompted
    assert frozenset() == coins(tmp_path, alone=0.0).unprompted


@pytest.mark.parametrize("outcome", ["click", "conversion", "utility"])
def test_silence_earns_what_happens_unprompted_and_its_interval_says_so(
    tmp_path: Path, outcome: str
) -> None:
    """Never sending earns 0.015 for each decision: the interval holds its value and the truth."""
    line = compare(coins(tmp_path, alone=0.015), [Never()]).line("never", outcome)
    assert line.value is not None
    assert line.interval is not None
    assert line.value in line.interval
    assert 0.015 in line.interval
    assert 0.0 not in line.interval
    assert "send_only_snips" not in line.points


def test_repricing_counts_only_what_a_send_adds(tmp_path: Path) -> None:
    """0.02 - 0.01 is worth a send where the outcome needs one; 0.02 - 0.015 - 0.01 is not."""
    chosen = {
        alone: Repriced(Prices()).pmf(next(coins(tmp_path, alone).batches()), ("abstain", "sale"))
        for alone in (0.0, 0.015)
    }
    assert [0.0, 1.0] == chosen[0.0][0].tolist()
    assert [1.0, 0.0] == chosen[0.015][0].tolist()
