"""What a policy that learns would have earned, from a log another policy wrote.

A learner's choice depends on what it has seen, so it must be fed the rows it would have made:

* `replay` (Li et al. 2011): uniform logs only; a row counts when the learner draws the logged arm.
* `rejection`: any logged propensities; a row is accepted with probability c pi / p.
* `dr_ns` (Dudik et al. 2012): acceptance as above decides what is learned, but EVERY row gives a DR
  term, so the estimate rests on the whole log.
* `progressive`: learns from every row; unbiased for the sequence of policies, which overlaps
  learning on rows the learner would not have made: not the value of a deployed learner.

A value is NaN with an infinite error where no row speaks for it: fewer than two rows, or none whose
logged arm the learner could have taken. Limit: a learner that takes SOME arms the logger never drew
is not found out, its value is too small: replay learners over logged arms only.

All are deterministic: a row's uniform number comes from its id, never from the order of reading.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.errors import BadInput
from engine.evaluation.arrays import Ids, Mask, Matrix, Vector
from engine.evaluation.log import LoggedBatch, Prices, outcome

UNIFORM_TOLERANCE = 1e-9


class Learner(Protocol):
    """A policy that learns from single rows."""

    def probabilities(self, features: Vector, eligible: Mask) -> Vector:
        """(K,) its law over the arms for a context (d,), 0 where not eligible (K,)."""
        ...

    def learn(self, features: Vector, arm: int, reward: float) -> None:
        """Take in what one decision led to."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """One logged decision as a learner's replay needs it."""

    row_id: int
    features: Vector  # (d,)
    eligible: Mask  # (K,)
    arm: int
    propensity: float
    reward: float
    qhat: Vector  # (K,) model of the reward, zeros without one


@dataclass(frozen=True, slots=True)
class Replayed:
    """Value per decision, its standard error, and how many rows the learner learned from."""

    value: float
    se: float
    rows: int
    accepted: tuple[int, ...]  # row ids, in order
    violations: int = 0  # rows whose acceptance chance had to be cut to 1: each biases a little


def rows_of(
    batches: Iterable[LoggedBatch],
    outcome_name: str,
    prices: Prices | None = None,
    qhat: Callable[[LoggedBatch], Matrix] | None = None,
) -> Iterator[Row]:
    """Rows of a log in order, with the named outcome as reward; qhat gives (n, K) model values."""
    for batch in batches:
        arms = _arms(batch)
        eligible = np.ones(arms.shape, dtype=np.bool_) if batch.eligible is None else batch.eligible
        reward = outcome(batch, outcome_name, prices or Prices())
        features = np.zeros((len(batch), 0)) if batch.features is None else batch.features
        model = np.zeros(arms.shape) if qhat is None else qhat(batch)
        for i in range(len(batch)):
            yield Row(
                int(batch.row_id[i]),
                features[i],
                eligible[i],
                int(batch.action[i]),
                float(batch.propensity[i]),
                float(reward[i]),
                model[i],
            )


def _arms(batch: LoggedBatch) -> Matrix | Mask:
    known = batch.pmf if batch.pmf is not None else batch.eligible
    if known is None:
        raise BadInput(
            "replaying a learner needs the candidates of every row: expected the logged law or the "
            "eligible set, log one of them"
        )
    return known


