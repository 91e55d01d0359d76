"""A decision log as columns: the one form every reader gives and every computation takes.

A `Log` names its arms (column 0 is always `abstain`, also where the log has none) and can be read
again and again in `LoggedBatch` chunks, so that memory stays at one chunk. Every row is one
decision with its outcomes, abstentions included: a log of sends alone cannot be evaluated.

The abstain reward has no column here on purpose: the model pays it to itself, so no estimate may
ever see it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import Any

import numpy as np

from engine.errors import BadInput
from engine.evaluation.arrays import AnyArray, Ids, Ints, Mask, Matrix, Vector

OUTCOMES = ("click", "unsubscribe", "conversion")
ABSTAIN = 0  # column of the arm that sends nothing
CHUNK_ROWS = 65_536
PMF_MATCH = 1e-6  # relative; float32 storage rounds by 6e-8


@dataclass(frozen=True, slots=True)
class LoggedBatch:
    """Some rows of a log. n rows, K arms, d features; optional parts are None when not logged."""

    row_id: Ids  # (n,) stable 64-bit id of the decision
    user: Ids  # (n,) stable 64-bit id of the user
    time: Vector  # (n,) seconds
    action: Ints  # (n,) column of the arm taken, 0 = abstain
    propensity: Vector  # (n,) probability of `action` under the law that was sampled
    outcomes: Mapping[str, Vector]  # (n,) click (0/1), unsubscribe (share), conversion
    value: Vector  # (n,) worth of one click of this user
    send_cost: Vector  # (n,) cost of one send
    pmf: Matrix | None = None  # (n, K) the whole logged law, 0 where not a candidate
    eligible: Mask | None = None  # (n, K) which arms were candidates
    features: Matrix | None = None  # (n, d) context known at the decision
    targets: Mapping[str, Matrix] = field(default_factory=dict)  # (n, K) stored target policies
    p0: Vector | None = None  # (n,) forecast of a click's outcome without a send

    def __len__(self) -> int:
        return self.action.size

    @property
    def sent(self) -> Mask:
        """(n,) whether a message went out."""
        sent: Mask = self.action != ABSTAIN
        return sent

    def take(self, rows: AnyArray | slice) -> "LoggedBatch":
        """The batch restricted to some rows (mask, indices or slice)."""
        picked = {item.name: _take(getattr(self, item.name), rows) for item in fields(self)}
        return replace(self, **picked)

    def closed_before(self, now: float, window: float) -> "LoggedBatch":
        """Rows whose attribution window has closed; younger ones go whole, weight and outcome."""
        return self.take(self.time < now - window)


def _take(column: Any, rows: AnyArray | slice) -> Any:
    if isinstance(column, Mapping):
        return {name: inner[rows] for name, inner in column.items()}
    return column[rows] if isinstance(column, np.ndarray) else column


def concatenate(batches: list[LoggedBatch]) -> LoggedBatch:
    """One batch from several with the same optional parts."""
    first = batches[0]
    joined = {item.name: _join([getattr(b, item.name) for b in batches]) for item in fields(first)}
    return replace(first, **joined)


def _join(columns: list[Any]) -> Any:
    first = columns[0]
    if isinstance(first, Mapping):
        return {name: np.concatenate([c[name] for c in columns]) for name in first}
    return np.concatenate(columns) if isinstance(first, np.ndarray) else first


@dataclass(frozen=True, slots=True)
class Log:
    """A named log, readable again and again in chunks, and what is known of how it was made."""

    name: str
    arms: tuple[str, ...]  # arms[0] is the abstain arm
    read: Callable[[int], Iterator[LoggedBatch]]  # rows per chunk -> chunks, same order every time
    randomised: bool = True  # False: observational, no policy value can come from it
    adaptive: bool = False  # the logger learned while it logged
    named_users: bool = True  # False: every row is a user of its own, nothing to cluster by
    feature_names: tuple[str, ...] = ()
    unprompted: frozenset[str] = frozenset()  # outcomes that also happen without a send
    notes: tuple[str, ...] = ()  # what a reader of the results should know of the rows

    def batches(self, rows: int = CHUNK_ROWS) -> Iterator[LoggedBatch]:
        """Checked chunks; the first bad row ends the reading with one sentence."""
        start = 0
        for batch in self.read(rows):
            check_batch(batch, self.arms, start)
            yield batch
            start += len(batch)
        if start == 0:
            raise BadInput(f"log {self.name!r} has no rows: give a log with at least one decision")


def log_in_memory(name: str, arms: tuple[str, ...], batch: LoggedBatch, **facts: Any) -> Log:
    """A log over one batch that is already in memory; `facts` are the other fields of `Log`."""
    check_unique(batch.row_id)

    def read(rows: int) -> Iterator[LoggedBatch]:
        for start in range(0, len(batch), rows):
            yield batch.take(slice(start, start + rows))

    return Log(name, arms, read, **facts)


# -- checks


def check_batch(batch: LoggedBatch, arms: tuple[str, ...], start: int = 0) -> None:
    """Refuse the first row that cannot be evaluated, saying row, column and remedy."""
    p = batch.propensity
    _refuse_first(~np.isfinite(p), p, start, "propensity", "log the probability of every decision")
    _refuse_first(
        ~((p > 0.0) & (p <= 1.0)),
        p,
        start,
        "propensity",
        "expected 0 < p <= 1, log the probability that the recorded arm was drawn with, unrounded",
    )
    columns = {**batch.outcomes, "value": batch.value, "send_cost": batch.send_cost}
    for name, column in columns.items():
        _refuse_first(~np.isfinite(column), column, start, name, "expected a number, drop or fill")
    outside = (batch.action < 0) | (batch.action >= len(arms))
    _refuse_first(outside, batch.action, start, "action", f"expected a column 0..{len(arms) - 1}")
    if batch.pmf is not None:
        _check_pmf(batch.pmf, batch, start)


def _check_pmf(pmf: Matrix, batch: LoggedBatch, start: int) -> None:
    total = pmf.sum(axis=1)
    _refuse_first(
        ~(np.abs(total - 1.0) <= PMF_MATCH) | (pmf < 0.0).any(axis=1),
        total,
        start,
        "sum of candidate propensities",
        "expected probabilities that sum to 1, log the whole law that was sampled",
    )
    drawn = pmf[np.arange(len(batch)), batch.action]
    _refuse_first(
        ~(np.abs(drawn - batch.propensity) <= PMF_MATCH * drawn),
        batch.propensity,
        start,
        "propensity",
        "expected the candidate propensity of the recorded action, log the arm that was really "
        "used (after fallbacks and filters) with its own probability, not the best arm's",
    )


def check_unique(row_id: Ids) -> None:
    """Refuse a decision that appears twice (a join with several outcomes does that)."""
    order = np.argsort(row_id, kind="stable")
    again = order[1:][row_id[order][1:] == row_id[order][:-1]]
    if again.size:
        row = int(again.min())
        raise BadInput(
            f"row {row}, column decision_id: this decision id appeared before, expected each "
            "decision once: join its outcomes into one row"
        )


def _refuse_first(bad: Mask, column: AnyArray, start: int, name: str, remedy: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise BadInput(f"row {start + row}, column {name}: got {column[row]}, {remedy}")


# -- outcomes


@dataclass(frozen=True, slots=True)
class Prices:
    """What outcomes are worth, in one unit. send = None takes each row's own send cost."""

    click: float = 1.0
    unsubscribe: float = 0.0
    send: float | None = None

    def __post_init__(self) -> None:
        worths = {"a click": self.click, "an unsubscribe": self.unsubscribe, "a send": self.send}
        for name, worth in worths.items():
            if worth is not None and not isfinite(worth):
                raise BadInput(f"the worth of {name} is {worth}; expected a number: correct it")


def outcome(batch: LoggedBatch, name: str, prices: Prices) -> Vector:
    """The outcome column `name`, (n,); `utility` is the realised one, computed from the others."""
    if name == "utility":
        return realised_utility(batch, prices)
    if name not in batch.outcomes:
        known = ", ".join([*batch.outcomes, "utility"])
        raise BadInput(f"the log has no outcome {name!r}, expected one of {known}")
    return batch.outcomes[name]


def realised_utility(batch: LoggedBatch, prices: Prices) -> Vector:
    """Click worth - unsubscribe cost - send cost, as observed, (n,)."""
    send_cost = batch.send_cost if prices.send is None else prices.send
    earned = prices.click * batch.value * batch.outcomes.get("click", 0.0)
    lost = prices.unsubscribe * batch.outcomes.get("unsubscribe", 0.0) + send_cost * batch.sent
    utility: Vector = earned - lost
    return utility
