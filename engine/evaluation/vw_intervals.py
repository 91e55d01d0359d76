"""The intervals and points of Vowpal Wabbit's `estimators` package, from the same mergeable sums.

Cressie-Read is the honest but wide standard in its world; the others are here for comparison. All
read `WeightMoments`, which merge by addition, except the empirical likelihood and the confidence
sequence, which need the rows. r_min <= r <= r_max bounds the outcome.

Where we differ: when no candidate survives, VW falls back to r_min at BOTH ends, so that small logs
can return an upper end below the lower; here the upper end falls back to r_max. Where every weight
is 0 nothing but the Cressie-Read interval and the confidence sequence answers: [r_min, r_max].

Sources: Karampatziakis et al. 2020 (empirical likelihood), 2021 (off-policy confidence sequences).
"""

from dataclasses import dataclass
from math import inf, isclose, log, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc, gammaln
from scipy.stats import f as f_law

from engine.errors import BadInput
from engine.evaluation.arrays import Vector
from engine.evaluation.estimators import require_overlap, require_rows
from engine.evaluation.intervals import Interval, clopper_pearson, normal_interval

FLAT = 1e-9  # below this a residual variance counts as 0, as in VW


@dataclass(frozen=True, slots=True)
class WeightMoments:
    """n, the sums VW's forms need, and the range of w widened to what was seen.

    n counts dropped rows too: a row kept with probability 1 - p_drop enters with w / (1 - p_drop)
    and n grows by p_drop / (1 - p_drop) more.
    """

    n: float
    w: float
    w2: float
    wr: float
    w2r: float
    w2r2: float
    r: float
    w_min: float
    w_max: float
    w_seen: float

    def __add__(self, other: "WeightMoments") -> "WeightMoments":
        return WeightMoments(
            self.n + other.n,
            self.w + other.w,
            self.w2 + other.w2,
            self.wr + other.wr,
            self.w2r + other.w2r,
            self.w2r2 + other.w2r2,
            self.r + other.r,
            min(self.w_min, other.w_min),
            max(self.w_max, other.w_max),
            max(self.w_seen, other.w_seen),
        )


def weight_moments(
    w: Vector, r: Vector, w_min: float = 0.0, w_max: float = inf, p_drop: float = 0.0
) -> WeightMoments:
    """Moments of one stretch of log: w, r (n,), TRUE range of w (not the observed one)."""
    if not w_min < 1.0 < w_max:
        raise BadInput(
            f"weight range [{w_min}, {w_max}] does not contain 1 in its interior: "
            "give the smallest and largest importance weight that can occur"
        )
    w = w / (1.0 - p_drop)
    seen = float(w.max(initial=0.0))
    return WeightMoments(
        n=w.size / (1.0 - p_drop),
        w=float(w.sum()),
        w2=float(w @ w),
        wr=float(w @ r),
        w2r=float((w * w) @ r),
        w2r2=float((w * r) @ (w * r)),
        r=float(r.sum()),
        w_min=min(w_min, float(w.min(initial=inf))),
        w_max=max(w_max, seen),
        w_seen=seen,
    )


# -- Cressie-Read


def cressie_read_point(m: WeightMoments) -> float:
    """V = sum p w r + max(0, 1 - sum p w) rbar, p_i = [1 + (1-A)(w_i-A)/(B-A^2)] / (n+1).

    A, B: first two moments of w with one added row, w_max if sum w < n else w_min; p = 1/n if inf.
    """
    require_overlap(m.w)
    added = m.w_max if m.w < m.n else m.w_min
    if added == inf:
        constant, slope = 1.0 / m.n, 0.0
    else:
        a, b = (added + m.w) / (m.n + 1.0), (added**2 + m.w2) / (m.n + 1.0)
        slope = (1.0 - a) / (b - a * a) / (m.n + 1.0)
        constant = 1.0 / (m.n + 1.0) - slope * a
    value = constant * m.wr + slope * m.w2r
    missing = max(0.0, 1.0 - (constant * m.w + slope * m.w2))
    return value + missing * m.r / m.n


