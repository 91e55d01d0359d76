"""Silence corrects itself: what fear a bad time has taught, the good time after it takes back."""

import numpy as np

from benchmarks.learning.contestants import DEFAULT, contestants
from engine.worlds import shock
from engine.worlds.simulation import simulate

SEEDS = range(1, 7)


def test_after_twenty_days_of_twentyfold_hazard_sending_recovers() -> None:
    """Sends per user still there, last 20 days over the 20 before the shock: in twelve populations
    0.75 to 1.00, 0.83 in the mean.

    The shock costs an eighth of the users; who is left is no less patient than before.
    """
    recovered, frightened, calmly = [], 0, 0
    for seed in SEEDS:
        world = shock.world(seed, users=120)
        outcome = simulate(world, contestants()[DEFAULT].make(world, seed, ()), seed)
        there = world.n_users - np.cumsum(outcome.daily_unsubscribes)
        rate = outcome.daily_sends / there
        calm, after = shock.FIRST_DAY, shock.FIRST_DAY + shock.DAYS
        frightened += outcome.daily_unsubscribes[calm:after].sum()
        calmly += outcome.daily_unsubscribes[:calm].sum()
        recovered.append(rate[-20:].mean() / rate[calm - 20 : calm].mean())
    assert frightened > 2 * calmly
    assert min(recovered) > 0.6
    assert np.mean(recovered) > 0.7
