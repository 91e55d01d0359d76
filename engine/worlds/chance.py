"""Common random numbers: every chance event of a world has its own number, whatever else happens.

The uniform of (seed, user, step, kind) is a hash of those four and of nothing else. Two policies
that do the same to the same user at the same step therefore see the same outcome, so differences
between policies are differences between policies. The hash is the finaliser of SplitMix64 (Steele,
Lea and Flood, "Fast splittable pseudorandom number generators", 2014), applied once per key; it
is a simulator's generator, not a cryptographic one.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from engine.worlds.world import Floats, Ints


class Kind(IntEnum):
    """What a number decides; one independent stream each."""

    CLICK = 1
    UNSUBSCRIBE = 2
    CLICK_DELAY = 3
    UNSUBSCRIBE_DELAY = 4
    PRESENCE = 5
    POLICY = 6
    BUDGET = 7
    MOMENT = 8
    """The first key of the moment; further keys use MOMENT + 1, MOMENT + 2, ..."""


def _mixed(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser on uint64, wrapping around as it must."""
    word = word + np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def uniforms(seed: int, users: Ints, step: int, kind: int) -> Floats:
    """Uniform numbers in (0, 1), one per user. Shape: users (n,) -> (n,)."""
    word = _mixed(np.array([seed], dtype=np.uint64))
    word = _mixed(word ^ np.uint64(step))
    word = _mixed(word ^ np.uint64(kind))
    word = _mixed(word ^ users.astype(np.uint64))
    return ((word >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(seed: int, users: Ints, step: int, kind: int) -> Floats:
    """Standard normal numbers, one per user. Shape: users (n,) -> (n,)."""
    drawn: Floats = ndtri(uniforms(seed, users, step, kind))
    return drawn
