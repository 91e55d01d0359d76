"""Speed and memory of the estimators beside Open Bandit Pipeline, in one run.

`python -m benchmarks.replay [--quick] [--json] [--parquet]`. ips_vs_obp and dr_vs_obp are obp's
time over ours, medians of paired runs: ours includes interval and diagnostics in the DR row, obp's
does not. --parquet also streams 100 million rows from disk (10 million with --quick).
"""

import argparse
import json
import os
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

# One thread: the rival uses one, and threads of a shared machine wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.replay.fixture import Arrays, make_arrays, obp_calls, obp_estimators
from benchmarks.replay.parquet import stream, write_parquet
from benchmarks.replay.plain_obp import plain_calls
from engine.evaluation import estimates
from engine.evaluation.diagnostics import diagnose, judge
from engine.evaluation.estimators import importance_weights
from engine.evaluation.sums import PolicySums, Rows, policy_sums

ARMS = 10
CHUNK = 32_768


def our_ips(made: Arrays) -> float:
    """IPS alone, chunk by chunk."""
    total = 0.0
    for start in range(0, made.action.size, CHUNK):
        part = slice(start, start + CHUNK)
        w = importance_weights(made.target[part], made.action[part], made.propensity[part])
        total += float(w @ made.reward[part])
    return total / made.action.size


def our_sums(made: Arrays) -> PolicySums:
    """Everything for IPS, SNIPS, DM, DR, SNDR, intervals and diagnostics in one pass."""
    total: PolicySums | None = None
    for start in range(0, made.action.size, CHUNK):
        part = slice(start, start + CHUNK)
        rows = Rows(
            made.action[part],
            made.propensity[part],
            made.reward[part],
            [made.target[part]],
            made.qhat[part],
        )
        found = policy_sums(rows)
        total = found if total is None else total + found
    assert total is not None  # noqa: S101 - the fixture has rows
    return total


def our_dr(made: Arrays) -> float:
    """DR with its delta interval, the gamma interval, diagnostics and the verdict."""
    sums = our_sums(made)
    found = estimates.dr(sums, 0)
    estimates.delta_interval(sums, found)
    estimates.gamma_interval(sums, 0)
    judge(diagnose(sums, 0, found, rare=True))
    return found.value


def paired(first: Callable[[], float], second: Callable[[], float], times: int) -> list[float]:
    """Median seconds of each, and the median ratio first / second of neighbouring runs."""
    pairs = [(_timed(first), _timed(second)) for _ in range(times)]
    return [
        median(a for a, _ in pairs),
        median(b for _, b in pairs),
        median(a / b for a, b in pairs),
    ]


def _timed(call: Callable[[], float]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def extra_memory(made: Arrays) -> float:
    """Peak MiB allocated above the inputs by our whole pass."""
    tracemalloc.start()
    our_dr(made)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def measure(n: int, times: int) -> dict[str, float | str]:
    """All figures of the in-memory comparison."""
    made = make_arrays(n, ARMS)
    ope = obp_estimators()
    calls = plain_calls(made) if ope is None else obp_calls(ope, made)
    if abs(calls["dr"]() - our_dr(made)) > 1e-9 or abs(calls["ips"]() - our_ips(made)) > 1e-9:
        raise SystemExit("the estimates differ: there is nothing to compare the speed of")
    ips = paired(calls["ips"], lambda: our_ips(made), times)
    dr = paired(calls["dr"], lambda: our_dr(made), times)
    return {
        "rival": "obp" if ope is not None else "obp's expressions without its checks",
        "rows": n,
        "arms": ARMS,
        "obp_ips_ms": 1e3 * ips[0],
        "our_ips_ms": 1e3 * ips[1],
        "ips_vs_obp": ips[2],
        "obp_dr_ms": 1e3 * dr[0],
        "our_dr_ms": 1e3 * dr[1],
        "dr_vs_obp": dr[2],
        "extra_memory_mib": extra_memory(made),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed and memory beside obp.")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, 10M rows from disk")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--parquet", action="store_true", help="also stream a large file")
    options = parser.parse_args()
    figures = measure(1_000_000, 5 if options.quick else 15)
    if options.parquet:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log.parquet"
            write_parquet(path, 10_000_000 if options.quick else 100_000_000)
            figures |= stream(path)
    for name, value in figures.items():
        print(f"{name:>24}: {value if isinstance(value, str) else f'{value:,.2f}'}")
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
