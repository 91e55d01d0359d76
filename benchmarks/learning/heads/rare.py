"""Does a head stay unbiased at rare events? Predicted over true chances, millions of rows on.

Rows are drawn in chunks: ten standard normal features and the constant, logit -6.5 at the mean,
chances of 0.002 in the mean. A step that is approximate when it is small (VW's `--invariant`, in
its defaults) drifts here; the shipped head must not.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from scipy.special import expit

from benchmarks.learning.heads.learners import Learner
from engine.context import CONSTANT, RESERVED

FEATURES = 10
SPREAD, MIDDLE = 0.8, -6.53
"""Of the true logit: the mean of the sigmoid is 0.002."""
CHUNK = 50_000
ASKED = 10
"""Every so many rows the forecast is asked for."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A head's forecasts against the truth, over the rows up to `rows` since the last entry."""

    rows: int
    ratio: float
    """Sum of predicted chances / sum of true chances."""
    seconds: float
    """Since the first row."""


def watched(learner: Learner, rows: int, seed: int) -> list[Watch]:
    """Teach so many rows; one entry per tenth of them."""
    rng = np.random.default_rng([seed, 4])
    effect = rng.normal(size=FEATURES)
    effect *= SPREAD / np.linalg.norm(effect)
    slots = np.array([*range(RESERVED), *(1000 + 7 * i for i in range(FEATURES))])
    entries: list[Watch] = []
    predicted, true, done, started = 0.0, 0.0, 0, perf_counter()
    while done < rows:
        size = min(CHUNK, rows - done)
        x = np.zeros((size, RESERVED + FEATURES), dtype=np.float32)  # nobody carries a burden
        x[:, CONSTANT] = 1.0
        x[:, RESERVED:] = rng.normal(size=(size, FEATURES)) / np.sqrt(FEATURES)
        chance = expit(MIDDLE + x[:, RESERVED:] @ effect * np.sqrt(FEATURES))
        labels = (rng.random(size) < chance).astype(int).tolist()
        for i, (row, label) in enumerate(zip(x, labels, strict=True)):
            if i % ASKED == 0:
                predicted += float(expit(learner.logit(slots, row)))
                true += float(chance[i])
            learner.learn(slots, row, label, 1.0)
        done += size
        if done * 10 // rows > len(entries):
            entries.append(Watch(done, predicted / true, perf_counter() - started))
            predicted = true = 0.0
    return entries
