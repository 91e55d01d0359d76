"""A log's sends as the comparison of half-lives wants them, and the command that compares."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from engine.burden import decayed
from engine.errors import BadInput
from engine.evaluation.readers.sends import sends
from engine.half_life import DAY
from service.choosing_half_life import choose_half_life


def row(k: int, **different: Any) -> dict[str, Any]:
    return {
        "decision_id": f"d{k}",
        "user_id": f"u{k % 3}",
        "at": 1000.0 * k,
        "context": {"age": k, "country": "DE"},
        "action": "sale",
        "censored": False,
        "click": 0.0,
        "unsubscribe": 0.0,
    } | different


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def test_only_settled_sends_count_and_they_come_in_order_of_time(tmp_path: Path) -> None:
    rows = [
        row(3, click=1.0),
        row(1, context={"age": 7}),
        row(2, action=None),
        row(4, censored=True),
        row(5, unsubscribe=None),
    ]
    found = sends(written(tmp_path / "log.jsonl", rows), most=10)
    assert [("u1", 1000.0, False), ("u0", 3000.0, True)] == [
        (each.user_id, each.at, each.click) for each in found
    ]
    assert [{"age": 7}, {"age": 3, "country": "DE"}] == [dict(each.context) for each in found]


def test_a_shared_unsubscribe_keeps_its_shares(tmp_path: Path) -> None:
    """Four sends share one unsubscribe: together they are one, and no four."""
    rows = [row(k, unsubscribe=0.25) for k in range(4)]
    found = sends(written(tmp_path / "log.jsonl", rows), most=10)
    assert [0.25] * 4 == [each.unsubscribe for each in found]


def test_the_latest_sends_are_kept(tmp_path: Path) -> None:
    found = sends(written(tmp_path / "log.jsonl", [row(k) for k in range(9)]), most=2)
    assert [7000.0, 8000.0] == [each.at for each in found]


def test_a_log_without_a_settled_send_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", [row(1, click=None), row(2, action=None)])
    with pytest.raises(BadInput, match="holds no send whose labels are settled"):
        sends(path, most=10)


def test_a_decision_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", [row(1), row(2), row(1)])
    with pytest.raises(BadInput, match="decision 'd1' occurs 2 times, expected once"):
        sends(path, most=10)


def tired(half_life: float) -> list[dict[str, Any]]:
    """4,000 sends to 40 users; the click logit falls by 1 for each unit of burden."""
    rng, burdens = np.random.default_rng(3), {f"u{i}": (0.0, 0.0) for i in range(40)}
    rows = []
    for k, at in enumerate(np.sort(rng.uniform(0, 90 * DAY, 4000))):
        user = f"u{rng.integers(40)}"
        burden = decayed(*burdens[user], float(at), half_life)
        burdens[user] = burden + 1.0, float(at)
        clicked = float(rng.random() < expit(0.5 - burden))
        rows.append(row(k, user_id=user, at=float(at), context={}, click=clicked))
    return rows


def test_the_command_finds_the_half_life_that_made_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choose_half_life(written(tmp_path / "log.jsonl", tired(2 * DAY)), 8 * DAY, most=4000)
    told = capsys.readouterr().out
    assert "8.00 days" in told
    assert "Use 2 days: FORBEAR_BURDEN_HALF_LIFE_S=172800" in told


def test_a_log_that_cannot_tell_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "log.jsonl", [row(k, context={}) for k in range(30)])
    choose_half_life(path, 4 * DAY, most=100)
    assert "Keep 4 days" in capsys.readouterr().out
