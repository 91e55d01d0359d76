"""Intervals around off-policy estimates, all from sums, none from resampling.

Delta intervals serve dense rewards. Clicks and unsubscribes are a few weighted events, where the
normal law covers as little as half of what it promises; the size-biased gamma interval serves them,
and MOVER joins two of those into an interval for `click - c * unsubscribe`.

Assumption: rows (or users, where clustered) are independent given the logger. Limit: a logger that
adapted makes every fixed-sample interval here approximate; keep a propensity floor and say so.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import ndtri
from scipy.stats import beta as beta_law
from scipy.stats import gamma as gamma_law

from engine.evaluation.arrays import Ids, Vector


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided interval, lower <= upper, in the unit of the outcome."""

    lower: float
    upper: float

    @property
    def width(self) -> float:
        """Upper minus lower."""
        return self.upper - self.lower

    def shifted(self, by: float) -> "Interval":
        """The interval of the value plus an exactly known number."""
        return Interval(self.lower + by, self.upper + by)

    def __contains__(self, value: float) -> bool:
        return self.lower <= value <= self.upper


def normal_interval(value: float, se: float, alpha: float = 0.05) -> Interval:
    """Interval value +- z se, z the normal quantile at 1 - alpha / 2."""
    reach = float(ndtri(1.0 - alpha / 2.0)) * se
    return Interval(value - reach, value + reach)


# -- standard errors from round-wise values


def mean_se(terms: Vector) -> float:
    """sd(terms, ddof=1) / sqrt(n): IPS, DM, DR, Switch, DRos and every other plain mean."""
    return float(terms.std(ddof=1)) / sqrt(terms.size)


def snips_se(w: Vector, r: Vector) -> float:
    """sqrt(sum w^2 (r - V)^2) / sum w."""
    value = float(w @ r / w.sum())
    return sqrt(float((w**2) @ (r - value) ** 2)) / float(w.sum())


def sndr_influence(w: Vector, r: Vector, q: Vector, v: Vector) -> Vector:
    """Influence psi = v - vbar + w (r - q - c) / wbar with c = sum w (r - q) / sum w.

    Its standard error is mean_se(psi).
    """
    correction = float(w @ (r - q) / w.sum())
    psi: Vector = v - v.mean() + w * (r - q - correction) / w.mean()
    return psi


def clustered_se(influence: Vector, user: Ids) -> float:
    """sqrt(G / (G - 1) sum_g S_g^2) / n, S_g the sum over user g of the centred terms.

    influence (n,) must be centred: term - V, or psi. Rows of one user are not independent, so the
    row-wise error is too small. With one row per user it equals the row-wise error; one user alone
    shows no spread, so the error is infinite.
    """
    _, place = np.unique(user, return_inverse=True)
    sums = np.bincount(place, influence)
    groups = sums.size
    if groups < 2:
        return float("inf")
    return sqrt(groups / (groups - 1) * float(sums @ sums)) / influence.size


def paired_difference(first: Vector, second: Vector, alpha: float = 0.05) -> Interval:
    """Interval on mean(first - second) of two terms or influences of the SAME rows.

    The noise both policies share cancels; comparing two separate intervals would keep it.
    """
    difference = first - second
    return normal_interval(float(difference.mean()), mean_se(difference), alpha)


# -- rare events


def size_biased_gamma(
    y: float, s: float, mean_weight: float, alpha: float = 0.05, scale: float = 1.0
) -> Interval:
    """Gamma interval for a weighted rate of a 0/1 outcome (Fay & Feuer 1997 family).

    y = sum w r / n, s = sum w^2 r / n^2, mean_weight = `size_biased_mean_weight`. Lower: shape
    y^2/s, scale s/y, 0 if y = 0. Upper: shape (y+m)^2/(s+m^2), scale (s+m^2)/(y+m): real with no
    event at all. Where we differ: Fay & Feuer take m = max w / n, conservative; Tiwari et al. take
    the plain mean, which under-covers; the size-biased mean is the weight an event would meet.
    """
    m = mean_weight
    if y < 0.0 or s < 0.0 or m < 0.0:
        return Interval(float("nan"), float("nan"))
    lower = 0.0 if y == 0.0 else float(gamma_law.ppf(alpha / 2.0, y * y / s, scale=s / y))
    if y + m == 0.0:
        return Interval(0.0, float("inf"))
    spread = s + m * m
    upper = gamma_law.ppf(1.0 - alpha / 2.0, (y + m) ** 2 / spread, scale=spread / (y + m))
    return Interval(scale * lower, scale * float(upper))


def size_biased_mean_weight(sum_w: float, sum_w2: float, n: float) -> float:
    """(sum_E w^2 / sum_E w) / n over E, the rows whose arm CAN earn the event (not abstain)."""
    return sum_w2 / sum_w / n if sum_w > 0.0 else 0.0


def mover(first: float, a: Interval, second: float, b: Interval, c: float) -> Interval:
    """Interval for first - c * second, c >= 0, from an interval of each (Zou & Donner 2008).

    Treats the two estimates as uncorrelated, which rare exclusive events nearly are.
    """
    value = first - c * second
    down = sqrt((first - a.lower) ** 2 + c * c * (b.upper - second) ** 2)
    up = sqrt((a.upper - first) ** 2 + c * c * (second - b.lower) ** 2)
    return Interval(value - down, value + up)


def korn_graubard(value: float, se: float, alpha: float = 0.05) -> Interval:
    """Clopper-Pearson at n_eff = V (1 - V) / se^2 (Korn & Graubard 1998).

    Good near the logger; secondary, because it covered only 0.64 far from it. Undefined outside
    0 < V < 1, where it answers [0, 1].
    """
    if not (0.0 < value < 1.0 and se > 0.0):
        return Interval(0.0, 1.0)
    rows = value * (1.0 - value) / se**2
    return clopper_pearson(value * rows, rows, alpha)


def clopper_pearson(events: float, rows: float, alpha: float = 0.05) -> Interval:
    """Beta-quantile interval for `events` of `rows`, both possibly fractional."""
    upper_tail = 1.0 - alpha / 2.0
    lower = beta_law.ppf(alpha / 2.0, events, rows - events + 1.0) if events > 0.0 else 0.0
    upper = beta_law.ppf(upper_tail, events + 1.0, rows - events) if events < rows else 1.0
    return Interval(float(lower), float(upper))
