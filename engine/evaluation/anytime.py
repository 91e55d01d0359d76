"""A lower bound that stays valid however often it is looked at: for monitoring and for gates.

Empirical-Bernstein betting bound with predictable bets (Waudby-Smith & Ramdas 2024; off-policy
form Waudby-Smith et al. 2022). Valid under a logger that adapts, because each bet uses only the
past, and needs no largest weight on this side. Limit: for clicks it says little below a million
rows.
"""

from math import log

import numpy as np

from engine.errors import BadInput
from engine.evaluation.arrays import Vector

BET_CAP = 0.5


def anytime_lower_bound(z: Vector, alpha: float = 0.05, fixed_n: bool = False) -> Vector:
    """Running lower bound (n,) on the mean of z, valid at all times at once with chance 1 - alpha.

    z (n,) >= 0 in the order of logging, with means in [0, 1]: w r for an outcome in [0, 1].
    `fixed_n` tunes the bets for one look at the end. For the upper side of a bounded z use
    1 - bound(1 - z); for two sides give alpha / 2 to each.
    """
    if not np.all(z >= 0.0):
        row = int(np.argmin(z >= 0.0))
        raise BadInput(
            f"score of row {row} is {z[row]}, expected a number >= 0: scale the outcome to [0, 1]"
        )
    t = np.arange(1, z.size + 1, dtype=np.float64)
    mean_before = _before(np.minimum(1.0, np.cumsum(z) / t), 0.0)
    bets = np.minimum(BET_CAP, _bet_size(z, t, alpha, fixed_n))
    penalty = (z - mean_before) ** 2 * (-np.log1p(-bets) - bets)
    bound = (np.cumsum(bets * z) - log(1.0 / alpha) - np.cumsum(penalty)) / np.cumsum(bets)
    running: Vector = np.maximum.accumulate(np.maximum(bound, 0.0))
    return running


def _bet_size(z: Vector, t: Vector, alpha: float, fixed_n: bool) -> Vector:
    """sqrt(2 ln(1/alpha) / (s2_{t-1} t ln(1+t))), with n in place of t ln(1+t) for one look."""
    guess = np.minimum(1.0, (0.5 + np.cumsum(z)) / (t + 1.0))
    variance = (0.25 + np.cumsum((z - guess) ** 2)) / (t + 1.0)
    horizon = np.full_like(t, t.size) if fixed_n else t * np.log1p(t)
    bet: Vector = np.sqrt(2.0 * log(1.0 / alpha) / (_before(variance, 0.25) * horizon))
    return bet


def _before(values: Vector, first: float) -> Vector:
    """The value known before each row: shifted by one, so that no bet sees its own outcome."""
    return np.concatenate(([first], values[:-1]))
