"""Points, standard errors and differences read off the streaming sums.

An estimate is its value and its influence: coefficients a over the columns z such that the
centred round-wise value of a row is psi = a . z. The row-wise error then is a^T (sum z z^T) a, the
clustered one is the same with sums by user, and the error of a difference is that of the difference
of two influences: paired comparisons cost nothing.

Where a send cost is given, the outcome is r minus that cost, and the target's expected cost enters
exactly (it needs no weights), so the cost adds no noise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from engine.evaluation.arrays import Vector
from engine.evaluation.intervals import (
    Interval,
    mover,
    normal_interval,
    size_biased_gamma,
    size_biased_mean_weight,
)
from engine.evaluation.sums import (
    LESS_R,
    MORE,
    MORE_R,
    ONE,
    REWARD,
    SEND,
    WD,
    WE,
    WR,
    PolicySums,
    UserSquares,
    V,
    W,
    column,
    cost_column,
    gap_column,
    paid_column,
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its influence (m,) over the columns of the sums it came from."""

    value: float
    influence: Vector

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value + other.value, self.influence + other.influence)

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The paired difference of two estimates on the same rows."""
        return Estimate(self.value - other.value, self.influence - other.influence)


def logged_mean(sums: PolicySums) -> Estimate:
    """What the logger itself earned: the plain mean of r - cost."""
    paid = {paid_column(sums.policies): -1.0} if sums.priced else {}
    return _linear(sums, {REWARD: 1.0, **paid})


def ips(sums: PolicySums, policy: int) -> Estimate:
    """Mean w r."""
    return _linear(sums, {column(policy, WR): 1.0, **_cost(sums, policy)})


def dm(sums: PolicySums, policy: int) -> Estimate:
    """Mean v. Its error is that of the rows only: the model's own error is not in it."""
    return _linear(sums, {column(policy, V): 1.0, **_cost(sums, policy)})


def dr(sums: PolicySums, policy: int) -> Estimate:
    """Mean v + w (r - q)."""
    terms = {column(policy, V): 1.0, column(policy, WD): 1.0, **_cost(sums, policy)}
    return _linear(sums, terms)


def snips(sums: PolicySums, policy: int) -> Estimate:
    """Sum w r / sum w; psi = w (r - V) / wbar."""
    return _ratio(sums, policy, WR, W) + _linear(sums, _cost(sums, policy))


def sndr(sums: PolicySums, policy: int) -> Estimate:
    """Mean v + sum w (r - q) / sum w; psi = v - vbar + w (r - q - c) / wbar."""
    model = _linear(sums, {column(policy, V): 1.0, **_cost(sums, policy)})
    return model + _ratio(sums, policy, WD, W)


def send_only_snips(sums: PolicySums, policy: int) -> Estimate:
    """M * sum_{a != abstain} w r / sum_{a != abstain} w; outcomes that only a send can cause."""
    if sums.total(policy, WE) == 0.0:
        return _linear(sums, _cost(sums, policy))
    ratio, rate = _ratio(sums, policy, WR, WE), _linear(sums, {column(policy, SEND): 1.0})
    product = ratio.value * rate.influence + rate.value * ratio.influence
    cost = _linear(sums, _cost(sums, policy))
    return Estimate(ratio.value * rate.value, product) + cost


POINTS: dict[str, Callable[[PolicySums, int], Estimate]] = {
    "ips": ips,
    "snips": snips,
    "dm": dm,
    "dr": dr,
    "sndr": sndr,
    "send_only_snips": send_only_snips,
}


def send_rate(sums: PolicySums, policy: int) -> float:
    """M = mean(1 - pi(abstain|x)): known exactly, not estimated."""
    return sums.total(policy, SEND) / sums.n


# -- errors and intervals


def standard_error(sums: PolicySums, estimate: Estimate) -> float:
    """Row-wise standard error, ddof = 1 for every estimator (SNIPS too)."""
    n = sums.n
    square = float(estimate.influence @ sums.gram @ estimate.influence)
    return sqrt(max(0.0, square) * n / (n - 1.0)) / n


def event_error(sums: PolicySums, policy: int) -> float:
    """Row-wise standard error of IPS of events of size 1, from w^2 r where others have (w r)^2.

    An event that m rows share is then one event and not m, which independent m-ths would be.
    """
    n = sums.n
    square = sums.product(policy, WE, WR) - sums.total(policy, WR) ** 2 / n
    return sqrt(max(0.0, square) / (n * (n - 1.0)))


