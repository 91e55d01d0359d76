"""Do the intervals cover what they promise? `python -m benchmarks.coverage [--quick] [--json]`.

2,000 logs a cell, 100 in each of 20 simulated worlds, so a coverage of 0.95 is known to +-0.005
(one standard error). The full run writes `results.csv` and `results.md` beside this file; --quick
runs 200 logs a cell and writes nothing.
"""

import argparse
import csv
import json
from dataclasses import asdict, astuple, fields
from math import sqrt
from pathlib import Path

import numpy as np

from benchmarks.coverage.simulator import draw_logs, make_world
from benchmarks.coverage.study import UNSUBSCRIBE_COST, Line, run_cell, trials

CLICK, UNSUBSCRIBE = 0.005, 0.0005
SIZES = (10_000, 100_000)
WORLDS = 20
TARGETS = ("near", "far")
LOG_SEED = 400
OUTCOMES = ("click", "unsubscribe", "composite")
HERE = Path(__file__).parent
CAVEAT = (
    "Caveat: static loggers; the ratio to Cressie-Read's width depends on the world (about 0.45 to "
    "0.75 for clicks, one world at a time), the coverage hardly does."
)


def study(logs_per_world: int) -> list[Line]:
    """Every cell; each (world, rows, target) has its own pinned stream of logs."""
    worlds, lines = [make_world(CLICK, UNSUBSCRIBE, seed) for seed in range(WORLDS)], []
    for number, (rows, target) in enumerate((n, t) for n in SIZES for t in TARGETS):
        made = []
        for seed, world in enumerate(worlds):
            rng = np.random.default_rng([LOG_SEED, number, seed])
            made += trials(world, target, draw_logs(world, rows, logs_per_world, rng))
        lines += run_cell(rows, target, made)
    return lines


def summary(lines: list[Line]) -> dict[str, float]:
    """The figures the study is run for."""
    width = {(x.rows, x.target, x.outcome, x.method): x.median_width for x in lines}
    default = [x for x in lines if x.method.endswith("(default)")]
    ratios = {
        f"width_ratio_{x.outcome}": x.median_width / width[x.rows, "far", x.outcome, "Cressie-Read"]
        for x in default
        if (x.rows, x.target) == (SIZES[0], "far") and x.outcome in OUTCOMES
    }
    return {
        "least_default_coverage": min(x.coverage for x in default),
        **ratios,
        "logs_per_cell": lines[0].logs,
        "standard_error_at_095": sqrt(0.95 * 0.05 / lines[0].logs),
    }


def markdown(lines: list[Line], figures: dict[str, float]) -> str:
    """The committed table."""
    intro = (
        f"`python -m benchmarks.coverage`: {figures['logs_per_cell']:.0f} logs a cell over "
        f"{WORLDS} worlds, standard error of a coverage of 0.95: "
        f"{figures['standard_error_at_095']:.4f}. Largest weight, median over worlds: "
        f"near {_largest_weight('near'):.1f}, far {_largest_weight('far'):.1f}. "
        f"Composite: click - {UNSUBSCRIBE_COST:g} unsubscribe. Widths are medians, per 1000 "
        "decisions; a gap is target minus logger."
    )
    head = [
        "# Coverage of 95% intervals on sparse simulated logs",
        "",
        intro,
        "",
        "| rows | target | outcome | events | interval | coverage | width |",
        "| ---: | --- | --- | ---: | --- | ---: | ---: |",
    ]
    body = [
        f"| {x.rows:,} | {x.target} | {x.outcome} | {x.mean_events:.0f} | {x.method} "
        f"| {x.coverage:.4f} | {1000 * x.median_width:.3f} |"
        for x in sorted(lines, key=lambda x: (x.rows, x.target, x.outcome))
    ]
    ratios = ", ".join(f"{o} {figures[f'width_ratio_{o}']:.2f}" for o in OUTCOMES)
    tail = ["", f"Width over Cressie-Read's, far, {SIZES[0]:,} rows: {ratios}.", "", CAVEAT]
    return "\n".join([*head, *body, *tail]) + "\n"


def _largest_weight(target: str) -> float:
    worlds = (make_world(CLICK, UNSUBSCRIBE, seed) for seed in range(WORLDS))
    return float(np.median([world.weights(target).max() for world in worlds]))


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description="Coverage of the intervals on sparse logs.")
    parser.add_argument("--quick", action="store_true", help="200 logs a cell, nothing written")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    lines = study(10 if options.quick else 100)
    figures = summary(lines)
    table = markdown(lines, figures)
    print(table)
    if not options.quick:
        (HERE / "results.md").write_text(table)
        with (HERE / "results.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(field.name for field in fields(Line))
            writer.writerows(astuple(line) for line in lines)
    if options.json:
        print(json.dumps(figures | {"lines": [asdict(line) for line in lines]}))


if __name__ == "__main__":
    main()
