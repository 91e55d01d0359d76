"""How an estimate moves when large weights are shrunk: a path to print, never a headline.

Clipped DR, Switch-DR and DRos at many lambdas in one streaming pass. Each point carries the bias
proxy |mean((w - w') (r - q))|: a shrunk estimate is not unbiased, and its interval cannot see that.
No lambda is chosen here: on sparse logs every tuning rule tried picked the most biased one or none.
"""

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from engine.evaluation.arrays import Matrix, Vector
from engine.evaluation.estimators import (
    chosen,
    clipped,
    importance_weights,
    model_value,
    require_overlap,
    require_rows,
    shrunk,
    switched,
)
from engine.evaluation.log import Log
from engine.evaluation.passes import nuisance
from engine.evaluation.policies import TargetPolicy
from engine.evaluation.settings import Settings, silent
from engine.evaluation.totals import qhat_of, reward

FAMILIES = {"clipped_dr": clipped, "switch_dr": switched, "dr_os": shrunk}
LAMBDAS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 1e4, inf)


@dataclass(frozen=True, slots=True)
class PathSums:
    """Mergeable: rows, their weight, and per (family, lambda) sums of term, term^2 and dropped
    correction.
    """

    rows: float
    weight: float
    sums: Matrix  # (families, lambdas, 3)

    def __add__(self, other: "PathSums") -> "PathSums":
        return PathSums(self.rows + other.rows, self.weight + other.weight, self.sums + other.sums)


@dataclass(frozen=True, slots=True)
class PathPoint:
    """One point of the path; `bias` is the proxy of what shrinking moved the value by."""

    family: str
    lam: float
    value: float
    se: float
    bias: float


def path_sums(w: Vector, residual: Vector, v: Vector) -> PathSums:
    """The state of one chunk; residual = r - q, all (n,)."""
    sums = np.empty((len(FAMILIES), len(LAMBDAS), 3))
    for family, shrink in enumerate(FAMILIES.values()):
        for place, lam in enumerate(LAMBDAS):
            kept = shrink(w, lam)
            term = v + kept * residual
            sums[family, place] = term.sum(), term @ term, (w - kept) @ residual
    return PathSums(float(w.size), float(w.sum()), sums)


def path_points(state: PathSums) -> list[PathPoint]:
    """Value, standard error and bias proxy of every point; refuses one row, or no overlap."""
    require_rows(state.rows)
    require_overlap(state.weight)
    n, points = state.rows, []
    for family, lines in zip(FAMILIES, state.sums, strict=True):
        for lam, (total, square, dropped) in zip(LAMBDAS, lines, strict=True):
            mean = total / n
            se = sqrt(max(0.0, square / n - mean**2) / (n - 1.0))
            points.append(PathPoint(family, lam, float(mean), se, abs(float(dropped)) / n))
    return points


def sensitivity(
    log: Log, policy: TargetPolicy, outcome_name: str, settings: Settings | None = None
) -> list[PathPoint]:
    """The path of one policy on one outcome of a log, with cross-fitted models if asked for.

    For `utility` the send cost is left out: it is known exactly and no weight touches it.
    """
    settings = settings or Settings()
    folds, models = nuisance([log], settings, silent)
    state: PathSums | None = None
    for batch in log.batches(settings.chunk_rows):
        target = policy.pmf(batch, log.arms)
        w = importance_weights(target, batch.action, batch.propensity)
        r = reward(batch, outcome_name, settings.prices)
        fold = None if folds is None else folds(batch)
        qhat = qhat_of(models, outcome_name, batch, fold)
        if qhat is None:
            found = path_sums(w, r, np.zeros_like(r))
        else:
            found = path_sums(w, r - chosen(qhat, batch.action), model_value(target, qhat))
        state = found if state is None else state + found
    return [] if state is None else path_points(state)
