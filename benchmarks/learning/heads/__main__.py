"""The heads: progressive log loss against other learners, bias at rare events, calibration.

    python -m benchmarks.learning.heads [--quick] [--json]

Each learner forecasts a row, then learns it, in two settings: messages with one attribute, which
says something, and with eight, seven of which say nothing. Five streams of 14,400 sends each; one
of 2,000 with --quick. Priors were chosen on other seeds. The filter meets one attribute only: with
eight there are 1,600 weights and it would take hours.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

import numpy as np
from scipy.special import expit

from benchmarks.learning.heads.learners import (
    SHIPPED,
    Learner,
    Make,
    Vw,
    filters,
    learners,
    shipped,
    unscaled,
)
from benchmarks.learning.heads.rare import Watch, watched
from benchmarks.learning.heads.reporting import (
    Trace,
    as_json,
    draw_calibration,
    rare_table,
    table,
    write_rows,
)
from benchmarks.learning.heads.streams import Row, stream
from engine.outcome import HeadName
from engine.response import Head

HEADS: Final[tuple[HeadName, ...]] = get_args(HeadName)
SETTINGS: Final = {"one attribute": 0, "eight attributes": 7}
"""Name -> attributes of a message that say nothing."""
SEEDS: Final = range(201, 206)
SIZE: Final = {"users": 600, "days": 120}
QUICK_SIZE: Final = {"users": 100, "days": 100}
RARE_ROWS: Final = 5_000_000
QUICK_RARE_ROWS: Final = 200_000
RESULTS: Final = Path(__file__).parent / "results"


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.heads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one small stream, fewer rare rows")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--out", type=Path, help="folder of tables and plot")
    asked = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    quick = Path(tempfile.mkdtemp(prefix="heads-")) if asked.quick else RESULTS
    out: Path = asked.out or quick
    out.mkdir(parents=True, exist_ok=True)
    traces = {
        (setting, head): found
        for setting, more in SETTINGS.items()
        for head, found in compared(more, quick=asked.quick).items()
    }
    rare = rare_events(QUICK_RARE_ROWS if asked.quick else RARE_ROWS)
    tables = [table(setting, head, found) for (setting, head), found in traces.items()]
    text = "\n".join([*tables, rare_table(rare)])
    print(text)
    (out / "heads.md").write_text(text)
    write_rows(traces, out / "heads.csv")
    draw_calibration(traces, out / "calibration.png")
    if asked.json:
        print(json.dumps(as_json(traces, rare)))


def compared(more: int, *, quick: bool) -> dict[HeadName, dict[str, list[Trace]]]:
    """Every learner on every stream of one setting."""
    size = QUICK_SIZE if quick else SIZE
    streams = [stream(seed, **size, more=more) for seed in (SEEDS[:1] if quick else SEEDS)]
    who: dict[str, Make] = learners()
    if more:
        who[f"{SHIPPED}, attributes not scaled"] = lambda head: unscaled(head, 1 + more)
    else:
        who |= filters()
    return {
        head: {
            name: [traced(make(head), rows, head) for rows in streams] for name, make in who.items()
        }
        for head in HEADS
    }


def traced(learner: Learner, rows: Sequence[Row], head: HeadName) -> Trace:
    """Forecast, then learn, row by row."""
    predicted = np.empty(len(rows))
    for i, row in enumerate(rows):
        predicted[i] = expit(learner.logit(row.slots, row.values))
        learner.learn(row.slots, row.values, row.label[head], 1.0)
    return Trace(predicted, np.array([row.chance[head] for row in rows]))


def rare_events(rows: int) -> dict[str, list[Watch]]:
    """The shipped unsubscribe head, also with a wrong base rate, and VW's defaults."""
    prior = shipped("unsubscribe")
    return {
        SHIPPED: watched(Head(prior), rows, seed=1),
        f"{SHIPPED}, base rate ten times too high": watched(
            Head(replace(prior, base_rate=10.0 * prior.base_rate)), rows, seed=1
        ),
        "vw defaults": watched(Vw([], prior), rows, seed=1),
    }


if __name__ == "__main__":
    main()
