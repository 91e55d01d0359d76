"""A served population's own log goes out by the command line and comes back as policy values."""

import json
from pathlib import Path

import pytest

from engine.worlds.patience import world as patience_world
from engine.worlds.simulation import Outcome, Run
from service.demo.local import LocalService, running_service
from service.demo.population import DAY_S, START, OverHttp, settings
from tests.acceptance.conftest import forbear


@pytest.fixture(scope="module", name="exported")
def _exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome, LocalService]:
    """Twelve days of 150 users, in both formats; the last days' labels are still open."""
    folder = tmp_path_factory.mktemp("export")
    world = patience_world(seed=5, users=150, days=12)
    explored = {**settings(world), "floor": 0.2, "floor_harm": 1.0}
    with running_service(explored) as service, service.client() as client:
        policy, run = OverHttp(world, client), Run(world, 5)
        while (batch := run.next()) is not None:
            policy.observe(*run.apply(policy.act(batch)))
        for name in ("log.jsonl", "log.parquet"):
            written = forbear(service, "export", folder / name)
            assert 0 == written.returncode, written.stderr
    return folder, run.outcome(), service


def test_every_decision_is_in_the_file_under_a_pseudonym(
    exported: tuple[Path, Outcome, LocalService],
) -> None:
    folder, outcome, _ = exported
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    asked = [record for record in records if record["candidates"]]
    assert outcome.decisions == len(asked)
    assert outcome.sends == sum(record["action"] is not None for record in asked)
    # After twelve days the windows of the first five days' sends have closed, the rest are open.
    closed = [r for r in asked if r["at"] < START.timestamp() + 5 * DAY_S]
    assert outcome.daily_clicks[:5].sum() == sum(record["click"] for record in closed)
    assert {"open", "resolved"} == {record["status"] for record in asked}
    assert not any("user-" in record["user_id"] for record in records)
    for record in asked:
        law = sum(candidate["propensity"] for candidate in record["candidates"])
        assert pytest.approx(1.0, abs=1e-6) == law + record["abstain_propensity"]


@pytest.mark.parametrize("name", ["log.jsonl", "log.parquet"])
def test_the_exported_log_can_be_evaluated(
    exported: tuple[Path, Outcome, LocalService], name: str, tmp_path: Path
) -> None:
    folder, _, service = exported
    page, figures = tmp_path / "report.html", tmp_path / "figures.json"
    ran = forbear(
        service, "evaluate", folder / name, "--policy", "never", "--policy", "logged",
        "--policy", "repriced:50", "--html", page, "--json", figures,
    )  # fmt: skip
    assert 0 == ran.returncode, ran.stderr
    assert "logged" in ran.stdout
    lines = json.loads(figures.read_text())["lines"]
    (never,) = [x for x in lines if (x["policy"], x["outcome"]) == ("never", "click")]
    assert never["value"] in (0.0, None)
    assert "<svg" in page.read_text()


@pytest.mark.parametrize("name", ["log.jsonl", "log.parquet"])
def test_half_lives_can_be_compared_on_the_exported_log(
    exported: tuple[Path, Outcome, LocalService], name: str
) -> None:
    folder, _, service = exported
    ran = forbear(service, "half-life", folder / name, "--most", "200")
    assert 0 == ran.returncode, ran.stderr
    assert "200 settled sends" in ran.stdout
    assert "days  " in ran.stdout.split("in use")[1]


def test_a_gate_that_is_closed_says_why(
    exported: tuple[Path, Outcome, LocalService],
) -> None:
    folder, _, service = exported
    ran = forbear(service, "evaluate", folder / "log.jsonl", "--policy", "never", "--gate")
    assert 3 == ran.returncode
    assert "never: kept out" in ran.stdout


def test_a_log_that_is_not_there_is_one_sentence(
    exported: tuple[Path, Outcome, LocalService],
) -> None:
    folder, _, service = exported
    ran = forbear(service, "evaluate", folder / "nothing.jsonl")
    assert 2 == ran.returncode
    assert 1 == len(ran.stderr.strip().splitlines())
    assert "does not exist" in ran.stderr
