"""Checks scarcity: all users together may get a tenth of their number in sends per day.

Otherwise the standard world. The budget ties users together, so the exact optimum is out of reach;
`bound` gives an upper bound for it, by pricing a send (Lagrange), and a policy near it: rank users
by their advantage under that price, serve the best.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from engine.worlds import patience
from engine.worlds.optimum import GRID_POINTS, Plan, advantages, solve
from engine.worlds.population import Population
from engine.worlds.world import ABSTAIN_INDEX, Batch, Events, Ints

SHARE = 0.1
COARSE_POINTS = 25
"""Burdens in the grid while the price is sought; weak duality holds at whatever price is found."""


def world(seed: int = 0, users: int = 600, days: int = 120) -> Population:
    """Draw the world."""
    drawn = patience.world(seed, users, days)
    return replace(drawn, name="budget", daily_sends=max(1, int(SHARE * users)))


@dataclass(frozen=True, slots=True)
class Bound:
    """No policy within the budget can expect more than `value`."""

    value: float
    price: float
    """Of one slot of the budget."""
    plan: Plan
    """The optimum where every send costs that much more and the budget is lifted."""


def bound(population: Population) -> Bound:
    """Smallest over prices of: optimum at that price + price x slots (weak duality)."""
    slots = _limit(population) * len(population.times)

    def dual(price: float, points: int) -> tuple[float, Plan]:
        dearer = replace(population, send_cost=population.send_cost + price, daily_sends=None)
        plan = solve(dearer, points)
        return plan.value + price * slots, plan

    found = minimize_scalar(
        lambda price: dual(price, COARSE_POINTS)[0],
        bounds=(0.0, float(population.values.max())),
        method="bounded",
        options={"xatol": 1e-3},
    )
    value, plan = dual(float(found.x), GRID_POINTS)
    return Bound(value, float(found.x), plan)


class Ranked:
    """Serves the users with the largest advantage under a bound's price, as far as slots go."""

    def __init__(self, population: Population, plan: Plan) -> None:
        self._population, self._plan = population, plan

    def act(self, batch: Batch) -> Ints:
        """Best message of the best users."""
        gain = advantages(self._population, self._plan, batch)
        best, most = gain.argmax(axis=1), gain.max(axis=1)
        served = np.argsort(-most)[: _limit(self._population)]
        actions = np.full(len(batch.users), ABSTAIN_INDEX)
        actions[served] = np.where(most[served] > 0.0, best[served], ABSTAIN_INDEX)
        return actions

    def observe(self, events: Events, until: float) -> None:
        """Nothing to learn."""


def _limit(population: Population) -> int:
    return population.n_users if population.daily_sends is None else population.daily_sends
