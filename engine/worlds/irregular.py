"""Checks that time counts, not decisions: four moments a day at uneven hours, users come and go.

Each day has four decision times between 8 and 22 o'clock, other ones every day, from minutes to
half a day apart; each user is there for between a tenth and nine tenths of them. Whoever takes
decisions for days misjudges both burden and the wait until the next chance.
"""

from dataclasses import replace

import numpy as np

from engine.worlds.population import Population
from engine.worlds.recipe import Recipe, populate
from engine.worlds.world import Floats

PER_DAY = 4


def decision_times(days: int, rng: np.random.Generator) -> Floats:
    """Days at which decisions are made: (days * PER_DAY,), increasing."""
    hours = np.sort(rng.uniform(8.0, 22.0, size=(days, PER_DAY)), axis=1)
    return (np.arange(days)[:, None] + hours / 24.0).ravel()


def world(seed: int = 0, users: int = 600, days: int = 120) -> Population:
    """Draw the world."""
    rng = np.random.default_rng([seed, 1])
    return replace(
        populate(Recipe(name="irregular", users=users, days=days), seed),
        times=decision_times(days, rng),
        presence=rng.uniform(0.1, 0.9, size=users),
        regimes=np.zeros(days * PER_DAY, dtype=np.int64),
    )
