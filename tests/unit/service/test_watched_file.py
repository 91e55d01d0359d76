"""The configuration file: taken up when it changes, refused with a fault, never half read."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from service import background
from service.configuration.watched_file import WatchedFile
from tests.unit.service.harness import SwitchableStore, Worker, new_store, settings, worker

_times: Iterator[int] = iter(range(1_000_000_000, 2_000_000_000))


def write(path: Path, text: str) -> None:
    """Write with a time of change never seen before: clocks of file systems are coarse."""
    path.write_text(text)
    os.utime(path, (stamp := next(_times), stamp))


def remove(path: Path) -> None:
    path.unlink()


@asynccontextmanager
async def watching(path: Path, store: SwitchableStore | None = None) -> AsyncIterator[Worker]:
    """A worker with a configuration file and with `sale` put by hand."""
    async with worker(settings(config=path), store) as started:
        yield started


def watched(running: Worker) -> WatchedFile:
    assert running.held.file is not None
    return running.held.file


async def look(running: Worker, times: int = 2) -> None:
    """What the background does every half second."""
    for _ in range(times):
        await watched(running).look()
    await running.held.live.refresh()


@pytest.fixture(autouse=True)
def _only_the_test_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.background.REFRESH_EVERY_S", 3600.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "forbear.yaml"
    write(path, "prices: {value: 2}\n")
    return path


async def test_the_file_is_in_force_when_the_worker_is_ready(path: Path) -> None:
    async with watching(path) as running:
        assert 200 == (await running.client.get("/readyz")).status_code
        assert 2.0 == running.held.live.terms.value
        told = (await running.client.get("/v1/configuration")).json()
        assert {"name": "forbear.yaml", "faults": []} == told["file"]
        entries = (await running.client.get("/v1/audit")).json()["entries"]
        assert ("file", ["prices", "file"]) == (
            entries[-1]["by"],
            [change["part"] for change in entries[-1]["changes"]],
        )


async def test_a_changed_file_is_taken_up_once_it_rests(path: Path) -> None:
    async with watching(path) as running:
        write(path, "prices: {value: 3}\n")
        await look(running, 1)
        assert 2.0 == running.held.live.terms.value
        write(path, "prices: {value: 4}\n")
        await look(running, 1)
        assert 2.0 == running.held.live.terms.value
        await look(running, 1)
        assert 4.0 == running.held.live.terms.value


async def test_a_file_with_a_fault_changes_nothing_and_is_told_of(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = MagicMock()
    monkeypatch.setattr("service.configuration.watched_file.logger", lambda: said)
    async with watching(path) as running:
        before = await running.store.configuration()
        write(path, "prices:\n  valeu: 3\n")
        await look(running, 6)
        assert before == await running.store.configuration()
        said.error.assert_called_once()
        told = (await running.client.get("/v1/configuration")).json()
        assert 1 == len(told["file"]["faults"])
        assert told["file"]["faults"][0].startswith("forbear.yaml:2: 'valeu' is not a key of price")
        assert 200 == (await running.client.get("/readyz")).status_code
        write(path, "prices: {value: 3}\n")
        await look(running)
        told = (await running.client.get("/v1/configuration")).json()
        assert ([], 3.0) == (told["file"]["faults"], running.held.live.terms.value)


async def test_a_file_that_goes_away_changes_nothing(path: Path) -> None:
    async with watching(path) as running:
        remove(path)
        await look(running)
        assert 2.0 == running.held.live.terms.value
        assert "cannot be read" in watched(running).faults[0]


async def test_a_restart_undoes_no_change_made_over_http(path: Path) -> None:
    store = new_store()
    async with watching(path, store) as running:
        await running.client.put("/v1/configuration", json={"prices": {"value": 7}})
    restarted = WatchedFile(path, store, running.held.clock)
    await restarted.take_up()
    assert b'{"value":7.0}' == (await store.configuration()).parts["prices"]
    write(path, "prices: {value: 8}\n")
    await restarted.take_up()
    assert b'{"value":8.0}' == (await store.configuration()).parts["prices"]


async def test_two_workers_take_one_file_up_once(path: Path) -> None:
    async with watching(path) as running:
        version = await running.store.configuration_version()
        await WatchedFile(path, running.store, running.held.clock).take_up()
        assert version == await running.store.configuration_version()


async def test_the_kill_switch_outlives_a_changed_file(path: Path) -> None:
    async with watching(path) as running:
        await running.client.put("/v1/pause")
        write(path, "rules: {paused: false}\n")
        await look(running)
        assert "paused" == (await running.decide()).json()["reason"]


async def test_a_store_that_was_away_gets_the_file_when_it_is_back(path: Path) -> None:
    async with watching(path) as running:
        write(path, "prices: {value: 3}\n")
        await look(running, 1)
        running.store.away = True
        with pytest.raises(Exception, match="switched off"):
            await look(running, 1)
        running.store.away = False
        await look(running, 1)
        assert 3.0 == running.held.live.terms.value


async def test_no_rules_are_not_the_rules_of_a_file_with_a_fault(path: Path) -> None:
    """A worker whose file was never taken up sends nothing, and says why it is not ready."""
    write(path, "rules: {caps: 0/1d}\n")
    async with watching(path) as running:
        refused = await running.client.get("/readyz")
        assert 503 == refused.status_code
        told = refused.json()["detail"]
        assert told.startswith("The configuration file has never been taken up (forbear.yaml:1: ca")
        assert "fallback" == (await running.decide()).json()["reason"]
        write(path, "rules: {caps: 1/1d}\n")
        await look(running)
        assert 200 == (await running.client.get("/readyz")).status_code
        assert "sale" == (await running.decide()).json()["action"]


async def test_a_monitor_sees_the_version_and_that_the_file_waits(path: Path) -> None:
    async with watching(path) as running:
        write(path, "prices: {valeu: 3}\n")
        await look(running)
        await background.refresh(running.held)
        told = (await running.client.get("/metrics")).text
        version = await running.store.configuration_version()
        assert f"forbear_configuration_version {version}.0" in told
        assert "forbear_configuration_file_faults 1.0" in told
