"""Checks a living catalog: halfway, the favourite message is retired and another one added.

The favourite is the message most users like best; the newcomer is the one next to it, so a policy
that is slow to try what is new, or clings to what it knows, loses.
"""

from dataclasses import replace

import numpy as np

from engine.worlds.population import Population
from engine.worlds.recipe import Recipe, populate
from engine.worlds.world import Floats


def favourites(click_logit: Floats) -> tuple[int, int]:
    """The two messages that are best for the most users: (N, K) -> positions."""
    votes = np.bincount(click_logit.argmax(axis=1), minlength=click_logit.shape[1])
    first, second = votes.argsort()[::-1][:2]
    return int(first), int(second)


def world(seed: int = 0, users: int = 600, days: int = 120) -> Population:
    """Draw the world: two regimes with the same tastes."""
    drawn = populate(Recipe(name="catalog_change", users=users, days=days), seed)
    retired, added = favourites(drawn.click_logit[0])
    availability = np.ones((2, len(drawn.messages)), dtype=np.bool_)
    availability[0, added] = availability[1, retired] = False
    return replace(
        drawn,
        click_logit=np.repeat(drawn.click_logit, 2, axis=0),
        unsubscribe_logit=np.repeat(drawn.unsubscribe_logit, 2, axis=0),
        availability=availability,
        regimes=(np.arange(days) >= days // 2).astype(np.int64),
    )
