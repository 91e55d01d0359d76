"""Writing the decision log to a file: every decision with its candidates, law and labels.

JSON Lines, or Parquet where the file is called so (DuckDB writes it; extra `evaluate`). User ids
become keyed pseudonyms. Labels are null while a decision is open. A resolved one has both: an
abstention came to nothing, and a send whose user left by another send's doing did not make him
leave; without labels such rows would be dropped, and a log of some of the decisions cannot be
evaluated. The file is written whole or not at all, and is on disk before anything is trimmed.

Limit: labels of one shard at a time are held in memory, a 64th of the log.
"""

import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from engine.errors import BadInput
from engine.evaluation.readers.record_types import RECORD_TYPES
from service.clock import SystemClock
from service.destinations import check_destination
from service.outcomes import Outcomes
from service.serving import use_store
from service.settings import Settings
from service.store.protocol import SHARDS, LogEntry, Store

AT_ONCE = 1000
SUFFIXES = (".jsonl", ".parquet")


def export(settings: Settings, path: Path, *, trim: bool) -> None:
    """Write the log to `path`; with `trim`, then drop what was written and can change no more."""
    if path.suffix not in SUFFIXES:
        raise BadInput(
            f"{path} cannot be written to; expected a name that ends in {' or '.join(SUFFIXES)}: "
            "choose another"
        )
    check_destination(path)
    if path.suffix == ".parquet":
        _duckdb()
    use_store(settings, lambda store: _export(store, settings, path, trim=trim))


async def _export(store: Store, settings: Settings, path: Path, *, trim: bool) -> None:
    started = SystemClock().now()
    lines = path.with_name(f".{path.name}.partial")
    secret = settings.pseudonym_key.get_secret_value().encode() if settings.pseudonym_key else b""
    written = 0
    try:
        with lines.open("w", encoding="utf-8") as file, Progress(console=Console()) as bar:
            for shard in bar.track(range(SHARDS), description="shards"):
                async for record in records(store, shard, secret):
                    file.write(json.dumps(record, separators=(",", ":")) + "\n")
                    written += 1
        if path.suffix == ".parquet":
            _to_parquet(lines, path)
        else:
            _put_in_place(lines, path)
    finally:
        lines.unlink(missing_ok=True)
    print(f"{written} decisions were written to {path}.")
    if trim:
        before_ms = int(1000 * (started - settings.retention_s))
        dropped = await store.trim_log(before_ms)
        print(f"{dropped} log entries older than the retention were dropped.")


async def records(store: Store, shard: int, secret: bytes) -> AsyncIterator[dict[str, Any]]:
    """Every decision of one shard with its labels, oldest first, users under pseudonyms."""
    outcomes = Outcomes()
    async for entry in _entries(store, shard):
        outcomes.note(entry)
    async for entry in _entries(store, shard):
        if entry.kind == "decision":
            record = outcomes.record(entry)
            record["user_id"] = pseudonym(secret, record["user_id"])
            yield record


async def _entries(store: Store, shard: int) -> AsyncIterator[LogEntry]:
    after = "0-0"
    while entries := await store.read_log(shard, after, AT_ONCE):
        for entry in entries:
            yield entry
        after = entries[-1].entry_id


def pseudonym(secret: bytes, user_id: str) -> str:
    """The same for the same user, and leading back to him only with the secret."""
    return hmac.digest(secret, user_id.encode(), hashlib.sha256).hex()[:32]


def _put_in_place(written: Path, path: Path) -> None:
    """Under its name only once its content is on disk; on return the name is too."""
    _to_disk(written)
    written.replace(path)
    _to_disk(path.parent)


def _to_disk(path: Path) -> None:
    """Of a file its content, of a folder its names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise BadInput(
            "Parquet needs DuckDB, which is not installed; install forbear[evaluate], or export "
            "to a file that ends in .jsonl"
        ) from error
    return duckdb


def _to_parquet(lines: Path, path: Path) -> None:
    duckdb = _duckdb()
    partial = path.with_name(f".{path.name}.parquet.partial")
    try:
        read = duckdb.read_json(str(lines), format="newline_delimited", columns=dict(RECORD_TYPES))
        read.write_parquet(str(partial))
        _put_in_place(partial, path)
    except duckdb.Error as error:
        raise BadInput(
            f"{path} cannot be written ({str(error).splitlines()[0]}): free some space, or choose "
            "another place"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
