"""The log is trimmed only once its copy would survive a power cut."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from service import exporting
from service.exporting import export
from service.store.protocol import SHARDS
from tests.conformance.facts import abstention
from tests.conformance.test_exporting import with_row
from tests.unit.service.harness import new_store, settings


@pytest.mark.parametrize("suffix", exporting.SUFFIXES)
def test_the_file_and_then_its_name_are_on_disk_before_the_log_is_trimmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("duckdb")
    path = tmp_path / f"log{suffix}"
    steps: list[tuple[str, bool]] = []
    fsync = os.fsync

    def sync(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        steps.append(("folder" if is_folder else "file", path.exists()))
        fsync(handle)

    async def trim(before_ms: int) -> int:
        steps.append(("trim", before_ms > 0 and path.stat().st_size > 0))
        return 0

    store = new_store()
    asyncio.run(store.commit([with_row(abstention(f"d{n}", f"u{n}")) for n in range(SHARDS)]))
    monkeypatch.setattr(store, "trim_log", trim)
    monkeypatch.setattr(exporting, "use_store", lambda _, work: asyncio.run(work(store)))
    monkeypatch.setattr(os, "fsync", sync)

    export(settings(), path, trim=True)

    assert [("file", False), ("folder", True), ("trim", True)] == steps
    assert [path] == list(tmp_path.iterdir())
