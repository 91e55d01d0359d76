"""Checks that a patience model does no harm where there is no patience to spend.

Burden changes neither clicks nor unsubscribes. Users do leave, but not the sooner for being sent
to more often within a week: holding back only postpones, and always sending is all but optimal.
"""

from engine.worlds.population import Population
from engine.worlds.recipe import Recipe, populate


def world(seed: int = 0, users: int = 600, days: int = 120) -> Population:
    """Draw the world."""
    recipe = Recipe(
        name="no_fatigue",
        users=users,
        days=days,
        click_base=-2.0,
        click_fatigue=0.0,
        unsubscribe_base=-6.5,
        unsubscribe_fatigue=0.0,
    )
    return populate(recipe, seed)
