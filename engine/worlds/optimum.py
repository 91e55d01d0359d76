"""The exact optimum of a world: the most a policy can expect, and the policy that gets it.

Users do not affect one another and burden is all that the past leaves behind, so each user is a
finite-horizon Markov decision process over burden, solved backwards from the last step:

    W(b) = V'(b 2^(-gap/h))                                the next step's value, 0 after the last
    V(b) = W(b) + rate E_moment max(0, max_m [ v p_click - c + (1 - p_unsubscribe) W(b+1) - W(b) ])

The optimum knows every probability, also hidden types and the drift to come, but neither the
moments to come nor who will be there. V lives on a grid of burdens, a cubic spline between them:
straight lines overstate a convex V at every step, by 3% in all at four decisions a day. The news
of an unsubscribe may be late without changing the optimum, because somebody who has left costs
nothing. Limit: a shared budget ties users together; see `budget.py`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from engine.worlds.world import ABSTAIN_INDEX, Batch, Events, Floats, Ints, World

GRID_POINTS = 60
"""Within 0.1% of 320 points at one and at four decisions a day."""
CELLS = 4_000_000
"""Probabilities held at once; users are solved in chunks of this size."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A solved world: G burdens, S steps."""

    value: float
    """Expected value of the optimal policy over the horizon."""
    unsubscribes: float
    sends: float
    """Expected numbers under the optimal policy."""
    grid: Floats  # (G,) burdens, from 0 up
    future: NDArray[np.float32]  # (S + 1, n_users, G): V before each step's decision; last row 0


def solve(world: World, grid_points: int = GRID_POINTS) -> Plan:
    """The optimum by backward induction."""
    grid = burden_grid(world, grid_points)
    future = np.zeros((len(world.times) + 1, world.n_users, len(grid)), dtype=np.float32)
    totals = np.zeros(3)
    for users in _chunks(world, len(grid)):
        totals += _solve_users(world, users, grid, future)
    return Plan(totals[0], totals[1], totals[2], grid, future)


def burden_grid(world: World, points: int) -> Floats:
    """Burdens from 0 to the highest that sending at every step reaches, closer together below."""
    burden, highest = 0.0, 1.0
    for gap in np.diff(world.times):
        burden = (burden + 1.0) * 2.0 ** (-gap / world.half_life)
        highest = max(highest, burden)
    spaced: Floats = highest * np.linspace(0.0, 1.0, points) ** 1.5
    return spaced


class Optimal:
    """Acts on a plan. With another world's plan it shows what a wrong belief costs."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world, self._plan = world, plan

    def act(self, batch: Batch) -> Ints:
        """Best message whose advantage over abstaining is positive."""
        gain = advantages(self._world, self._plan, batch)
        best = gain.argmax(axis=1)
        worth_it = gain[np.arange(len(best)), best] > 0.0
        return np.where(worth_it, best, ABSTAIN_INDEX)

    def observe(self, events: Events, until: float) -> None:
        """Nothing to learn."""


def advantages(world: World, plan: Plan, batch: Batch) -> Floats:
    """How much better sending each message is than abstaining, in value: (n, K)."""
    users = batch.users
    decay = _decay(world, batch.step)
    future = CubicSpline(plan.grid, plan.future[batch.step + 1, users].astype(np.float64).T)
    wait = _read(future, batch.burden * decay)[:, None]
    sent = _read(future, (batch.burden + 1.0) * decay)[:, None]
    asked = (users, batch.burden, batch.step, batch.moment)
    stays: Floats = 1.0 - world.unsubscribe_probability(*asked)
    clicks = world.click_probability(*asked) * batch.values[:, None]
    gain: Floats = clicks - world.send_cost + stays * sent - wait
    return np.where(batch.available, gain, -np.inf)


def _solve_users(world: World, users: Ints, grid: Floats, future: NDArray[np.float32]) -> Floats:
    """Fill `future` for these users; return their total value, unsubscribes and sends."""
    totals = np.zeros((3, len(users), len(grid)))
    regime, tables = -1, None
    for step in reversed(range(len(world.times))):
        if tables is None or world.regime(step) != regime:
            regime, tables = world.regime(step), _tables(world, users, grid, step)
        decay = _decay(world, step)
        wait = totals @ _reader(grid, grid * decay)
        sent = totals @ _reader(grid, (grid + 1.0) * decay)
        totals = wait + world.presence[users][:, None] * _step(*tables, wait, sent)
        future[step, users] = totals[0]
    start: Floats = totals[:, :, 0].sum(axis=1)
    return start


def _tables(world: World, users: Ints, grid: Floats, step: int) -> tuple[Floats, Floats, Floats]:
    """Worth v p_click - c and p_unsubscribe, both (n, G, Q, K), and the moments' weights."""
    nodes, weights = world.moment_nodes()
    shape = (len(users), len(grid), len(nodes))
    i, g, q = (index.ravel() for index in np.indices(shape))
    allowed = np.flatnonzero(world.available(step))
    asked = (users[i], grid[g], step, nodes[q])
    clicks = world.click_probability(*asked)[:, allowed].reshape(*shape, -1)
    leaves = world.unsubscribe_probability(*asked)[:, allowed].reshape(*shape, -1)
    worth = world.values[users][:, None, None, None] * clicks - world.send_cost
    return worth, leaves, weights


def _step(
    worth: Floats,
    leaves: Floats,
    weights: Floats,
    wait: Floats,
    sent: Floats,
) -> Floats:
    """What acting optimally adds to waiting: value, unsubscribes, sends, each (n, G)."""
    gain = worth + (1.0 - leaves) * sent[0][:, :, None, None] - wait[0][:, :, None, None]
    best = gain.argmax(axis=3)[..., None]
    gained = np.take_along_axis(gain, best, axis=3)[..., 0]
    leave = np.take_along_axis(leaves, best, axis=3)[..., 0]
    sends = gained > 0.0
    added = np.stack(
        [
            np.maximum(gained, 0.0),
            sends * (leave + (1.0 - leave) * sent[1][..., None] - wait[1][..., None]),
            sends * (1.0 + (1.0 - leave) * sent[2][..., None] - wait[2][..., None]),
        ]
    )
    expected: Floats = added @ weights
    return expected


def _decay(world: World, step: int) -> float:
    """Share of the burden left at the next step (at the horizon, after the last)."""
    times = world.times
    following = times[step + 1] if step + 1 < len(times) else world.horizon
    return float(2.0 ** (-(following - times[step]) / world.half_life))


def _reader(grid: Floats, burden: Floats) -> Floats:
    """Matrix that turns values on the grid into spline values: (G, B); flat beyond the grid."""
    spline = CubicSpline(grid, np.eye(len(grid)))
    matrix: Floats = spline(np.minimum(burden, grid[-1])).T
    return matrix


def _read(spline: CubicSpline, burden: Floats) -> Floats:
    """Each user's own spline read at his own burden: (n,) -> (n,)."""
    inside = np.minimum(burden, spline.x[-1])
    cell = np.clip(np.searchsorted(spline.x, inside, side="right") - 1, 0, len(spline.x) - 2)
    cubic = spline.c[:, cell, np.arange(len(burden))]
    rest = inside - spline.x[cell]
    read: Floats = ((cubic[0] * rest + cubic[1]) * rest + cubic[2]) * rest + cubic[3]
    return read


def _chunks(world: World, grid_points: int) -> list[Ints]:
    per_user = grid_points * len(world.moment_nodes()[1]) * len(world.messages)
    size = max(1, CELLS // per_user)
    return [np.arange(i, min(i + size, world.n_users)) for i in range(0, world.n_users, size)]
