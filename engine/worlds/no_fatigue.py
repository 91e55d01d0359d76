"""Checks that a patience model does no harm where there is no patience to spend.

Burden changes neither clicks nor unsubscribes. Some users are likely to leave all the same, so
silence still pays for them; but holding back for tomorrow's sake never does.
"""

from engine.worlds.population import Population
from engine.worlds.recipe import Recipe, populate


def world(seed: int = 0, users: int = 600, days: int = 120) -> Population:
    """Draw the world."""
    recipe = Recipe(
        name="no_fatigue", users=users, days=days, click_fatigue=0.0, unsubscribe_fatigue=0.0
    )
    return populate(recipe, seed)
