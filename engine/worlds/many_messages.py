"""Checks a large catalog: 200 messages, so that trying each one out is no way to learn.

The twenty categories carry three quarters of the variance of taste; what is learned of one message
must help with its neighbours, and exploration must not grow with the size of the catalog.
"""

from engine.worlds.population import Population
from engine.worlds.recipe import Recipe, populate

CATEGORIES = tuple(f"topic_{i:02d}" for i in range(20))


def world(seed: int = 0, users: int = 600, days: int = 120, messages: int = 200) -> Population:
    """Draw the world."""
    recipe = Recipe(
        name="many_messages", users=users, days=days, messages=messages, categories=CATEGORIES
    )
    return populate(recipe, seed)
