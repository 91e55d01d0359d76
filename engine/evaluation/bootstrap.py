"""A Poisson bootstrap by user: a cross-check of the other intervals, never the headline.

With a few hundred events almost every user has none, so only users WITH an event are resampled one
by one; all others enter through the normal law of their weight sum, which is what a Poisson
resample of many small terms is. Thousands of resamples of a million rows take well under a second.
Limit: percentile intervals of rare events under-cover, as measured in `benchmarks/coverage`.
"""

import numpy as np

from engine.evaluation.arrays import Ids, Vector
from engine.evaluation.intervals import Interval


def bootstrap_snips(
    user: Ids,
    w: Vector,
    r: Vector,
    rng: np.random.Generator,
    resamples: int = 1000,
    alpha: float = 0.05,
) -> Interval:
    """Percentile interval of SNIPS; the ratio is recomputed in every resample."""
    numerator, denominator = _resampled_sums(user, w, w * r, rng, resamples)
    return _percentiles(numerator / denominator, alpha)


def bootstrap_ips(
    user: Ids,
    w: Vector,
    r: Vector,
    rng: np.random.Generator,
    resamples: int = 1000,
    alpha: float = 0.05,
) -> Interval:
    """Percentile interval of IPS, each resample divided by its own number of rows."""
    numerator, rows = _resampled_sums(user, np.ones_like(w), w * r, rng, resamples)
    return _percentiles(numerator / rows, alpha)


def _resampled_sums(
    user: Ids, base: Vector, event: Vector, rng: np.random.Generator, resamples: int
) -> tuple[Vector, Vector]:
    """Sums of `event` and of `base` in each Poisson resample of users, both (resamples,)."""
    _, place = np.unique(user, return_inverse=True)
    by_user_event, by_user_base = np.bincount(place, event), np.bincount(place, base)
    hit = by_user_event != 0.0
    copies = rng.poisson(1.0, (resamples, int(hit.sum()))).astype(np.float64)
    quiet = by_user_base[~hit]
    rest = quiet.sum() + np.sqrt(quiet @ quiet) * rng.standard_normal(resamples)
    return copies @ by_user_event[hit], copies @ by_user_base[hit] + rest


def _percentiles(values: Vector, alpha: float) -> Interval:
    low, high = np.quantile(values, (alpha / 2.0, 1.0 - alpha / 2.0))
    return Interval(float(low), float(high))
