"""Whatever was decided, the exported file can be read, and holds all of it."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from engine.errors import BadInput
from engine.evaluation.log import Prices
from engine.evaluation.readers.arm_users import arm_users
from engine.evaluation.readers.decision_log import decision_log
from engine.evaluation.readers.record_types import RECORD_TYPES
from engine.evaluation.readers.sends import sends
from service.exporting import _export, _to_parquet, records
from service.store.keys import shard_of
from tests.unit.service.harness import Worker, settings, worker

NAMES = ["log.jsonl", "log.parquet"]
DATE = "2026-01-01"
UUIDS = [f"{n}0000000-0000-4000-8000-000000000000" for n in (1, 2)]


async def exported(held: Worker, path: Path) -> Path:
    await _export(held.store, settings(), path, trim=False)
    return path


def settled(path: Path, to: Path) -> Path:
    """The log with every label closed, in the same format."""
    if path.suffix == ".parquet":
        read = duckdb.read_parquet(str(path))
        read.project("* REPLACE (0.0 AS click, 0.0 AS unsubscribe)").write_parquet(str(to))
    else:
        lines = path.read_text().splitlines()
        rows = [json.loads(line) | {"click": 0, "unsubscribe": 0} for line in lines]
        to.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return to


async def test_the_types_name_all_that_a_record_holds(running: Worker) -> None:
    """A column without a type would be missing from Parquet."""
    await running.client.put("/v1/messages/late", json={"paused": True})
    await running.decide()
    (record,) = [each async for each in records(running.store, shard_of("u1"), b"")]
    assert set(record) == set(RECORD_TYPES)
    for name in ("candidates", "blocked"):
        (found,) = record[name]
        for field in found:
            assert f"{field} " in RECORD_TYPES[name]
    for field in record["candidates"][0]["annoyance"]:
        assert f"{field} DOUBLE" in RECORD_TYPES["candidates"]


@pytest.mark.parametrize("name", NAMES)
async def test_keys_that_differ_in_case_alone_stay_apart(
    running: Worker, name: str, tmp_path: Path
) -> None:
    context: dict[str, Any] = {"Age": 1.5, "age": 2.5, "country": "DE", "vip": True}
    await running.decide(context=context)
    log = settled(await exported(running, tmp_path / name), tmp_path / f"settled-{name}")
    batch = next(decision_log(log, ("age", "Age", "vip")).batches())
    assert batch.features is not None
    assert [2.5, 1.5, 1.0] == batch.features[0, 1:].tolist()
    assert ["bandit"] == [each.arm for each in arm_users(log, Prices())]
    assert [context] == [dict(each.context) for each in sends(log, 10)]


@pytest.mark.parametrize("name", NAMES)
async def test_ids_that_look_like_something_else_stay_ids(
    running: Worker, name: str, tmp_path: Path
) -> None:
    for message in (*UUIDS, DATE):
        await running.client.put(f"/v1/messages/{message}", json={})
        await running.decide(messages=[message])
    log = settled(await exported(running, tmp_path / name), tmp_path / f"settled-{name}")
    assert ("abstain", *UUIDS, DATE) == decision_log(log).arms
    assert 3 == len(next(decision_log(log).batches()))


@pytest.mark.parametrize("name", NAMES)
async def test_a_log_without_any_candidate_can_be_read(name: str, tmp_path: Path) -> None:
    async with worker(settings(paused=True)) as held:
        await held.decide()
        log = decision_log(await exported(held, tmp_path / name))
    assert (("abstain",), 1) == (log.arms, len(next(log.batches())))


@pytest.mark.parametrize("name", NAMES)
async def test_a_log_without_any_decision_is_written(name: str, tmp_path: Path) -> None:
    async with worker() as held:
        assert (await exported(held, tmp_path / name)).exists()


def test_a_parquet_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "lines").touch()
    with pytest.raises(BadInput, match=r"log\.parquet cannot be written \(.*\): free some space"):
        _to_parquet(tmp_path / "lines", tmp_path / "away" / "log.parquet")
