"""The heads: progressive log loss against other learners, bias at rare events, calibration.

    python -m benchmarks.learning.heads [--quick] [--json]

Regret is progressive log loss above that of the true probabilities, in expectation over the label
and times 1000; the loss itself is the truth's plus that. Each learner forecasts a row, then learns
it. Five streams of 14,400 sends; one of 2,000 with --quick.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, expit

from benchmarks.learning.heads.learners import REFERENCE, SHIPPED, Learner, Vw, learners, shipped
from benchmarks.learning.heads.rare import Watch, watched
from benchmarks.learning.heads.streams import Row, stream
from benchmarks.learning.statistics import Interval, interval
from engine.outcome import HeadName
from engine.response import Head

HEADS: Final[tuple[HeadName, ...]] = get_args(HeadName)
SEEDS: Final = range(201, 206)
SIZE: Final = {"users": 600, "days": 120}
QUICK_SIZE: Final = {"users": 100, "days": 100}
RARE_ROWS: Final = 5_000_000
QUICK_RARE_ROWS: Final = 200_000
BINS: Final = 10
DRAWN: Final = {SHIPPED: "o-", REFERENCE: "s--", "vw defaults": "^:"}
"""Learners whose calibration is drawn, and how."""
RESULTS: Final = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Trace:
    """One learner's way through one stream; all (rows,)."""

    predicted: NDArray[np.float64]
    true: NDArray[np.float64]

    def regret(self) -> NDArray[np.float64]:
        """Expected log loss above the truth's own, x 1000."""
        return 1000.0 * (self.loss() - entr(self.true) - entr(1.0 - self.true))

    def loss(self) -> NDArray[np.float64]:
        """Expected log loss, nats."""
        p, q = self.true, self.predicted.clip(1e-9, 1.0 - 1e-9)
        return np.asarray(-p * np.log(q) - (1.0 - p) * np.log(1.0 - q))


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.heads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one small stream, fewer rare rows")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--out", type=Path, help="folder of table and plots")
    asked = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    quick = Path(tempfile.mkdtemp(prefix="heads-")) if asked.quick else RESULTS
    out: Path = asked.out or quick
    out.mkdir(parents=True, exist_ok=True)
    size = QUICK_SIZE if asked.quick else SIZE
    streams = [stream(seed, **size) for seed in (SEEDS[:1] if asked.quick else SEEDS)]
    traces = {
        head: {
            name: [traced(make(head), rows, head) for rows in streams]
            for name, make in learners().items()
        }
        for head in HEADS
    }
    rare = rare_events(QUICK_RARE_ROWS if asked.quick else RARE_ROWS)
    text = "\n".join([*(table(head, traces[head]) for head in HEADS), rare_table(rare)])
    print(text)
    (out / "heads.md").write_text(text)
    draw_calibration(traces, out / "calibration.png")
    if asked.json:
        print(json.dumps(as_json(traces, rare)))


def traced(learner: Learner, rows: Sequence[Row], head: HeadName) -> Trace:
    """Forecast, then learn, row by row."""
    predicted = np.empty(len(rows))
    for i, row in enumerate(rows):
        predicted[i] = expit(learner.logit(row.slots, row.values))
        learner.learn(row.slots, row.values, row.label[head], 1.0)
    return Trace(predicted, np.array([row.chance[head] for row in rows]))


def rare_events(rows: int) -> dict[str, list[Watch]]:
    """The shipped unsubscribe head and VW's defaults."""
    prior = shipped("unsubscribe")
    return {
        SHIPPED: watched(Head(prior), rows, seed=1),
        "vw defaults": watched(Vw([], prior), rows, seed=1),
    }


def halves(traces: Sequence[Trace]) -> tuple[Interval, Interval, Interval]:
    """Mean regret of the first half, the second half, all; intervals over streams."""
    regrets = [trace.regret() for trace in traces]
    middle = len(regrets[0]) // 2
    first, second = (
        [float(r[part].mean()) for r in regrets]
        for part in (slice(None, middle), slice(middle, None))
    )
    return interval(first), interval(second), interval([float(r.mean()) for r in regrets])