def cressie_read_interval(
    m: WeightMoments, r_min: float = 0.0, r_max: float = 1.0, alpha: float = 0.05
) -> Interval:
    """Two-sided Cressie-Read interval; the upper end is the lower end of -r."""
    lower = _cressie_read_lower(m, r_min, alpha)
    upper = _cressie_read_lower(_negated(m), -r_max, alpha)
    ends = (r_min if lower is None else lower, r_max if upper is None else -upper)
    return Interval(*(min(r_max, max(r_min, end)) for end in ends))


def _negated(m: WeightMoments) -> WeightMoments:
    return WeightMoments(m.n, m.w, m.w2, -m.wr, -m.w2r, m.w2r2, -m.r, m.w_min, m.w_max, m.w_seen)


def _cressie_read_lower(m: WeightMoments, r_min: float, alpha: float) -> float | None:
    """Least value over the added rows (w_min, r_min), (w_max, r_min); None if neither can be."""
    reach = (_point_slack(m) + float(f_law.isf(alpha, 1, m.n))) / (m.n + 1.0)
    ends = (
        _lower_unbounded(m, r_min, reach) if added == inf else _lower_added(m, added, r_min, reach)
        for added in (m.w_min, m.w_max)
    )
    return min((end for end in ends if end is not None), default=None)


def _point_slack(m: WeightMoments) -> float:
    """Slack u = (n+1)(A-1)^2/(B-A^2) at the added row; 1 + 1/n where it is infinite."""
    added = m.w_max if m.w < m.n else m.w_min
    if added == inf:
        return 1.0 + 1.0 / m.n
    a, b = (added + m.w) / (m.n + 1.0), (added**2 + m.w2) / (m.n + 1.0)
    return (m.n + 1.0) * (a - 1.0) ** 2 / (b - a * a)


def _lower_added(m: WeightMoments, added: float, r_min: float, reach: float) -> float | None:
    """E[wr] + (1 - E[w]) Cov(w, wr)/Var(w) - sqrt(h Res), moments over n + 1 rows."""
    rows = m.n + 1.0
    w, w2 = (added + m.w) / rows, (added**2 + m.w2) / rows
    wr, w2r = (added * r_min + m.wr) / rows, (added**2 * r_min + m.w2r) / rows
    w2r2 = (added**2 * r_min**2 + m.w2r2) / rows
    variance = w2 - w * w
    if not w2 > w * w:
        return None
    covariance = w2r - w * wr
    residual = (w2r2 - wr * wr) - covariance**2 / variance
    h = reach - (1.0 - w) ** 2 / variance
    return _less_root(wr + (1.0 - w) * covariance / variance, h, residual)


def _lower_unbounded(m: WeightMoments, r_min: float, reach: float) -> float | None:
    """The limit of `_lower_added` as the added weight grows without bound."""
    total = m.wr - m.w * r_min
    squares = m.w2r2 - 2.0 * r_min * m.w2r + r_min**2 * m.w2
    residual = (squares - total**2 / m.n) / (m.n + 1.0)
    return _less_root(r_min + total / m.n, reach - 1.0 / m.n, residual)


def _less_root(centre: float, h: float, residual: float) -> float | None:
    """Value centre - sqrt(h residual); None where h or the residual variance is negative."""
    if isclose(h * residual / 4.0, 0.0, abs_tol=FLAT * FLAT):
        return centre - sqrt(2.0) * FLAT
    return centre - sqrt(h * residual) if h >= 0.0 and residual >= 0.0 else None


# -- the other forms


def gaussian_interval(m: WeightMoments, alpha: float = 0.05) -> Interval:
    """IPS +- z sqrt(var(w r, ddof=1) / n)."""
    require_rows(m.n)
    require_overlap(m.w)
    variance = max(0.0, (m.w2r2 - m.wr**2 / m.n) / (m.n - 1.0))
    return normal_interval(m.wr / m.n, sqrt(variance / m.n), alpha)


