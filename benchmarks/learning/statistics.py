"""Means over seeds and paired differences between policies, with t-intervals.

Policies of one seed meet the same population and the same dice, so a difference is taken seed by
seed; its spread is far below that of either value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95% interval; infinitely wide where there is one observation."""

    mean: float
    low: float
    high: float
    n: int


def interval(values: Sequence[float]) -> Interval:
    """Of independent observations."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return Interval(mean, -np.inf, np.inf, n)
    reach = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(mean, mean - reach, mean + reach, n)


def difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Interval:
    """Ours less theirs, over the seeds that both have (seed -> value)."""
    both = sorted(set(ours) & set(theirs))
    return interval([ours[seed] - theirs[seed] for seed in both])
