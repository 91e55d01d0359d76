"""A test that the logged propensities are the frequencies with which arms were drawn.

If they are, then in any fixed grouping of (row, arm) cells the number of draws is the sum of the
logged probabilities up to noise of known covariance. Two groupings are tested: by arm, and by size
of the propensity. Needs the whole logged law; mergeable by addition. Limit: it cannot see an error
that moves probability only between arms of one group.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.stats import chi2

from engine.errors import BadInput
from engine.evaluation.arrays import Ints, Matrix, Vector
from engine.evaluation.diagnostics import Judgement, Verdict

REFUSE_P, WEAK_P = 1e-6, 1e-3
REFUSE_RATIO = 0.05  # a large log finds harmless rounding significant; this much is not harmless
SIZES = np.array([0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8])  # lower edges


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws observed and expected by group, with the covariance of the difference."""

    rows: float
    observed: Vector  # (g,)
    expected: Vector  # (g,)
    covariance: Matrix  # (g, g)

    def __add__(self, other: "Draws") -> "Draws":
        return Draws(
            self.rows + other.rows,
            self.observed + other.observed,
            self.expected + other.expected,
            self.covariance + other.covariance,
        )


def draws_by_arm(pmf: Matrix, action: Ints) -> Draws:
    """Group cells by arm: pmf (n, K), action (n,)."""
    observed = np.bincount(action, minlength=pmf.shape[1]).astype(np.float64)
    return _draws(pmf, observed)


def draws_by_size(pmf: Matrix, action: Ints) -> Draws:
    """Group cells by the size of their propensity, ten groups from below 0.001 to above 0.8."""
    n, k = pmf.shape
    group = np.searchsorted(SIZES, pmf.ravel(), side="right") - 1
    cell = group + SIZES.size * np.repeat(np.arange(n), k)
    mass = np.asarray(np.bincount(cell, pmf.ravel(), n * SIZES.size), dtype=np.float64)
    drawn = group.reshape(n, k)[np.arange(n), action]
    mass = mass.reshape(n, SIZES.size)
    return _draws(mass, np.bincount(drawn, minlength=SIZES.size).astype(np.float64))


def _draws(mass: Matrix, observed: Vector) -> Draws:
    """Cov(observed) = sum_i diag(m_i) - m_i m_i^T: one draw per row from the groups' mass m_i."""
    expected = mass.sum(axis=0)
    return Draws(float(len(mass)), observed, expected, np.diag(expected) - mass.T @ mass)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Result of one test: chi-squared, degrees of freedom, p value, worst observed / expected."""

    chi2: float
    degrees: int
    p_value: float
    worst_group: int
    worst_ratio: float


def calibration(draws: Draws) -> Calibration:
    """d^T C^+ d against chi-squared with rank(C) degrees of freedom."""
    if draws.rows == 0.0:
        raise BadInput("no row has the whole logged law: log it to test the propensities")
    difference = draws.observed - draws.expected
    values, vectors = np.linalg.eigh(draws.covariance)
    kept = values > 1e-9 * max(values.max(), 1e-300)
    statistic = float(((vectors[:, kept].T @ difference) ** 2 / values[kept]).sum())
    stray = np.abs(difference - vectors[:, kept] @ (vectors[:, kept].T @ difference)).max()
    impossible = bool(stray > 1e-6 * max(1.0, draws.rows) ** 0.5)
    degrees = int(kept.sum())
    p_value = 0.0 if impossible else float(chi2.sf(statistic, degrees)) if degrees else 1.0
    worst, ratio = _worst(draws)
    return Calibration(statistic, degrees, p_value, worst, ratio)


def _worst(draws: Draws) -> tuple[int, float]:
    """The group whose count is most standard deviations off, and observed / expected there."""
    spread = np.sqrt(np.maximum(np.diag(draws.covariance), 1e-12))
    group = int(np.argmax(np.abs(draws.observed - draws.expected) / spread))
    return group, float(draws.observed[group] / max(draws.expected[group], 1e-300))


def judge_calibration(found: Calibration, groups: tuple[str, ...]) -> Judgement:
    """Refuse a log whose propensities are plainly not the drawing frequencies."""
    if found.p_value > WEAK_P:
        return Judgement(Verdict.OK)
    sentence = (
        f"{groups[found.worst_group]} was drawn {found.worst_ratio:.2f} times as often as its "
        f"logged propensities say (chi-squared {found.chi2:.0f} on {found.degrees}, "
        f"p = {found.p_value:.1g}): wrong propensities, or rows lost by outcome"
    )
    plain = found.p_value < REFUSE_P and abs(found.worst_ratio - 1.0) > REFUSE_RATIO
    return Judgement(Verdict.REFUSE if plain else Verdict.WEAK, (sentence,))


def size_names() -> tuple[str, ...]:
    """Words for the groups of `draws_by_size`."""
    edges = [*SIZES.tolist(), 1.0]
    return tuple(f"the propensity group {low:g}-{high:g}" for low, high in pairwise(edges))
