"""Coverage and width of each interval in one cell of the study: (rows, target), many logs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from benchmarks.coverage.simulator import Counts, World
from engine.evaluation.arrays import Mask, Vector
from engine.evaluation.intervals import (
    Interval,
    korn_graubard,
    mover,
    normal_interval,
    size_biased_gamma,
    size_biased_mean_weight,
)
from engine.evaluation.vw_intervals import WeightMoments, cressie_read_interval

UNSUBSCRIBE_COST = 5.0  # of one unsubscribe, in clicks


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the result table."""

    rows: int
    target: str
    outcome: str
    method: str
    logs: int
    mean_truth: float
    mean_events: float  # in the log, before weighting
    coverage: float
    median_width: float


@dataclass(frozen=True, slots=True)
class Cell:
    """Everything the intervals of one log need: w (C,) fixed, counts of one log (C,) each."""

    w: Vector
    can_earn: Mask
    rows: Vector
    clicks: Vector
    unsubscribes: Vector

    @property
    def n(self) -> float:
        """Rows of the log."""
        return float(self.rows.sum())


def gamma(cell: Cell, events: Vector) -> Interval:
    """The size-biased gamma interval of one rare outcome."""
    n, w, earning = cell.n, cell.w, cell.rows * cell.can_earn
    mean = size_biased_mean_weight(float(w @ earning), float((w * w) @ earning), n)
    return size_biased_gamma(float(w @ events) / n, float((w * w) @ events) / n**2, mean)


def gamma_gap(cell: Cell, events: Vector) -> Interval:
    """The default interval of target minus logger: two gamma intervals of the two sides."""
    return mover(*_side(cell, cell.w - 1.0, events), *_side(cell, 1.0 - cell.w, events), 1.0)


def _side(cell: Cell, excess: Vector, events: Vector) -> tuple[float, Interval]:
    part = replace(cell, w=np.maximum(excess, 0.0))
    return float(part.w @ events) / cell.n, gamma(part, events)


def normal_gap(cell: Cell, events: Vector) -> Interval:
    """Paired normal interval of target minus logger."""
    return normal(replace(cell, w=cell.w - 1.0), events)


def normal(cell: Cell, events: Vector) -> Interval:
    """IPS +- 1.96 se."""
    return normal_interval(*_ips(cell, events))


def korn(cell: Cell, events: Vector) -> Interval:
    """Korn-Graubard around IPS."""
    return korn_graubard(*_ips(cell, events))


def cressie_read(cell: Cell, events: Vector) -> Interval:
    """VW's interval with the true range of weights."""
    return cressie_read_interval(_moments(cell, events, events))


def gamma_composite(cell: Cell) -> Interval:
    """MOVER of two gamma intervals."""
    click, unsubscribe = gamma(cell, cell.clicks), gamma(cell, cell.unsubscribes)
    first, second = _ips(cell, cell.clicks)[0], _ips(cell, cell.unsubscribes)[0]
    return mover(first, click, second, unsubscribe, UNSUBSCRIBE_COST)


def normal_composite(cell: Cell) -> Interval:
    """Normal interval of w (click - c unsubscribe)."""
    signed = cell.clicks - UNSUBSCRIBE_COST * cell.unsubscribes
    squared = cell.clicks + UNSUBSCRIBE_COST**2 * cell.unsubscribes
    return normal_interval(*_ips(cell, signed, squared))


def cressie_read_composite(cell: Cell) -> Interval:
    """VW's interval of click - c unsubscribe on [-c, 1]."""
    signed = cell.clicks - UNSUBSCRIBE_COST * cell.unsubscribes
    squared = cell.clicks + UNSUBSCRIBE_COST**2 * cell.unsubscribes
    return cressie_read_interval(_moments(cell, signed, squared), -UNSUBSCRIBE_COST, 1.0)


def _ips(cell: Cell, total: Vector, squares: Vector | None = None) -> tuple[float, float]:
    """IPS and its error from the cells' sums of r and of r^2."""
    n, w = cell.n, cell.w
    value = float(w @ total) / n
    second = float((w * w) @ (total if squares is None else squares)) / n
    return value, sqrt(max(0.0, second - value**2) / (n - 1.0))


