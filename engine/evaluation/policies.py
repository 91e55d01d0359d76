"""Target policies to evaluate: each says how it would have acted on every logged row.

A target answers with probabilities over the same candidates the logger had. Whatever it wants of an
arm that was not a candidate stays visible as unlogged mass and is refused by the diagnostics; the
targets here therefore move such mass to abstaining themselves, as the service would.

Limit: a frequency cap counts the sends the LOG made to a user, not those the target would have
made, so it answers for one decision at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.errors import BadInput
from engine.evaluation.arrays import Mask, Matrix
from engine.evaluation.log import ABSTAIN, LoggedBatch, Prices


class TargetPolicy(Protocol):
    """Anything that can say its probabilities over the arms of a batch."""

    @property
    def name(self) -> str:
        """The name to print."""
        ...

    def pmf(self, batch: LoggedBatch, arms: tuple[str, ...]) -> Matrix:
        """(n, K) probabilities over the arms of the log, rows summing to 1."""
        ...


def candidates(batch: LoggedBatch, arms: tuple[str, ...]) -> Mask:
    """(n, K) which arms could be taken; without a record of them, every arm."""
    if batch.eligible is not None:
        return batch.eligible
    if batch.pmf is not None:
        return batch.pmf > 0.0
    return np.ones((len(batch), len(arms)), dtype=np.bool_)


def one_hot(column: np.ndarray[tuple[int], np.dtype[np.int64]], arms: int) -> Matrix:
    """(n, K) all mass on one column per row."""
    pmf = np.zeros((column.size, arms))
    pmf[np.arange(column.size), column] = 1.0
    return pmf


@dataclass(frozen=True, slots=True)
class Never:
    """Never send."""

    name: str = "never"

    def pmf(self, batch: LoggedBatch, arms: tuple[str, ...]) -> Matrix:
        """All mass on abstaining."""
        return one_hot(np.full(len(batch), ABSTAIN), len(arms))


@dataclass(frozen=True, slots=True)
class Always:
    """Always the same message, where it is a candidate."""

    message: str

    @property
    def name(self) -> str:
        """always:MESSAGE."""
        return f"always:{self.message}"

    def pmf(self, batch: LoggedBatch, arms: tuple[str, ...]) -> Matrix:
        """All mass on the message, else on abstaining."""
        if self.message not in arms:
            known = ", ".join(arms[:12])
            raise BadInput(
                f"policy {self.name!r}: the log has no such arm, expected one of {known}"
            )
        column = arms.index(self.message)
        able = candidates(batch, arms)[:, column]
        return one_hot(np.where(able, column, ABSTAIN), len(arms))


@dataclass(frozen=True, slots=True)
class Random:
    """Every candidate alike, abstaining included where the log could abstain."""

    name: str = "random"

    def pmf(self, batch: LoggedBatch, arms: tuple[str, ...]) -> Matrix:
        """Uniform over candidates."""
        able = candidates(batch, arms).astype(np.float64)
        uniform: Matrix = able / able.sum(axis=1, keepdims=True)
        return uniform


@dataclass(frozen=True, slots=True)
class Logged:
    """The policy that wrote the log."""

    name: str = "logged"

    def pmf(self, batch: LoggedBatch, arms: tuple[str, ...]) -> Matrix:
        """The logged law itself."""
        if batch.pmf is None:
            raise BadInput(
                f"policy 'logged' over {len(arms)} arms: the log does not hold the whole sampled "
                "law, expected a probability for every candidate: log it, or drop this policy"
            )
        return batch.pmf


@dataclass(frozen=True, slots=True)
class Stored:
    """A policy whose probabilities were read with the log."""

    name: str

    def pmf(self, batch: LoggedBatch, arms: tuple[str, ...]) -> Matrix:
        """The stored matrix."""
        if self.name not in batch.targets:
            known = ", ".join(batch.targets) or "none"
            raise BadInput(
                f"policy {self.name!r} over {len(arms)} arms is not stored in the log, "
                f"which has: {known}"
            )
        return batch.targets[self.name]


@dataclass(frozen=True, slots=True)
class FrequencyCap:
    """Another policy that abstains once a feature (sends so far, burden) reaches a limit."""

    inner: TargetPolicy
    feature: int  # column of LoggedBatch.features
    limit: float

    @property
    def name(self) -> str:
        """INNER capped at LIMIT."""
        return f"{self.inner.name} capped at {self.limit:g}"

    def pmf(self, batch: LoggedBatch, arms: tuple[str, ...]) -> Matrix:
        """The inner policy below the limit, abstaining from there on."""
        if batch.features is None:
            raise BadInput(f"policy {self.name!r} needs the feature column it caps, got none")
        capped = batch.features[:, self.feature] >= self.limit
        pmf = self.inner.pmf(batch, arms).copy()
        pmf[capped] = one_hot(np.full(int(capped.sum()), ABSTAIN), len(arms))
        return pmf


@dataclass(frozen=True, slots=True)
class Repriced:
    """The logged forecasts under other prices: forecasts and their worth are kept apart.

    Greedy: the candidate with the largest v (p_click - p0) - L p_unsubscribe - send cost, or
    abstain where none is above 0; p0 is 0 where the log has none. Needs `click` and `unsubscribe`
    forecasts among the stored targets, as `forecast:click` and `forecast:unsubscribe` (n, K).
    """

    prices: Prices
    patience: float = 0.0  # flat price of patience per send

    @property
    def name(self) -> str:
        """repriced:UNSUBSCRIBE COST/PATIENCE."""
        return f"repriced:{self.prices.unsubscribe:g}/{self.patience:g}"

    def pmf(self, batch: LoggedBatch, arms: tuple[str, ...]) -> Matrix:
        """All mass on the best candidate of positive net."""
        net = forecast_net(batch, self.prices, self.patience)
        net = np.where(candidates(batch, arms), net, -np.inf)
        net[:, ABSTAIN] = 0.0
        return one_hot(net.argmax(axis=1), len(arms))


def forecast_net(batch: LoggedBatch, prices: Prices, patience: float = 0.0) -> Matrix:
    """(n, K) v (p_click - p0) - L p_unsubscribe - price of patience - send cost, as forecast.

    A log without p0, the forecast of the outcome without a send, is read as if a send were needed:
    where the outcome also happens unprompted, its nets are then v p0 too large.
    """
    for name in ("forecast:click", "forecast:unsubscribe"):
        if name not in batch.targets:
            raise BadInput(
                f"the log holds no {name!r}, expected p_click and p_unsubscribe of every "
                "candidate: export the forecasts with the log"
            )
    cost = batch.send_cost if prices.send is None else np.full(len(batch), prices.send)
    worth = prices.click * batch.value
    alone = np.zeros(len(batch)) if batch.p0 is None else batch.p0
    net: Matrix = (
        worth[:, None] * (batch.targets["forecast:click"] - alone[:, None])
        - prices.unsubscribe * batch.targets["forecast:unsubscribe"]
        - (patience + cost)[:, None]
    )
    return net


@dataclass(frozen=True, slots=True)
class Computed:
    """A policy given as a function of the batch: a saved model, a VW policy, a rule."""

    name: str
    probabilities: Callable[[LoggedBatch, tuple[str, ...]], Matrix]

    def pmf(self, batch: LoggedBatch, arms: tuple[str, ...]) -> Matrix:
        """What the function answers."""
        return self.probabilities(batch, arms)
