"""Checks what becomes of patience that does not show: tolerant, typical and touchy users.

A third of the users each; the type is drawn independently of the context, so only what a user does
tells. It moves how ready he is to leave and how fast burden brings him to it. The exact optimum
knows the types and is out of reach for anybody who does not.
"""

from dataclasses import replace

import numpy as np

from engine.worlds.population import Population
from engine.worlds.recipe import Recipe, populate
from engine.worlds.world import Ints

READINESS = np.array([-1.5, 0.0, 1.5])
"""Added to the unsubscribe logit of tolerant, typical and touchy users."""
FATIGUE = np.array([0.5, 0.8, 1.1])
"""Their unsubscribe logit per unit of burden."""


def types(seed: int, users: int) -> Ints:
    """0 tolerant, 1 typical, 2 touchy: (users,)."""
    in_turn: Ints = np.arange(users) % 3
    return np.random.default_rng([seed, 1]).permutation(in_turn)


def world(seed: int = 0, users: int = 600, days: int = 120) -> Population:
    """Draw the world."""
    recipe = Recipe(name="hidden_types", users=users, days=days, unsubscribe_spread=0.7)
    drawn = populate(recipe, seed)
    kind = types(seed, users)
    return replace(
        drawn,
        unsubscribe_logit=drawn.unsubscribe_logit + READINESS[kind][:, None],
        unsubscribe_fatigue=FATIGUE[kind],
    )
