"""Checks that forecasts and their worth are kept apart: customers differ a hundredfold in value.

The worth of a click is log-normal with mean 1; between the 1st and the 99th percentile lie two
orders of magnitude. It is drawn independently of the context and told with each decision.
"""

from dataclasses import replace

import numpy as np

from engine.worlds import patience
from engine.worlds.population import Population

SPREAD = np.log(100.0) / (2 * 2.326)
"""Standard deviation of log value: 2.326 of them on either side hold 98% of the users."""


def world(seed: int = 0, users: int = 600, days: int = 120) -> Population:
    """Draw the world."""
    z = np.random.default_rng([seed, 1]).normal(size=users)
    values = np.exp(SPREAD * z - SPREAD**2 / 2)
    return replace(patience.world(seed, users, days), name="spread_values", values=values)
