"""Calibration of abstaining: of the decisions held back at predicted harm h, what did sends show.

A decision is held back when its best candidate's predicted net is -h < 0. Where the logger drew
that candidate anyway, by exploration, its realised utility is a randomised answer to "was holding
back right?". Each bin of h reports the inverse-propensity mean of that utility, less that of
silence, which is 0 unless outcomes also happen unprompted; a calibrated model shows about -h.
Limit: it needs forecasts in the log and exploration into harmful sends, which is rare on purpose,
so the errors are wide and the rows behind each bin are printed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from engine.evaluation.arrays import Matrix, Vector
from engine.evaluation.estimators import places
from engine.evaluation.log import ABSTAIN, LoggedBatch, Prices, realised_utility
from engine.evaluation.policies import candidates, forecast_net

BINS = 6


@dataclass(frozen=True, slots=True)
class HeldBack:
    """One bin of predicted harm: mean predicted net, IPS mean of what sending adds, its error."""

    lowest_harm: float
    rows: int
    sends: int
    predicted: float
    shown: float
    se: float


def held_back(
    batches: Iterable[LoggedBatch],
    arms: tuple[str, ...],
    prices: Prices,
    patience: float = 0.0,
) -> list[HeldBack]:
    """Bins of equal size by the harm seen in the first chunk; empty without held-back rows."""
    edges: Vector | None = None
    sums: Matrix = np.zeros((BINS, 5))  # rows, sends, predicted net, score, score^2
    for batch in batches:
        harm, sent, scores = _harm_and_scores(batch, arms, prices, patience)
        if not harm.size:
            continue
        if edges is None:
            edges = np.concatenate(([0.0], np.quantile(harm, np.linspace(0, 1, BINS + 1)[1:-1])))
        place = np.searchsorted(edges, harm, side="right") - 1
        columns = (np.ones_like(harm), sent, -harm, scores, scores**2)
        sums += np.stack([np.bincount(place, column, BINS) for column in columns], axis=1)
    return [] if edges is None else [_bin(float(e), *s) for e, s in zip(edges, sums, strict=True)]


def _harm_and_scores(
    batch: LoggedBatch, arms: tuple[str, ...], prices: Prices, patience: float
) -> tuple[Vector, Vector, Vector]:
    """Of the held-back rows the predicted harm, whether their best candidate was sent (1 or 0), and
    what weighs as the utility of sending it, less that of silence.
    """
    net = np.where(candidates(batch, arms), forecast_net(batch, prices, patience), -np.inf)
    net[:, ABSTAIN] = -np.inf
    best = net.argmax(axis=1)
    harm = -net.take(places(best, net.shape[1]))
    held = (harm > 0.0) & np.isfinite(harm)
    sent = (batch.action == best).astype(np.float64)
    score = (sent - ~batch.sent) / batch.propensity * realised_utility(batch, prices)
    return harm[held], sent[held], score[held]


def _bin(
    edge: float, rows: float, sends: float, net: float, score: float, square: float
) -> HeldBack:
    if rows < 2:
        return HeldBack(edge, int(rows), int(sends), float("nan"), float("nan"), float("inf"))
    shown = score / rows
    se = float(np.sqrt(max(0.0, square / rows - shown**2) / (rows - 1.0)))
    return HeldBack(edge, int(rows), int(sends), net / rows, shown, se)
