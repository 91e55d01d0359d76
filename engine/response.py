"""The response heads: Vowpal Wabbit as an online Bayesian logistic regression.

With `--adaptive --power_t 1 -l 1` one step is g / sum(g^2): a diagonal natural gradient. Presetting
the sum presets the prior precision of a weight; and since E[g^2] is the Fisher information of the
logistic loss, 1 / sum is an approximate posterior variance. VW's own table thus holds a mean and an
uncertainty per weight. An importance weight counts like that many copies, in the mean and in the
precision.

Three weights take part in every lesson: the constant's and the two of the burden. They are kept
here, with their full covariance and in float64, and VW is given their sum as the initial value of a
prediction. Two reasons. A policy keeps burdens close together, so slope and constant move as one,
and a learner without covariances hardly ever takes back what the first hundred lessons made it
think of fatigue: it prices patience by that, sends less, and sees too few burdens to learn better.
And after a million lessons a step of the constant is smaller than the rounding of a float32 near
-6: rare positives would register and frequent negatives not. Their step is that of an
extended Kalman filter on the logit, on the same residual that VW steps on. Before the first lesson
the constant is the logit of the base rate.

Limits: correlations between VW's weights are not kept, so the variance is too wide by half or so;
never `--invariant`, whose step is wrong for rare events. This is the only file that knows VW.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
import vowpal_wabbit_next as vw
from numpy.typing import NDArray
from scipy.special import expit

from engine.context import (
    ATTRIBUTE,
    BITS,
    BURDEN,
    BURDEN_LOG,
    COMMON,
    CONSTANT,
    MESSAGE,
    RESERVED,
    SLOTS,
    Singles,
    Slots,
)
from engine.decision import Floats

# Passed again on every load: a reloaded model forgets its loss and its step and learns something
# else, silently.
_OPTIONS = [
    "--quiet",
    "--loss_function=logistic",
    "--adaptive",
    "--power_t=1",
    "--learning_rate=1",
    "--noconstant",
    f"--bit_precision={BITS}",
]
_WEIGHT, _PRECISION = 0, 1
_LEAST_INFORMATION = 1e-9


@dataclass(frozen=True, slots=True)
class Prior:
    """What a head believes before its first lesson."""

    base_rate: float
    constant: float = 1.0
    """Prior precision of the constant's weight: how sure the base rate is."""
    burden: float = 1.0
    """Of the weight of the straight burden feature."""
    bend: float = 4.0
    """Of the weight of the curved one."""
    common: float = 4.0
    """Of the weights of the context alone."""
    attribute: float = 16.0
    """Of the weights of the context crossed with one message attribute."""
    message: float = 64.0
    """Of the weights of the context crossed with the message id."""

    @property
    def logit(self) -> float:
        """The base rate as a logit: the weight of the constant feature before any lesson."""
        return math.log(self.base_rate / (1.0 - self.base_rate))

    def columns(self) -> NDArray[np.float32]:
        """(SLOTS, 2) weight and precision of every slot, read-only; the weights of the first three
        are in the baseline and 0 here.
        """
        return _columns(self)

    def baseline(self) -> "Baseline":
        """Of the constant and the burden, before any lesson."""
        precision = np.array([self.constant, self.burden, self.bend])
        return Baseline(np.array([self.logit, 0.0, 0.0]), np.diag(1.0 / precision))


@lru_cache(maxsize=8)
def _columns(prior: Prior) -> NDArray[np.float32]:
    columns = np.zeros((SLOTS, 2), np.float32)
    for (first, bits), precision in (
        (COMMON, prior.common),
        (ATTRIBUTE, prior.attribute),
        (MESSAGE, prior.message),
    ):
        columns[first : first + (1 << bits), _PRECISION] = precision
    columns[BURDEN, _PRECISION] = prior.burden
    columns[BURDEN_LOG, _PRECISION] = prior.bend
    columns[CONSTANT, _PRECISION] = prior.constant
    columns.setflags(write=False)
    return columns


