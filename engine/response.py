"""The response heads: Vowpal Wabbit as an online Bayesian logistic regression.

With `--adaptive --power_t 1 -l 1` one step is g / sum(g^2): a diagonal natural gradient. Presetting
the sum presets the prior precision of a weight; the preset weight of the constant feature is the
prior base rate; and since E[g^2] is the Fisher information of the logistic loss, 1 / sum is an
approximate posterior variance. VW's own table thus holds a mean and an uncertainty per weight.
An importance weight counts like that many copies, in the mean and in the precision.

Limits: correlations between weights are not kept, so the variance is too wide by half or so; never
`--invariant`, whose step is wrong for rare events. This is the only file that knows VW.
"""

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import vowpal_wabbit_next as vw
from numpy.typing import NDArray

from engine.context import ATTRIBUTE, BITS, COMMON, CONSTANT, MESSAGE, SLOTS, Singles, Slots

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


@dataclass(frozen=True, slots=True)
class Prior:
    """What a head believes before its first lesson."""

    base_rate: float
    common: float = 10.0
    """Prior precision of weights of the context alone; likewise for the other two blocks."""
    attribute: float = 10.0
    message: float = 10.0

    @property
    def logit(self) -> float:
        """The base rate as a logit: the weight of the constant feature."""
        return math.log(self.base_rate / (1.0 - self.base_rate))

    def columns(self) -> NDArray[np.float32]:
        """(SLOTS, 2) weight and precision of every slot."""
        columns = np.zeros((SLOTS, 2), np.float32)
        for (first, bits), precision in (
            (COMMON, self.common),
            (ATTRIBUTE, self.attribute),
            (MESSAGE, self.message),
        ):
            columns[first : first + (1 << bits), _PRECISION] = precision
        columns[CONSTANT, _WEIGHT] = self.logit
        return columns


class Head:
    """One outcome's probability, learned online."""

    def __init__(self, prior: Prior) -> None:
        self.prior = prior
        self._workspace = vw.Workspace(_OPTIONS)
        self._table()[:] = prior.columns()

    def _table(self) -> NDArray[np.float32]:
        return self._workspace.weights()[:, 0, :2]

    def columns(self) -> NDArray[np.float32]:
        """(SLOTS, 2) copy of weight and precision of every slot."""
        return self._table().copy()

    def load(self, slots: Slots, columns: NDArray[np.float32]) -> None:
        """Take over these slots' (weight, precision); all others go back to the prior."""
        table = self._table()
        table[:] = self.prior.columns()
        table[slots] = columns

    def changed(self) -> tuple[Slots, NDArray[np.float32]]:
        """The slots that differ from the prior, with their (weight, precision)."""
        table = self._table()
        slots = np.flatnonzero((table != self.prior.columns()).any(axis=1))
        return slots, table[slots].copy()

    def logit(self, slots: Slots, values: Singles) -> float:
        """VW's own prediction, before the sigmoid."""
        # A label is demanded, and not looked at.
        return cast(float, self._workspace.predict_one(_example(slots, values, 1, 1.0)))

    def learn(self, slots: Slots, values: Singles, label: int, weight: float) -> None:
        """One lesson: the outcome came (1) or did not (0), counted `weight` times."""
        self._workspace.learn_one(_example(slots, values, label, weight))


def _example(slots: Slots, values: Singles, label: int, weight: float) -> vw.Example:
    # A feature of value 0 on a weight of precision 0 would make the step 0/0: NaN from then on.
    alive = values != 0
    example = vw.Example()
    example.set_label(vw.SimpleLabel(1.0 if label else -1.0, weight))
    example[" "].push_many_features(slots[alive].astype(np.uint64), values[alive])
    return example
