"""Checks that moments are averaged out: how good a moment is changes from decision to decision.

Two moment keys move the click logit with a standard deviation of 1.2. Waiting is worth more here
than anywhere else, because a better moment will come. A price of patience that takes the moment
for lasting, or leaves it out, loses to a flat cost; the expectation over moments beats both.
"""

from dataclasses import replace

from engine.worlds.population import Population
from engine.worlds.recipe import Recipe, populate

EFFECT = (0.96, -0.72)
"""Click logit per unit of each key; 0.96^2 + 0.72^2 = 1.2^2."""
RELIEF = 0.25
"""A good moment also makes leaving less likely, by this share of its effect."""


def world(seed: int = 0, users: int = 600, days: int = 120) -> Population:
    """Draw the world."""
    recipe = Recipe(
        name="momentary",
        users=users,
        days=days,
        half_life=6.0,
        click_base=-1.8,
        unsubscribe_base=-6.5,
        unsubscribe_fatigue=1.0,
    )
    return replace(
        populate(recipe, seed),
        moment_keys=("attention", "busyness"),
        moment_effect=EFFECT,
        moment_relief=RELIEF,
    )
