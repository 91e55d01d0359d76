"""Checks that patience is priced by clicks alone: nobody ever leaves, but clicks tire.

A policy that only fears unsubscribes sends every day here and wears its own clicks out.
"""

from engine.worlds.population import Population
from engine.worlds.recipe import Recipe, populate

NEVER = -30.0
"""Logit of an unsubscribe: one in ten thousand billion sends."""


def world(seed: int = 0, users: int = 600, days: int = 120) -> Population:
    """Draw the world."""
    recipe = Recipe(
        name="tiring_clicks",
        users=users,
        days=days,
        unsubscribe_base=NEVER,
        unsubscribe_spread=0.0,
        nuisance_spread=0.0,
        unsubscribe_fatigue=0.0,
    )
    return populate(recipe, seed)
