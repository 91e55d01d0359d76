"""A log of a hundred million rows on disk, streamed through the estimators in constant memory."""

import resource
from pathlib import Path
from time import perf_counter

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.replay.fixture import make_arrays
from engine.evaluation.compare import compare
from engine.evaluation.policies import Stored
from engine.evaluation.readers.mapped import Columns, mapped_log
from engine.evaluation.settings import Settings

BLOCK, ARMS = 1_000_000, 3


def write_parquet(path: Path, rows: int) -> None:
    """Blocks of one million rows: action, propensity, whole law, target, click; 3 arms."""
    writer: pq.ParquetWriter | None = None
    for block in range(rows // BLOCK):
        made = make_arrays(BLOCK, ARMS, seed=block)
        names = pa.array(["abstain", "a", "b"]).take(pa.array(made.action))
        columns = {"action": names, "p": made.propensity, "click": made.reward}
        for number, arm in enumerate(("abstain", "a", "b")):
            columns[f"law_{arm}"] = made.logged[:, number]
            columns[f"target_{arm}"] = made.target[:, number]
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def stream(path: Path) -> dict[str, float]:
    """Seconds and extra resident memory of one full comparison read from the file."""
    columns = Columns(
        "action", "p", "click", law_prefix="law_", target_prefixes={"target": "target_"}
    )
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, perf_counter()
    settings = Settings(model=False, clustered=False)
    found = compare(mapped_log(path, columns), [Stored("target")], settings)
    seconds = perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {
        "parquet_rows": found.rows,
        "parquet_seconds": seconds,
        "parquet_extra_memory_mib": grown,
    }