def uniforms(row_id: Ids, stream: int) -> Vector:
    """(n,) numbers in [0, 1) that depend on the row's id and the stream only (SplitMix64)."""
    with np.errstate(over="ignore"):
        x = row_id + np.uint64((0x9E3779B97F4A7C15 * (stream + 1)) % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(row_id: int, stream: int) -> float:
    """One number of `uniforms`."""
    return float(uniforms(np.array([row_id], dtype=np.uint64), stream)[0])


# -- the four ways


def replay(rows: Iterable[Row], learner: Learner, seed: int = 0) -> Replayed:
    """Accept a row when the learner draws the logged arm; refuses a log that is not uniform."""
    accepted: list[tuple[int, float]] = []
    count = 0
    for row in rows:
        count += 1
        _require_uniform(row)
        law = learner.probabilities(row.features, row.eligible)
        if drawn(law, uniform(row.row_id, 2 * seed)) == row.arm:
            learner.learn(row.features, row.arm, row.reward)
            accepted.append((row.row_id, row.reward))
    return _mean_of_accepted(accepted, count, 0)


def rejection(rows: Iterable[Row], learner: Learner, c: float, seed: int = 0) -> Replayed:
    """Accept with probability min(1, c pi / p); exact where c <= every p / pi met."""
    accepted: list[tuple[int, float]] = []
    count = violations = 0
    for row in rows:
        count += 1
        chance = c * learner.probabilities(row.features, row.eligible)[row.arm] / row.propensity
        violations += chance > 1.0
        if uniform(row.row_id, 2 * seed + 1) < chance:
            learner.learn(row.features, row.arm, row.reward)
            accepted.append((row.row_id, row.reward))
    return _mean_of_accepted(accepted, count, violations)


def dr_ns(
    rows: Iterable[Row], learner: Learner, c_max: float = 1.0, q: float = 0.0, seed: int = 0
) -> Replayed:
    """V = sum_t c_t DR_t / sum_t c_t, the policy frozen between acceptances.

    c = min(c_max, q-quantile of p / pi so far), renewed at each acceptance; q = 0 is unbiased once
    the smallest ratio has been met, 0.005 to 0.05 trades bias for data. Stores 8 bytes per row.
    """
    ratios: list[float] = []
    accepted: list[int] = []
    terms: list[tuple[float, float]] = []
    c, violations = c_max, 0
    for row in rows:
        law = learner.probabilities(row.features, row.eligible)
        weight = float(law[row.arm]) / row.propensity
        terms.append((c, float(law @ row.qhat) + weight * (row.reward - row.qhat[row.arm])))
        if weight > 0.0:
            insort(ratios, 1.0 / weight)
        violations += c * weight > 1.0
        if uniform(row.row_id, 2 * seed + 1) < c * weight:
            learner.learn(row.features, row.arm, row.reward)
            accepted.append(row.row_id)
            c = min(c_max, ratios[int(q * (len(ratios) - 1))])
    value, se = _weighted_mean(terms, overlap=bool(ratios))
    return Replayed(value, se, len(terms), tuple(accepted), violations)


def progressive(rows: Iterable[Row], learner: Learner) -> Replayed:
    """Predict, score by DR with the logged propensity, then learn from the row."""
    terms: list[tuple[float, float]] = []
    ids: list[int] = []
    overlap = False
    for row in rows:
        law = learner.probabilities(row.features, row.eligible)
        weight = float(law[row.arm]) / row.propensity
        overlap |= weight > 0.0
        terms.append((1.0, float(law @ row.qhat) + weight * (row.reward - row.qhat[row.arm])))
        learner.learn(row.features, row.arm, row.reward)
        ids.append(row.row_id)
    value, se = _weighted_mean(terms, overlap=overlap)
    return Replayed(value, se, len(terms), tuple(ids))


def drawn(law: Vector, u: float) -> int:
    """The arm a law gives at the uniform number u."""
    edges = np.cumsum(law)
    return int(np.searchsorted(edges, u * edges[-1], side="right"))


def _require_uniform(row: Row) -> None:
    expected = 1.0 / int(row.eligible.sum())
    if abs(row.propensity - expected) > UNIFORM_TOLERANCE:
        raise BadInput(
            f"row {row.row_id}, column propensity: got {row.propensity:g} where a uniform logger "
            f"has {expected:g}: replay holds for uniform logs only, use rejection or DR-ns"
        )


def _mean_of_accepted(accepted: list[tuple[int, float]], rows: int, violations: int) -> Replayed:
    ids = tuple(row_id for row_id, _ in accepted)
    if len(accepted) < 2:
        return Replayed(float("nan"), float("inf"), rows, ids, violations)
    rewards = np.array([reward for _, reward in accepted])
    se = float(rewards.std(ddof=1)) / len(accepted) ** 0.5
    return Replayed(float(rewards.mean()), se, rows, ids, violations)


def _weighted_mean(terms: list[tuple[float, float]], *, overlap: bool) -> tuple[float, float]:
    """Sum c G / sum c over rows (c, G), and its error with the terms as martingale differences.

    `overlap`: whether any row has a weight above 0; else the terms are nothing but the model's.
    """
    if not terms:
        raise BadInput("the log has no rows to replay: give a log with at least one decision")
    if len(terms) < 2 or not overlap:
        return float("nan"), float("inf")
    c, g = np.array(terms).T
    value = float(c @ g / c.sum())
    return value, float(np.sqrt(((c * (g - value)) ** 2).sum()) / c.sum())