def _moments(cell: Cell, total: Vector, squares: Vector) -> WeightMoments:
    w, rows = cell.w, cell.rows
    return WeightMoments(
        n=cell.n,
        w=float(w @ rows),
        w2=float((w * w) @ rows),
        wr=float(w @ total),
        w2r=float((w * w) @ total),
        w2r2=float((w * w) @ squares),
        r=float(total.sum()),
        w_min=float(w.min()),
        w_max=float(w.max()),
        w_seen=float(w[rows > 0].max()),
    )


RARE: dict[str, Callable[[Cell, Vector], Interval]] = {
    "gamma (default)": gamma,
    "Cressie-Read": cressie_read,
    "normal": normal,
    "Korn-Graubard": korn,
}
GAPS: dict[str, Callable[[Cell, Vector], Interval]] = {
    "two gammas (default)": gamma_gap,
    "paired normal": normal_gap,
}
COMPOSITE: dict[str, Callable[[Cell], Interval]] = {
    "MOVER of gammas (default)": gamma_composite,
    "Cressie-Read": cressie_read_composite,
    "normal": normal_composite,
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One simulated log with the truths its intervals should contain."""

    cell: Cell
    click: float
    unsubscribe: float
    click_gap: float  # to the logger
    unsubscribe_gap: float

    @property
    def composite(self) -> float:
        """Click - c * unsubscribe, per decision."""
        return self.click - UNSUBSCRIBE_COST * self.unsubscribe


def trials(world: World, target: str, counts: Counts) -> list[Trial]:
    """The simulated logs of one world, seen by one target."""
    w, can_earn = world.weights(target), np.ones_like(world.logger, dtype=np.bool_)
    can_earn[:, 0] = False
    click, left = world.truth(target, world.click), world.truth(target, world.unsubscribe)
    gaps = click - world.logged_rate(world.click), left - world.logged_rate(world.unsubscribe)
    per_log = zip(counts.rows, counts.clicks, counts.unsubscribes, strict=True)
    return [Trial(Cell(w, can_earn.ravel(), *log), click, left, *gaps) for log in per_log]


def run_cell(rows: int, target: str, made: list[Trial]) -> list[Line]:
    """All lines of one (rows, target) cell."""
    lines = []
    for method, rare in RARE.items():
        found = [rare(trial.cell, trial.cell.clicks) for trial in made]
        lines.append(_line(rows, target, "click", method, made, found))
        found = [rare(trial.cell, trial.cell.unsubscribes) for trial in made]
        lines.append(_line(rows, target, "unsubscribe", method, made, found))
    for method, gap in GAPS.items():
        found = [gap(trial.cell, trial.cell.clicks) for trial in made]
        lines.append(_line(rows, target, "click_gap", method, made, found))
        found = [gap(trial.cell, trial.cell.unsubscribes) for trial in made]
        lines.append(_line(rows, target, "unsubscribe_gap", method, made, found))
    for method, composite in COMPOSITE.items():
        found = [composite(trial.cell) for trial in made]
        lines.append(_line(rows, target, "composite", method, made, found))
    return lines


def _line(
    rows: int, target: str, outcome: str, method: str, made: list[Trial], found: list[Interval]
) -> Line:
    truths = [getattr(trial, outcome) for trial in made]
    covered = [truth in interval for truth, interval in zip(truths, found, strict=True)]
    clicks = float(np.mean([trial.cell.clicks.sum() for trial in made]))
    left = float(np.mean([trial.cell.unsubscribes.sum() for trial in made]))
    seen = clicks if outcome.startswith("click") else left
    return Line(
        rows,
        target,
        outcome,
        method,
        len(made),
        float(np.mean(truths)),
        clicks + left if outcome == "composite" else seen,
        float(np.mean(covered)),
        float(np.median([interval.width for interval in found])),
    )