def table(head: HeadName, traces: dict[str, list[Trace]]) -> str:
    """One head's learners, best first."""
    reference = mean_loss(traces[REFERENCE])
    ranked = sorted(traces, key=lambda name: halves(traces[name])[2].mean)
    lines = [
        f"### {head}",
        "",
        "| learner | regret x 1000: all | first half | second half | log loss against the filter |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in ranked:
        first, second, whole = halves(traces[name])
        ratio = mean_loss(traces[name]) / reference - 1.0
        spread = f" +- {whole.high - whole.mean:.1f}" if whole.n > 1 else ""
        lines.append(
            f"| {name} | {whole.mean:.1f}{spread} | {first.mean:.1f} | {second.mean:.1f} "
            f"| {ratio:+.1%} |"
        )
    return "\n".join([*lines, ""])


def mean_loss(traces: Sequence[Trace]) -> float:
    """Of all streams."""
    return float(np.mean([trace.loss().mean() for trace in traces]))


def rare_table(rare: dict[str, list[Watch]]) -> str:
    """Predicted / true, tenth by tenth."""
    rows = [watch.rows for watch in next(iter(rare.values()))]
    lines = [
        "### predicted / true at a true rate of 0.002",
        "",
        f"| rows | {' | '.join(f'{n:,}' for n in rows)} |",
        f"|{' --- |' * (len(rows) + 1)}",
    ]
    lines += [
        f"| {name} | {' | '.join(f'{watch.ratio:.2f}' for watch in watches)} |"
        for name, watches in rare.items()
    ]
    return "\n".join([*lines, ""])


def calibration(traces: Sequence[Trace]) -> list[tuple[float, float]]:
    """(mean predicted, mean true) in tenths of the second halves, by forecast."""
    predicted = np.concatenate([t.predicted[len(t.predicted) // 2 :] for t in traces])
    true = np.concatenate([t.true[len(t.true) // 2 :] for t in traces])
    parts = np.array_split(np.argsort(predicted), BINS)
    return [(_short(predicted[part].mean()), _short(true[part].mean())) for part in parts]


def _short(x: np.floating[Any]) -> float:
    return float(f"{x:.4g}")


def as_json(
    traces: dict[HeadName, dict[str, list[Trace]]], rare: dict[str, list[Watch]]
) -> dict[str, object]:
    """Everything for machines."""
    return {
        "heads": {
            head: {
                name: {
                    "regret": round(halves(found)[2].mean, 3),
                    "log_loss": round(mean_loss(found), 6),
                    "calibration": calibration(found) if name in DRAWN else [],
                }
                for name, found in by_name.items()
            }
            for head, by_name in traces.items()
        },
        "rare": {
            name: {"rows": watches[-1].rows, "predicted_over_true": round(watches[-1].ratio, 4)}
            for name, watches in rare.items()
        },
    }


def draw_calibration(traces: dict[HeadName, dict[str, list[Trace]]], path: Path) -> None:
    """Predicted against true, both heads, shipped, reference and VW's defaults."""
    try:
        import matplotlib as mpl  # noqa: PLC0415  (only those who draw need the extra `plot`)
    except ModuleNotFoundError:
        print("matplotlib is not installed, so nothing was drawn; `pip install .[plot]`.")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, len(HEADS), figsize=(10, 4.6))
    for axis, head in zip(axes, HEADS, strict=True):
        ends: list[float] = []
        for name, style in DRAWN.items():
            points = np.array(calibration(traces[head][name])).clip(1e-5)
            axis.plot(points[:, 0], points[:, 1], style, ms=4, lw=1.2, label=name)
            ends += points.ravel().tolist()
        axis.plot([min(ends), max(ends)], [min(ends), max(ends)], color="0.7", lw=0.8)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.xaxis.set_minor_formatter("")
        axis.yaxis.set_minor_formatter("")
        axis.set_xlabel("predicted")
        axis.set_ylabel("true")
        axis.set_title(f"{head}: tenths by forecast, second half", fontsize=9, loc="left")
        axis.legend(fontsize=8)
        axis.grid(color="0.92")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