def clustered_error(users: UserSquares, estimate: Estimate, n: float) -> float:
    """Standard error when only users are independent: sqrt(G/(G-1) sum_g S_g^2) / n."""
    if users.groups < 2:
        return float("inf")
    square = float(estimate.influence @ users.gram @ estimate.influence)
    return sqrt(users.groups / (users.groups - 1) * max(0.0, square)) / n


def delta_interval(sums: PolicySums, estimate: Estimate, alpha: float = 0.05) -> Interval:
    """Normal interval with the row-wise error."""
    return normal_interval(estimate.value, standard_error(sums, estimate), alpha)


def gamma_interval(
    sums: PolicySums, policy: int, alpha: float = 0.05, users: UserSquares | None = None
) -> Interval:
    """Size-biased gamma interval around IPS of a rare outcome r = size * event, from the sums.

    With `users`, the squares are taken of each user's total, so a user with several events counts
    as one bigger event. Without any weight where events can be earned the value is exactly 0: the
    diagnostics tell a policy that never sends from one without overlap.
    """
    n, earned = sums.n, column(policy, WR)
    square = sums.product(policy, WE, WR)
    if users is not None:
        square = float(users.gram[earned, earned])
    total = sums.total(policy, WE)
    if total == 0.0:
        return Interval(0.0, 0.0)
    mean = size_biased_mean_weight(total, sums.product(policy, WE, WE), n)
    return size_biased_gamma(sums.total(policy, WR) / n, square / n**2, mean, alpha)


def gap_interval(
    sums: PolicySums, policy: int, alpha: float = 0.05, users: UserSquares | None = None
) -> Interval:
    """Interval of IPS(policy) - IPS(reference) for a rare outcome, send costs left out.

    The gap is sum (w - w_ref)+ r - sum (w_ref - w)+ r over n: two weighted rates over different
    events, each with its size-biased gamma interval, joined by MOVER. Rows on which the two
    policies agree cancel, as in the paired delta interval, but few events stay honest.
    """
    more, less = (_gap_side(sums, policy, side, alpha, users) for side in (0, 1))
    return mover(*more, *less, 1.0)


def gap_value(sums: PolicySums, policy: int) -> float:
    """IPS(policy) - IPS(reference), send costs left out."""
    more, less = (
        gap_column(sums.policies, policy, which, sums.priced) for which in (MORE_R, LESS_R)
    )
    return float(sums.gram[ONE, more] - sums.gram[ONE, less]) / sums.n


def _gap_side(
    sums: PolicySums, policy: int, side: int, alpha: float, users: UserSquares | None
) -> tuple[float, Interval]:
    n = sums.n
    weight, earned = (
        gap_column(sums.policies, policy, side + part, sums.priced) for part in (MORE, MORE_R)
    )
    y = float(sums.gram[ONE, earned]) / n
    square = float(sums.gram[weight, earned] if users is None else users.gram[earned, earned])
    total = float(sums.gram[ONE, weight])
    if total == 0.0:
        return 0.0, Interval(0.0, 0.0)
    mean = size_biased_mean_weight(total, float(sums.gram[weight, weight]), n)
    return y, size_biased_gamma(y, square / n**2, mean, alpha)


def send_cost(sums: PolicySums, policy: int) -> float:
    """Expected send cost of the target per decision, known exactly."""
    if not sums.priced:
        return 0.0
    return float(sums.gram[ONE, cost_column(sums.policies, policy)]) / sums.n


def _cost(sums: PolicySums, policy: int) -> dict[int, float]:
    """Coefficient of a policy's expected send cost, where sends have one."""
    return {cost_column(sums.policies, policy): -1.0} if sums.priced else {}


def _linear(sums: PolicySums, coefficients: dict[int, float]) -> Estimate:
    """The mean of a linear combination of columns."""
    influence = _at(sums, coefficients)
    value = float(influence @ sums.gram[ONE]) / sums.n
    influence[ONE] -= value
    return Estimate(value, influence)


def _ratio(sums: PolicySums, policy: int, above: int, below: int) -> Estimate:
    """Sum of one column over sum of another; psi = (above - ratio below) / mean below."""
    total = sums.total(policy, below)
    if total == 0.0:
        return Estimate(float("nan"), np.full(sums.gram.shape[0], np.nan))
    ratio, scale = sums.total(policy, above) / total, sums.n / total
    columns = {column(policy, above): scale, column(policy, below): -scale * ratio}
    return Estimate(ratio, _at(sums, columns))


def _at(sums: PolicySums, coefficients: dict[int, float]) -> Vector:
    influence = np.zeros(sums.gram.shape[0])
    for place, coefficient in coefficients.items():
        influence[place] += coefficient
    return influence
