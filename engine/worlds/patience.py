"""Does it learn that sending wears people out? The standard world.

Burden tires clicks and, more steeply, brings unsubscribes; how ready a user is to leave shows in
the context. Everything is learnable, nothing drifts, outcomes are known at once. Always sending
drives off most users; the optimum keeps nine in ten.
"""

from dataclasses import replace

from engine.worlds.population import Population
from engine.worlds.recipe import Recipe, populate

RECIPE = Recipe(name="patience")


def world(seed: int = 0, users: int = 600, days: int = 120, messages: int = 12) -> Population:
    return populate(replace(RECIPE, users=users, days=days, messages=messages), seed)
