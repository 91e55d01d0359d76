"""Tables, plots and figures of the heads' benchmark.

Regret is progressive log loss above that of the true probabilities, in expectation over the label
and times 1000; the loss itself is the truth's plus that. Intervals are over streams.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from benchmarks.learning.heads.learners import REFERENCE, SHIPPED
from benchmarks.learning.heads.rare import Watch
from benchmarks.learning.statistics import Interval, interval
from engine.outcome import HeadName

BINS: Final = 10
DRAWN: Final = {SHIPPED: "C0o-", REFERENCE: "C1s--", "vw defaults": "C2^:"}
"""Learners whose calibration is drawn, and how."""


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

    def halves(self) -> tuple[float, float, float]:
        """Mean regret of the first half, the second half, all."""
        regret = self.regret()
        middle = len(regret) // 2
        return float(regret[:middle].mean()), float(regret[middle:].mean()), float(regret.mean())


Traces: TypeAlias = Mapping[tuple[str, HeadName], Mapping[str, Sequence[Trace]]]
"""(setting, head) -> learner -> one trace per stream."""


def regret(traces: Sequence[Trace], part: int = 2) -> Interval:
    """Over streams: of the first half (0), the second half (1), all (2)."""
    return interval([trace.halves()[part] for trace in traces])


def mean_loss(traces: Sequence[Trace]) -> float:
    """Of all streams."""
    return float(np.mean([trace.loss().mean() for trace in traces]))


def table(setting: str, head: HeadName, traces: Mapping[str, Sequence[Trace]]) -> str:
    """One head's learners in one setting, best first."""
    standard = REFERENCE if REFERENCE in traces else SHIPPED
    reference = mean_loss(traces[standard])
    lines = [
        f"### {head}, {setting}",
        "",
        f"| learner | regret x 1000: all | first half | second half | log loss, {standard} = 0 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in sorted(traces, key=lambda name: regret(traces[name]).mean):
        found = traces[name]
        whole = regret(found)
        spread = f" +- {whole.high - whole.mean:.1f}" if whole.n > 1 else ""
        lines.append(
            f"| {name} | {whole.mean:.1f}{spread} | {regret(found, 0).mean:.1f} "
            f"| {regret(found, 1).mean:.1f} | {mean_loss(found) / reference - 1.0:+.1%} |"
        )
    return "\n".join([*lines, ""])


def rare_table(rare: Mapping[str, Sequence[Watch]]) -> str:
    """Predicted / true, tenth by tenth."""
    rows = [watch.rows for watch in next(iter(rare.values()))]
    lines = [
        "### predicted / true at a true rate of 0.002",
        "",
        f"| rows | {' | '.join(f'{n:,}' for n in rows)} | seconds |",
        f"|{' --- |' * (len(rows) + 2)}",
    ]
    lines += [
        f"| {name} | {' | '.join(f'{watch.ratio:.2f}' for watch in watches)} "
        f"| {watches[-1].seconds:.0f} |"
        for name, watches in rare.items()
    ]
    return "\n".join([*lines, ""])


def write_rows(traces: Traces, path: Path) -> None:
    """One line per setting, head, learner and stream."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["setting", "head", "learner", "stream", "first", "second", "all", "loss"])
        for (setting, head), by_name in traces.items():
            for name, found in by_name.items():
                for number, trace in enumerate(found):
                    figures = [f"{x:.4f}" for x in trace.halves()]
                    loss = f"{trace.loss().mean():.6f}"
                    writer.writerow([setting, head, name, number, *figures, loss])


def calibration(traces: Sequence[Trace]) -> list[tuple[float, float]]:
    """(mean predicted, mean true) in tenths of the second halves, by forecast."""
    predicted = np.concatenate([t.predicted[len(t.predicted) // 2 :] for t in traces])
    true = np.concatenate([t.true[len(t.true) // 2 :] for t in traces])
    parts = np.array_split(np.argsort(predicted), BINS)
    return [(_short(predicted[part].mean()), _short(true[part].mean())) for part in parts]


def _short(x: np.floating[Any]) -> float:
    return float(f"{x:.4g}")


def as_json(traces: Traces, rare: Mapping[str, Sequence[Watch]]) -> dict[str, object]:
    """Everything for machines."""
    heads: dict[str, dict[str, object]] = {}
    for (setting, head), by_name in traces.items():
        heads.setdefault(setting, {})[head] = {
            name: {
                "regret": round(regret(found).mean, 3),
                "log_loss": round(mean_loss(found), 6),
                "calibration": calibration(found) if name in DRAWN else [],
            }
            for name, found in by_name.items()
        }
    return {
        "heads": heads,
        "rare": {
            name: {"rows": watches[-1].rows, "predicted_over_true": round(watches[-1].ratio, 4)}
            for name, watches in rare.items()
        },
    }


def draw_calibration(traces: Traces, path: Path) -> None:
    """Predicted against true in second halves: shipped, reference and VW's defaults."""
    try:
        import matplotlib as mpl  # noqa: PLC0415  (only those who draw need the extra `plot`)
    except ModuleNotFoundError:
        print("matplotlib is not installed, so nothing was drawn; `pip install .[plot]`.")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(len(traces) // 2, 2, figsize=(10, 2.3 * len(traces)), squeeze=False)
    for axis, ((setting, head), by_name) in zip(axes.flat, traces.items(), strict=True):
        ends: list[float] = []
        for name in [name for name in DRAWN if name in by_name]:
            points = np.array(calibration(by_name[name])).clip(1e-5)
            axis.plot(points[:, 0], points[:, 1], DRAWN[name], ms=4, lw=1.2, label=name)
            ends += points.ravel().tolist()
        axis.plot([min(ends), max(ends)], [min(ends), max(ends)], color="0.7", lw=0.8)
        axis.set(xscale="log", yscale="log", xlabel="predicted", ylabel="true")
        axis.xaxis.set_minor_formatter("")
        axis.yaxis.set_minor_formatter("")
        axis.set_title(
            f"{head}, {setting}: tenths by forecast, second half", fontsize=9, loc="left"
        )
        axis.legend(fontsize=8)
        axis.grid(color="0.92")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
