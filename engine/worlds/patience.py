"""Checks that a policy learns what sending wears out: the standard world, all others vary it.

Burden tires clicks and brings unsubscribes; how ready a user is to leave shows in the context.
Nothing is hidden, nothing drifts, outcomes are known at once. Always sending drives nearly
everybody off and gets a sixth of the optimum; the optimum loses one user in twelve.
"""

from engine.worlds.population import Population
from engine.worlds.recipe import Recipe, populate


def world(
    seed: int = 0, users: int = 600, days: int = 120, messages: int = 12, half_life: float = 5.0
) -> Population:
    """Draw the world; a half-life (days) of 8 makes recovery slow."""
    recipe = Recipe(name="patience", users=users, days=days, messages=messages, half_life=half_life)
    return populate(recipe, seed)
