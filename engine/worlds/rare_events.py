"""Checks rare events: rates as in a real log of 708 million messages of one shop (REES46).

Click 1.1% and unsubscribe 0.22% per message, half of the users never open anything. The rates are
met exactly in expectation at the exposure of that log, 3.1 messages in seven days, each message
equally likely. How fatigue acts could not be read from that log (active users got more messages
and the readiest to leave were gone early) and is assumed: mild. Who has opened before is known,
but one opener in seven has not yet shown it.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from engine.worlds.population import Population
from engine.worlds.recipe import Recipe, populate
from engine.worlds.world import Bools, Floats

CLICK_RATE, UNSUBSCRIBE_RATE = 0.0110, 0.0022
SENDS_PER_DAY = 3.1 / 7
OPENERS, SHOWN = 0.5, 0.85
NEVER = -14.0
"""Click logit of those who never open: one click in a million sends."""


def world(seed: int = 0, users: int = 3000, days: int = 120) -> Population:
    """Draw the world."""
    recipe = Recipe(
        name="rare_events",
        users=users,
        days=days,
        click_fatigue=0.15,
        unsubscribe_fatigue=0.2,
        unsubscribe_spread=0.8,
        taste_spread=0.5,
    )
    rng = np.random.default_rng([seed, 1])
    drawn = populate(recipe, seed)
    opens = rng.random(users) < OPENERS
    known = opens & (rng.random(users) < SHOWN)
    drawn = replace(drawn, lasting=drawn.lasting | {"has_opened": known})
    drawn = _shifted_clicks(drawn, opens)
    return _shifted_unsubscribes(drawn)


def reference_burden(population: Population) -> float:
    """Mean burden, in the long run, where a send is made on each day with that probability."""
    keep = float(2.0 ** (-1.0 / population.half_life))
    return SENDS_PER_DAY * keep / (1.0 - keep)


def _shifted_clicks(population: Population, opens: Bools) -> Population:
    logits = population.click_logit
    tired = logits - population.click_fatigue[:, None] * reference_burden(population)

    def rate(shift: float) -> float:
        return float(np.where(opens[:, None], expit(tired + shift), expit(NEVER)).mean())

    shifted = np.where(opens[:, None], logits + _solved(rate, CLICK_RATE), NEVER)
    return replace(population, click_logit=shifted)


def _shifted_unsubscribes(population: Population) -> Population:
    logits: Floats = population.unsubscribe_logit
    tired = logits + population.unsubscribe_fatigue[:, None] * reference_burden(population)

    def rate(shift: float) -> float:
        return float(expit(tired + shift).mean())

    return replace(population, unsubscribe_logit=logits + _solved(rate, UNSUBSCRIBE_RATE))


def _solved(rate: Callable[[float], float], target: float) -> float:
    """The shift of all logits at which the mean rate is the target."""
    return float(brentq(lambda shift: rate(shift) - target, -30.0, 30.0))
