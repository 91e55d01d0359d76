"""Checks forgetting: tastes turn, a little every week, until they are others altogether.

Click logits move from one draw to an independent second one along a quarter circle, which keeps
their spread. What was learned in the first month is wrong in the last.
"""

from dataclasses import replace

import numpy as np

from engine.worlds.population import Population
from engine.worlds.recipe import Recipe, draw_messages, draw_wishes, populate, standardised

WEEK = 7


def world(seed: int = 0, users: int = 600, days: int = 120) -> Population:
    """Draw the world: one regime a week."""
    recipe = Recipe(name="drifting", users=users, days=days)
    drawn = populate(recipe, seed)
    _, category = draw_messages(recipe)
    rng = np.random.default_rng([seed, 1])
    later = draw_wishes(recipe, standardised(drawn.lasting), category, rng)
    regimes = np.arange(days) // WEEK
    weeks = int(regimes[-1]) + 1
    angle = np.linspace(0.0, np.pi / 2, weeks)[:, None, None]
    first, last = drawn.click_logit - recipe.click_base, later[None] - recipe.click_base
    return replace(
        drawn,
        click_logit=recipe.click_base + np.cos(angle) * first + np.sin(angle) * last,
        unsubscribe_logit=np.repeat(drawn.unsubscribe_logit, weeks, axis=0),
        availability=np.repeat(drawn.availability, weeks, axis=0),
        regimes=regimes,
    )
