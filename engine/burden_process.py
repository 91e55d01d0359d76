"""The decision process over one user's burden: what the future is worth, by policy iteration.

In units of a click's worth, with T the time to the next decision, T' the same after a send, H the
horizon and h the half-life:

    W(b) = exp(-T/H) V(b 2^(-T/h))                              waiting
    S(b) = exp(-T'/H) V((b + 1) 2^(-T'/h))                      having sent, if the user stays
    V(b) = E_moment max( W(b), max_m [ p_click - c/v + (1 - p_unsubscribe) S(b) ] )

V lives on a grid of burdens, read by a cubic spline, so both operators are matrices: W = A V and
S = B V. Given who is sent what, V solves a linear system; given V, the best choice follows: a few
rounds of that (Howard 1960) converge from any start, one or two from a near one. Straight lines
between points would overstate a convex V at every step.

The burden that sending at every chance leads to is the grid's end, so nothing leaves it; it is cut
at `HIGHEST`, where nobody should be. Limit: one fixed T; who comes at random comes at the mean.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline

from engine.decision import Floats

POINTS = 14
HIGHEST = 16.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How time passes between a user's decisions; all in seconds."""

    gap: float
    """T."""
    gap_after_send: float
    """T', at least the minimum gap."""
    half_life: float
    horizon: float


@dataclass(frozen=True, slots=True)
class Process:
    """The operators of a pace on its grid."""

    grid: Floats
    """(G,) burdens from 0 up."""
    wait: Floats
    """(G, G) A."""
    sent: Floats
    """(G, G) B."""
    pace: Pace
    spline: Floats
    """(4, G - 1, G): coefficients of the spline through each unit vector, highest power first."""

    def at(self, burdens: Floats, values: Floats) -> tuple[Floats, Floats]:
        """W and S of N users at their own burdens: (N,), (N, G) -> (N,), (N,)."""
        pace = self.pace
        waiting = self._read(burdens * 2.0 ** (-pace.gap / pace.half_life))
        sending = self._read((burdens + 1.0) * 2.0 ** (-pace.gap_after_send / pace.half_life))
        discount, discount_sent = _discounts(pace)
        return (
            discount * (waiting * values).sum(axis=1),
            discount_sent * (sending * values).sum(axis=1),
        )

    def _read(self, burdens: Floats) -> Floats:
        """(N, G) weights that turn values on the grid into values at N burdens."""
        inside = np.minimum(burdens, self.grid[-1])
        cell = np.clip(self.grid.searchsorted(inside, side="right") - 1, 0, self.grid.size - 2)
        rest = (inside - self.grid[cell])[:, None]
        cubic, square, line, level = self.spline[:, cell]
        return np.asarray(((cubic * rest + square) * rest + line) * rest + level)


@lru_cache(maxsize=256)
def process(pace: Pace, points: int = POINTS) -> Process:
    """The process of a pace, on a grid that is closer together below."""
    keep = 2.0 ** (-pace.gap / pace.half_life)
    top = min(max(keep / (1.0 - keep), 1.0), HIGHEST)
    grid = top * np.linspace(0.0, 1.0, points) ** 1.5
    spline = CubicSpline(grid, np.eye(points))
    discount, discount_sent = _discounts(pace)
    after = 2.0 ** (-pace.gap_after_send / pace.half_life)
    return Process(
        grid=grid,
        wait=discount * spline(np.minimum(grid * keep, top)),
        sent=discount_sent * spline(np.minimum((grid + 1.0) * after, top)),
        pace=pace,
        spline=np.asarray(spline.c),
    )


def _discounts(pace: Pace) -> tuple[float, float]:
    return float(np.exp(-pace.gap / pace.horizon)), float(
        np.exp(-pace.gap_after_send / pace.horizon)
    )


def improved(values: Floats, worth: Floats, stays: Floats, weights: Floats, of: Process) -> Floats:
    """One round of policy iteration: (N, G) -> (N, G).

    `worth` is p_click - c/v and `stays` 1 - p_unsubscribe, both (N, G, Q, K) over Q moments of
    weights (Q,); what is not on offer has a worth of -inf.
    """
    waiting = values @ of.wait.T
    sending = values @ of.sent.T
    net = worth + stays * sending[:, :, None, None]
    best = net.argmax(axis=3)[..., None]
    gained = np.take_along_axis(net, best, axis=3)[..., 0]
    sends = (gained > waiting[:, :, None]) * weights
    reward = (sends * np.where(sends > 0, np.take_along_axis(worth, best, 3)[..., 0], 0.0)).sum(2)
    remain = (sends * np.take_along_axis(stays, best, axis=3)[..., 0]).sum(axis=2)
    silent = 1.0 - sends.sum(axis=2)
    system = np.eye(of.grid.size) - silent[:, :, None] * of.wait - remain[:, :, None] * of.sent
    return np.asarray(np.linalg.solve(system, reward[..., None])[..., 0])
