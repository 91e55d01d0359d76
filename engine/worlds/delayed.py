"""Checks labels: the news of a click takes two hours or days, that of an unsubscribe longer.

The standard world, told late. Whoever takes early silence for an answer, or waits for the last
straggler, learns something else than the truth. The optimum is that of the standard world.
"""

from dataclasses import replace

from engine.worlds import patience
from engine.worlds.population import Population
from engine.worlds.world import Delay

HOUR = 1.0 / 24.0
CLICK_DELAY = Delay(median=2 * HOUR, spread=1.8)
"""One click in twenty takes a day and a half or more, one in a hundred five days."""
UNSUBSCRIBE_DELAY = Delay(median=8 * HOUR, spread=1.5)
"""One unsubscribe in twenty takes four days or more, one in forty the better part of a week."""


def world(seed: int = 0, users: int = 600, days: int = 120) -> Population:
    """Draw the world."""
    return replace(
        patience.world(seed, users, days),
        name="delayed",
        click_delay=CLICK_DELAY,
        unsubscribe_delay=UNSUBSCRIBE_DELAY,
    )