@dataclass(frozen=True, slots=True)
class Baseline:
    """The part of a logit that depends on nothing but the burden."""

    mean: Floats
    """(3,) weights of the constant, the burden and its bend."""
    covariance: Floats
    """(3, 3)"""

    def taught(self, features: Floats, label: int, weight: float, p: float) -> "Baseline":
        """After one lesson, forecast as `p`; `features` is (3,)."""
        information = max(p * (1.0 - p), _LEAST_INFORMATION)
        reach = self.covariance @ features
        gain = reach / (features @ reach + 1.0 / (weight * information))
        return Baseline(
            self.mean + gain * (label - p) / information,
            self.covariance - np.outer(gain, reach),
        )

    def forgot(self, kept: float, prior: "Baseline") -> "Baseline":
        """With this share of what was learned of the precisions; the weights stand."""
        before = np.linalg.inv(prior.covariance)
        precision = before + kept * (np.linalg.inv(self.covariance) - before)
        return Baseline(self.mean, np.asarray(np.linalg.inv(precision), np.float64))


@dataclass(frozen=True, slots=True)
class Learned:
    """What a head knows, as far as it differs from its prior."""

    slots: Slots
    """(n,), ascending."""
    columns: NDArray[np.float32]
    """(n, 2) their weight and precision."""
    baseline: Baseline


def untaught(prior: Prior) -> Learned:
    """What a head knows before its first lesson."""
    return Learned(np.zeros(0, np.int64), np.zeros((0, 2), np.float32), prior.baseline())


class Head:
    """One outcome's probability, learned online."""

    def __init__(self, prior: Prior) -> None:
        self.prior = prior
        self._workspace = vw.Workspace(_OPTIONS)
        self._table = self._workspace.weights()[:, 0, :2]
        self.load(untaught(prior))

    def columns(self) -> NDArray[np.float32]:
        """(SLOTS, 2) copy of weight and precision of every slot."""
        return self._table.copy()

    def load(self, learned: Learned) -> None:
        """Take over what a head had learned; all other slots go back to the prior."""
        self._table[:] = self.prior.columns()
        self._table[learned.slots] = learned.columns
        self._baseline = learned.baseline
        self._touched = np.zeros(SLOTS, np.bool_)
        self._touched[learned.slots] = True

    def learned(self) -> Learned:
        """A copy of what is known by now."""
        slots = np.flatnonzero(self._touched)
        columns = self._table[slots]
        differs = (columns != self.prior.columns()[slots]).any(axis=1)
        return Learned(slots[differs], columns[differs], self._baseline)

    def forget(self, kept: float) -> None:
        """Keep this share of what was learned of every weight's precision; its value stands.

        G = G0 + (G - G0) kept: the pull is towards the prior, so a weight that is seldom met does
        not become free to jump, and one that is often met stays able to move.
        """
        if kept < 1.0:
            self._baseline = self._baseline.forgot(kept, self.prior.baseline())
            slots = np.flatnonzero(self._touched)
            prior = self.prior.columns()[slots, _PRECISION]
            self._table[slots, _PRECISION] += (kept - 1.0) * (
                self._table[slots, _PRECISION] - prior
            )

    def logit(self, slots: Slots, values: Singles) -> float:
        """VW's own prediction, before the sigmoid; the first three features are the baseline's."""
        base = float(self._baseline.mean @ values[:RESERVED])
        # A label is demanded, and not looked at.
        example = _example(slots[RESERVED:], values[RESERVED:], base, 1, 1.0)
        return cast(float, self._workspace.predict_one(example))

    def learn(self, slots: Slots, values: Singles, label: int, weight: float) -> None:
        """One lesson: the outcome came (1) or did not (0), counted `weight` times."""
        common = values[:RESERVED].astype(np.float64)
        slots, values = slots[RESERVED:], values[RESERVED:]
        base = float(self._baseline.mean @ common)
        p = float(expit(base + self._table[slots, _WEIGHT] @ values))  # VW's, without asking it
        self._baseline = self._baseline.taught(common, label, weight, p)
        self._workspace.learn_one(_example(slots, values, base, label, weight))
        self._touched[slots] = True


def _example(slots: Slots, values: Singles, base: float, label: int, weight: float) -> vw.Example:
    # A feature of value 0 on a weight of precision 0 would make the step 0/0: NaN from then on.
    alive = values != 0
    example = vw.Example()
    example.set_label(vw.SimpleLabel(1.0 if label else -1.0, weight, base))
    example[" "].push_many_features(slots[alive].astype(np.uint64), values[alive])
    return example
