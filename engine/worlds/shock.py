"""Checks that silence corrects itself: for twenty days everybody is twenty times as ready to leave.

Then all is as before. A policy that has learned fear must find out; one that stays silent for good
never will. The optimum knows when the shock begins and ends.
"""

from dataclasses import replace

import numpy as np

from engine.worlds import patience
from engine.worlds.population import Population

FIRST_DAY, DAYS, FACTOR = 40, 20, 20.0


def world(seed: int = 0, users: int = 600, days: int = 120) -> Population:
    """Draw the world: regime 1 is the shock, a factor on the odds (as good as on the chance)."""
    calm = patience.world(seed, users, days)
    day = np.arange(days)
    shift = np.array([0.0, np.log(FACTOR)])[:, None, None]
    return replace(
        calm,
        name="shock",
        click_logit=np.repeat(calm.click_logit, 2, axis=0),
        unsubscribe_logit=calm.unsubscribe_logit + shift,
        availability=np.repeat(calm.availability, 2, axis=0),
        regimes=((day >= FIRST_DAY) & (day < FIRST_DAY + DAYS)).astype(np.int64),
    )