def clopper_pearson_interval(
    m: WeightMoments, r_min: float = 0.0, r_max: float = 1.0, alpha: float = 0.05
) -> Interval:
    """Beta quantiles at k = sum w (r-r_min)/(r_max-r_min)/W of N = n/W, W the largest w SEEN.

    Two to four times wider than the gamma interval, for comparison only. Where chance weighs the
    events to more than N, which an outcome within its bounds cannot be worth, they are N.
    """
    require_overlap(m.w)
    span, rows = r_max - r_min, m.n / m.w_seen
    events = (m.wr - r_min * m.w) / span / m.w_seen
    inner = clopper_pearson(min(events, rows), rows, alpha)
    return Interval(r_min + span * inner.lower, r_min + span * inner.upper)


def empirical_likelihood_point(
    w: Vector, r: Vector, w_min: float = 0.0, w_max: float = inf
) -> float:
    """V = sum p w r + max(0, 1 - sum p w) rbar with p = 1/((w-1) b + n), b the dual optimum."""
    require_overlap(float(w.sum()))
    excess, n = w - 1.0, float(w.size)
    dual = _likelihood_dual(excess, n, min(w_min, w.min()), max(w_max, w.max()))
    weighted = w / (excess * dual + n)
    return float(weighted @ r) + max(0.0, 1.0 - float(weighted.sum())) * float(r.mean())


def _likelihood_dual(excess: Vector, n: float, w_min: float, w_max: float) -> float:
    """Dual b solving sum (w-1)/((w-1) b + n) = 0 inside the feasible range, else the better end."""

    def slope(b: float) -> float:
        return float((excess / (excess * b + n)).sum())

    above, below = excess[excess > 0.0], excess[excess < 0.0]
    ceiling, floor = n / (1.0 - w_min), 0.0 if w_max == inf else n / (1.0 - w_max)
    low = max(floor, float(((n - 1.0) / -above).max(initial=-inf)))
    high = min(ceiling, float(((n - 1.0) / -below).min(initial=inf)))
    if slope(low) * slope(high) < 0.0:
        return float(brentq(slope, low, high))
    return low if slope(low) < 0.0 else high


def confidence_sequence(
    w: Vector, r: Vector, r_min: float = 0.0, r_max: float = 1.0, alpha: float = 0.05
) -> Interval:
    """Gamma-exponential confidence sequence at its last row; w, r (n,) in the order of logging."""
    span = r_max - r_min
    lower = _sequence_lower(w * (r - r_min) / span, alpha / 2.0)
    upper = 1.0 - _sequence_lower(w * (r_max - r) / span, alpha / 2.0)
    return Interval(r_min + span * lower, r_min + span * upper)


def _sequence_lower(x: Vector, alpha: float) -> float:
    """Root in mu of log wealth = ln(1/alpha), clipped to [0, min(1, mean x)]."""
    before = np.concatenate(([0.0], np.cumsum(x)[:-1]))
    guess = (0.5 + before) / np.arange(1, x.size + 1)
    v, total, n = float(((x - guess) ** 2).sum()), float(x.sum()), float(x.size)

    def surplus(mu: float) -> float:
        return _log_wealth(total - n * mu, v) + log(alpha)

    top = min(1.0, total / n)
    if surplus(0.0) <= 0.0:
        return 0.0
    return top if surplus(top) >= 0.0 else float(brentq(surplus, 0.0, top))


def _log_wealth(s: float, v: float) -> float:
    """Log wealth s + v - (v+1) ln(s+v+1) + lg(v+1, s+v+1) - lg(1, 1),
    lg(a, x) the log of the lower incomplete gamma function.
    """
    x = s + v + 1.0
    return float(
        s + v - (v + 1.0) * np.log(x) + _log_lower_gamma(v + 1.0, x) - _log_lower_gamma(1.0, 1.0)
    )


def _log_lower_gamma(a: float, x: float) -> float:
    return float(np.log(gammainc(a, x)) + gammaln(a))
