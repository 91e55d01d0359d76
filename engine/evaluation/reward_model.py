"""Models of an outcome for the model-assisted estimators, never scored on rows they learned from.

A ridge regression per arm on the context, each pulled towards the regression of all arms together.
Its state is sums (X^T X, X^T r by arm and fold), so one streaming pass fits every fold: the model
that scores a fold is solved from the sums of all the others. Folds are users, not rows, because a
user's rows resemble each other. For a logger that adapted the folds are stretches of time and a
stretch is scored by earlier stretches only.

Assumption: none about truth; a bad model costs width, not validity. Limit: linear in the features.
"""

from dataclasses import dataclass

import numpy as np

from engine.errors import BadInput
from engine.evaluation.arrays import Ints, Matrix, Vector
from engine.evaluation.log import ABSTAIN, LoggedBatch

FOLDS = 5
RIDGE = 30.0  # rows' worth of belief that an arm behaves like the average arm
POOLED_RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class ModelSums:
    """Sums by fold and arm: xx (F, K, d+1, d+1), xr (F, K, d+1). Mergeable by addition."""

    xx: Matrix
    xr: Matrix

    def __add__(self, other: "ModelSums") -> "ModelSums":
        return ModelSums(self.xx + other.xx, self.xr + other.xr)


def design(batch: LoggedBatch) -> Matrix:
    """Context with a leading 1, (n, d+1)."""
    ones = np.ones((len(batch), 1))
    return ones if batch.features is None else np.hstack((ones, batch.features))


def model_sums(batch: LoggedBatch, r: Vector, fold: Ints, arms: int, folds: int) -> ModelSums:
    """The sums of one chunk; r (n,), fold (n,) in 0..folds-1."""
    x = design(batch)
    width = x.shape[1]
    xx, xr = np.zeros((folds, arms, width, width)), np.zeros((folds, arms, width))
    cell = fold * arms + batch.action
    order = np.argsort(cell, kind="stable")
    present, starts = np.unique(cell[order], return_index=True)
    for place, rows in zip(present, np.split(order, starts[1:]), strict=True):
        at = divmod(int(place), arms)
        xx[at], xr[at] = x[rows].T @ x[rows], x[rows].T @ r[rows]
    return ModelSums(xx, xr)


def user_folds(batch: LoggedBatch, folds: int = FOLDS) -> Ints:
    """The fold of every row by a mixed hash of its user, (n,)."""
    mixed = (batch.user ^ (batch.user >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed >> np.uint64(33)) % np.uint64(folds)).astype(np.int64)


def time_folds(batch: LoggedBatch, edges: Vector) -> Ints:
    """The stretch of time of every row, (n,); edges are the inner borders in seconds."""
    return np.searchsorted(edges, batch.time, side="right").astype(np.int64)


@dataclass(frozen=True, slots=True)
class RewardModel:
    """Coefficients by fold and arm, (F, K, d+1); without `abstain_earns` abstaining predicts 0."""

    coefficients: Matrix
    abstain_earns: bool

    def predict(self, batch: LoggedBatch, fold: Ints) -> Matrix:
        """Qhat (n, K), each row by the model that did not learn from its fold."""
        x = design(batch)
        qhat = np.empty((len(batch), self.coefficients.shape[1]))
        for number in np.unique(fold):
            rows = fold == number
            qhat[rows] = x[rows] @ self.coefficients[number].T
        if not self.abstain_earns:
            qhat[:, ABSTAIN] = 0.0
        return qhat


def cross_fitted(sums: ModelSums, abstain_earns: bool) -> RewardModel:
    """Fold f is scored by the sums of all other folds."""
    others = ModelSums(sums.xx.sum(axis=0) - sums.xx, sums.xr.sum(axis=0) - sums.xr)
    return RewardModel(_solved(others), abstain_earns)


def past_only(sums: ModelSums, abstain_earns: bool) -> RewardModel:
    """Stretch f is scored by the sums of earlier stretches; the first by zero."""
    before = ModelSums(np.cumsum(sums.xx, axis=0) - sums.xx, np.cumsum(sums.xr, axis=0) - sums.xr)
    return RewardModel(_solved(before), abstain_earns)


def _solved(sums: ModelSums) -> Matrix:
    """Ridge of every (fold, arm) towards the pooled ridge of its fold."""
    folds, arms, width, _ = sums.xx.shape
    eye = np.eye(width)
    pooled = np.linalg.solve(
        sums.xx.sum(axis=1) + POOLED_RIDGE * eye, sums.xr.sum(axis=1)[..., None]
    )[..., 0]
    rest = sums.xr - np.einsum("fkij,fj->fki", sums.xx, pooled)
    own = np.linalg.solve(sums.xx + RIDGE * eye, rest[..., None])[..., 0]
    coefficients: Matrix = pooled[:, None, :] + own
    if not np.isfinite(coefficients).all():
        raise BadInput(
            f"the outcome model of {folds} folds x {arms} arms has no finite solution: "
            "expected finite features and outcomes, standardise or drop the offending column"
        )
    return coefficients
