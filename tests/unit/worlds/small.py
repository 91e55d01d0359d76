"""A world small enough to work out by hand."""

from dataclasses import replace

import numpy as np
from scipy.special import logit

from engine.worlds.population import Population
from engine.worlds.world import Message

SMALL = {"users": 60, "days": 30}
"""Size at which every world is cheap."""


def by_hand(p_click: list[float], p_leave: list[float], days: int) -> Population:
    """One user, worth 1 a click; these probabilities per message, whatever the burden."""
    k = len(p_click)
    return Population(
        name="by_hand",
        messages=tuple(Message(f"m{i}", {}) for i in range(k)),
        values=np.ones(1),
        times=np.arange(0.5, days),
        horizon=float(days),
        half_life=1.0,
        send_cost=0.0,
        lasting={},
        click_logit=np.asarray(logit(np.array(p_click)), dtype=np.float64)[None, None],
        unsubscribe_logit=np.asarray(logit(np.array(p_leave)), dtype=np.float64)[None, None],
        click_fatigue=np.zeros(1),
        unsubscribe_fatigue=np.zeros(1),
        regimes=np.zeros(days, dtype=np.int64),
        availability=np.ones((1, k), dtype=np.bool_),
        presence=np.ones(1),
    )


def copies(world: Population, users: int) -> Population:
    """The one user many times over."""
    return replace(
        world,
        values=np.repeat(world.values, users),
        click_logit=np.repeat(world.click_logit, users, axis=1),
        unsubscribe_logit=np.repeat(world.unsubscribe_logit, users, axis=1),
        click_fatigue=np.repeat(world.click_fatigue, users),
        unsubscribe_fatigue=np.repeat(world.unsubscribe_fatigue, users),
        presence=np.repeat(world.presence, users),
    )
