"""Silence corrects itself: what fear a bad time has taught, the good time after it takes back."""

import numpy as np
import pytest

from benchmarks.learning.contestants import DEFAULT, contestants
from engine.worlds import shock
from engine.worlds.simulation import simulate


@pytest.mark.parametrize("seed", [1, 2])
def test_after_twenty_days_of_twentyfold_hazard_sending_recovers(seed: int) -> None:
    """Sends per user still there, last 20 days over the 20 before the shock: 0.8 to 0.9 seen.

    The shock costs a tenth of the users; who is left is no less patient than before.
    """
    world = shock.world(seed, users=120)
    outcome = simulate(world, contestants()[DEFAULT].make(world, seed, ()), seed)
    there = world.n_users - np.cumsum(outcome.daily_unsubscribes)
    rate = outcome.daily_sends / there
    calm, after = shock.FIRST_DAY, shock.FIRST_DAY + shock.DAYS
    assert (
        outcome.daily_unsubscribes[calm:after].sum() > 2 * outcome.daily_unsubscribes[:calm].sum()
    )
    assert rate[-20:].mean() > 0.6 * rate[calm - 20 : calm].mean()
