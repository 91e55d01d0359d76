"""Learners of one outcome: the shipped head, Vowpal Wabbit otherwise configured, and the reference.

The reference is an extended Kalman filter on the logit with the full covariance of all weights,
O(d^2) a row: what the diagonal head approximates.

    K = P x / (x' P x + 1 / (p (1 - p))),   w += K (y - p) / (p (1 - p)),   P -= K (P x)'

All see the same features and, but for VW's defaults, start from the same base rate.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, TypeAlias, cast

import numpy as np
import vowpal_wabbit_next as vw

from engine.context import ATTRIBUTE, BITS, CONSTANT, SLOTS, Singles, Slots
from engine.decision import Floats
from engine.learning import Priors
from engine.outcome import HeadName
from engine.response import Head, Prior


class Learner(Protocol):
    """One outcome's probability, learned online."""

    def logit(self, slots: Slots, values: Singles) -> float:
        """The forecast."""

    def learn(self, slots: Slots, values: Singles, label: int, weight: float) -> None:
        """One outcome."""


Make: TypeAlias = Callable[[HeadName], Learner]

SHIPPED: Final = "shipped"
REFERENCE: Final = "full covariance"


class Vw:
    """VW with these options; where given, the base rate and every weight's accumulator preset."""

    def __init__(
        self, options: Sequence[str], base: Prior | None = None, accumulator: float = 0.0
    ) -> None:
        fixed = ["--quiet", "--noconstant", "--loss_function=logistic", f"--bit_precision={BITS}"]
        self._workspace = vw.Workspace([*fixed, *options])
        if base is not None:
            self._workspace.weights()[:, 0, 1] = accumulator
            self._workspace.weights()[CONSTANT, 0, 0] = base.logit

    def logit(self, slots: Slots, values: Singles) -> float:
        """VW's prediction, before the sigmoid."""
        return cast("float", self._workspace.predict_one(_example(slots, values, 1)))

    def learn(self, slots: Slots, values: Singles, label: int, weight: float) -> None:
        """One example."""
        self._workspace.learn_one(_example(slots, values, label, weight))


def _example(slots: Slots, values: Singles, label: int, weight: float = 1.0) -> vw.Example:
    alive = values != 0
    example = vw.Example()
    example.set_label(vw.SimpleLabel(1.0 if label else -1.0, weight))
    numbers: Any = slots[alive].astype(np.uint64)
    example[" "].push_many_features(numbers, values[alive])
    return example


class FullCovariance:
    """The filter; weights get a place when they are first seen."""

    def __init__(self, prior: Prior, room: int = 1500) -> None:
        self._prior, self._constant = prior.columns(), prior.logit
        self._place = np.full(SLOTS, -1, dtype=np.int64)
        self._used = 0
        self._weights, self._covariance = np.zeros(room), np.zeros((room, room))

    def logit(self, slots: Slots, values: Singles) -> float:
        """At the mean."""
        return float(self._weights[self._places(slots)] @ values)

    def learn(self, slots: Slots, values: Singles, label: int, weight: float) -> None:
        """One outcome; only weight 1 is needed here."""
        del weight
        x, size = self._dense(slots, values), self._used
        covariance = self._covariance[:size, :size]
        p = 1.0 / (1.0 + np.exp(-float(self._weights[:size] @ x)))
        information = max(p * (1.0 - p), 1e-9)
        reach = covariance @ x
        step = reach / (float(x @ reach) + 1.0 / information)
        self._weights[:size] += step * (label - p) / information
        covariance -= np.outer(step, reach)

    def _places(self, slots: Slots) -> Slots:
        for slot in slots[self._place[slots] < 0].tolist():
            if self._place[slot] < 0:
                at, self._used = self._used, self._used + 1
                self._place[slot] = at
                self._weights[at] = self._constant if slot == CONSTANT else self._prior[slot, 0]
                self._covariance[at, at] = 1.0 / self._prior[slot, 1]
        return self._place[slots]

    def _dense(self, slots: Slots, values: Singles) -> Floats:
        places = self._places(slots)
        x = np.zeros(self._used)
        np.add.at(x, places, values)
        return x


class _Unscaled:
    """A head whose attributes are each 1 again, as if they did not share one unit of length."""

    def __init__(self, prior: Prior, attributes: int) -> None:
        self._head, self._factor = Head(prior), np.float32(np.sqrt(attributes))

    def logit(self, slots: Slots, values: Singles) -> float:
        """The forecast."""
        return self._head.logit(slots, self._stretched(slots, values))

    def learn(self, slots: Slots, values: Singles, label: int, weight: float) -> None:
        """One outcome."""
        self._head.learn(slots, self._stretched(slots, values), label, weight)

    def _stretched(self, slots: Slots, values: Singles) -> Singles:
        first, bits = ATTRIBUTE
        inside = (slots >= first) & (slots < first + (1 << bits))
        return np.where(inside, values * self._factor, values)


def unscaled(head: HeadName, attributes: int) -> Learner:
    """The shipped head, had the attributes of a message not been scaled."""
    return _Unscaled(shipped(head), attributes)


def shipped(head: HeadName) -> Prior:
    """The prior that ships."""
    return Priors().click if head == "click" else Priors().unsubscribe


def filters() -> dict[str, Make]:
    """The reference, and the same with other precisions."""
    return {
        REFERENCE: lambda head: FullCovariance(shipped(head)),
        "full covariance 10/10/10": lambda head: FullCovariance(
            replace(shipped(head), common=10.0, attribute=10.0, message=10.0)
        ),
    }


def learners() -> dict[str, Make]:
    """VW in all its forms, ours first."""
    scaled = {
        f"blocks {common:g}/{attribute:g}/{message:g}": _blocks(common, attribute, message)
        for common, attribute, message in (
            *((1.0, 1.0, 1.0), (4.0, 4.0, 4.0), (10.0, 10.0, 10.0), (30.0, 30.0, 30.0)),
            *((4.0, 12.0, 32.0), (2.0, 8.0, 32.0), (10.0, 40.0, 160.0)),
        )
    }
    return {
        SHIPPED: lambda head: Head(shipped(head)),
        **scaled,
        "vw defaults": lambda _head: Vw([]),
        "vw defaults, -l 0.1": lambda _head: Vw(["--learning_rate=0.1"]),
        "vw defaults, -l 2": lambda _head: Vw(["--learning_rate=2"]),
        "vw defaults, base rate": lambda head: Vw([], shipped(head)),
        "vw defaults, base rate, accumulator 10": lambda head: Vw([], shipped(head), 10.0),
        "vw ftrl": lambda head: Vw(["--ftrl"], shipped(head)),
        "vw coin": lambda head: Vw(["--coin"], shipped(head)),
    }


def _blocks(common: float, attribute: float, message: float) -> Make:
    return lambda head: Head(
        replace(shipped(head), common=common, attribute=attribute, message=message)
    )
