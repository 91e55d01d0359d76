"""Arms in a running service: real processes, HTTP, Redis, the exported log and its comparison."""

import json
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.worlds.patience import world as patience_world
from engine.worlds.simulation import Run
from service.demo.local import LocalService, running_service
from service.demo.population import OverHttp, settings
from tests.acceptance.conftest import forbear

ARMS = "holdout:0.2 random:0.1 business_as_usual:0.2"


@dataclass(frozen=True, slots=True)
class Served:
    """A service after twelve days of 150 users, and its exported log."""

    service: LocalService
    log: Path
    records: list[dict[str, Any]]


@pytest.fixture(scope="module", name="served")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    log = tmp_path_factory.mktemp("arms") / "log.jsonl"
    world = patience_world(seed=5, users=150, days=12)
    dealt = {
        "arms": ARMS,
        "usual_caps": "1/2d",
        "floor_harm": 1.0,
    }
    with pytest.MonkeyPatch.context() as environment:
        # The same key, and so the same arms, every time; commands beside the service need it too.
        environment.setenv("FORBEAR_PSEUDONYM_KEY", "so that the arms are the same every time")
        with running_service({**settings(world), **dealt}) as service:
            with service.client() as client:
                policy, run = OverHttp(world, client), Run(world, 5)
                while (batch := run.next()) is not None:
                    policy.observe(*run.apply(policy.act(batch)))
            written = forbear(service, "export", log)
            assert 0 == written.returncode, written.stderr
            records = [json.loads(line) for line in log.read_text().splitlines()]
            yield Served(service, log, records)


def test_over_http_the_holdout_never_receives_anything_and_everybody_keeps_the_arm(
    served: Served,
) -> None:
    arms: dict[str, set[str]] = defaultdict(set)
    sends: dict[str, int] = defaultdict(int)
    for record in served.records:
        arms[record["user_id"]].add(record["arm"])
        sends[record["arm"]] += record["action"] is not None
        if record["arm"] == "holdout":
            assert (None, []) == (record["action"], record["candidates"])
            assert record["reason"] in ("holdout", "unsubscribed")
    assert len(arms) >= 150
    assert {1} == {len(found) for found in arms.values()}
    assert 0 == sends["holdout"]
    assert min(sends[arm] for arm in ("random", "business_as_usual", "bandit")) > 10


def test_every_record_has_the_law_of_its_arm(served: Served) -> None:
    """Business as usual: 1 for the first candidate; random: even over the possible and silence."""
    for record in served.records:
        law = [candidate["propensity"] for candidate in record["candidates"]]
        if record["arm"] == "business_as_usual" and law:
            assert ([1.0], 0.0) == ([p for p in law if p], record["abstain_propensity"])
            assert record["candidates"][0]["message"] == record["action"]
        if record["arm"] == "random" and law:
            assert len({p for p in law if p}) <= 1
            possible = sum(p > 0 for p in law)
            assert pytest.approx(1 / (1 + possible), abs=1e-5) == record["abstain_propensity"]


def compared(served: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forbear(served.service, "arms", served.log, *arguments)


def test_the_arms_are_compared_and_the_estimates_leave_the_rules_out(served: Served) -> None:
    figures = served.log.with_name("arms.json")
    ran = compared(served, "--shares", ARMS, "--json", str(figures))
    assert 0 == ran.returncode, ran.stderr
    assert "bandit against holdout, per user" in ran.stdout
    assert "do not fit their shares" not in ran.stdout
    told = json.loads(figures.read_text())
    per_user = {arm["arm"]: arm["per_user"] for arm in told["arms"]}
    assert 0.0 == per_user["holdout"]["sends"] < per_user["bandit"]["sends"]
    wrong = compared(served, "--shares", "holdout:0.5 random:0.1 business_as_usual:0.2")
    assert "do not fit their shares" in wrong.stdout
    estimated = forbear(served.service, "evaluate", served.log, "--policy", "never")
    assert 0 == estimated.returncode, estimated.stderr
    assert "left out, because their actions were not drawn" in estimated.stdout


def test_a_share_that_cannot_be_read_is_one_sentence(served: Served) -> None:
    ran = compared(served, "--shares", "holdot:0.5")
    assert (2, 1) == (ran.returncode, len(ran.stderr.strip().splitlines()))
    assert "did you mean holdout?" in ran.stderr
