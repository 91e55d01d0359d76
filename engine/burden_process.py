"""The decision process over one user's burden: what the future is worth, by policy iteration.

In units of a click's worth, with T the time to the next decision, T' the same after a send, H the
horizon and h the half-life:

    W(b) = exp(-T/H) V(b 2^(-T/h))                              waiting
    S(b) = exp(-T'/H) V((b + 1) 2^(-T'/h))                      having sent, if the user stays
    V(b) = E_moment max( W(b), max_m [ p_click - c/v + (1 - p_unsubscribe) S(b) ] )

V lives on a grid of burdens with straight lines between, so both operators are matrices: W = A V
and S = B V. Given who is sent what, V solves a linear system; given V, the best choice follows
(Howard 1960): a few rounds converge from any start, one or two from a near policy. From a near V
they do not: the best first send is worth only the share 1 - exp(-T/H) of V, so a V that is 2% too
high never sends. Straight lines overstate a convex V a little at every step, so the points stand
closer together where burdens are small and V bends. Against 800 points, 16 give the price to 1 to
8% and V to 1 to 7% at daily decisions and a half-life of 4 days; at decisions every 4 hours, or a
half-life of 16 days, V is 10 to 30% too high where people tire fast, and the price off by 2 to 17%.
A spline needs fewer, but its negative weights can keep rounds from converging.

The grid ends where sending at every chance leads, at most at the burden from which on the heads
are flat. Limit: one fixed T; who comes at random is taken to come at the mean.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.context import MOST_BURDEN
from engine.decision import Floats

Bools: TypeAlias = NDArray[np.bool_]

POINTS = 16
_FINITE = 1e300


@dataclass(frozen=True, slots=True)
class Pace:
    """How time passes between a user's decisions; all in seconds."""

    gap: float
    """T."""
    gap_after_send: float
    """T', at least the minimum gap."""
    half_life: float
    horizon: float

    def left(self, time: float) -> float:
        """Share of a burden that is left after this time."""
        return float(2.0 ** (-time / self.half_life))

    def discount(self, time: float) -> float:
        """What value is worth that comes after this time."""
        return float(np.exp(-time / self.horizon))


@dataclass(frozen=True, slots=True)
class Process:
    """The operators of a pace on its grid."""

    pace: Pace
    grid: Floats
    """(G,) burdens from 0 up."""
    wait: Floats
    """(G, G) A."""
    sent: Floats
    """(G, G) B."""
    identity: Floats
    """(G, G)"""

    def at(self, burdens: Floats, values: Floats) -> tuple[Floats, Floats]:
        """W and S of N users at their own burdens: (N,), (N, G) -> (N,), (N,)."""
        pace = self.pace
        rested = burdens * pace.left(pace.gap)
        tired = (burdens + 1.0) * pace.left(pace.gap_after_send)
        read = between(self.grid, np.concatenate([rested, tired])).reshape(2, *values.shape)
        worth = (read * values).sum(axis=2)
        return pace.discount(pace.gap) * worth[0], pace.discount(pace.gap_after_send) * worth[1]


@lru_cache(maxsize=256)
def process(pace: Pace, points: int = POINTS) -> Process:
    """The process of a pace."""
    keep, keep_after = pace.left(pace.gap), pace.left(pace.gap_after_send)
    top = min(max(keep / (1.0 - keep), 1.0), MOST_BURDEN)
    grid = top * np.linspace(0.0, 1.0, points) ** 2
    return Process(
        pace=pace,
        grid=grid,
        wait=pace.discount(pace.gap) * between(grid, grid * keep),
        sent=pace.discount(pace.gap_after_send) * between(grid, (grid + 1.0) * keep_after),
        identity=np.eye(points),
    )


def between(grid: Floats, burdens: Floats) -> Floats:
    """(B, G) weights that turn values on a grid into values at B burdens; flat beyond its end."""
    inside = np.minimum(burdens, grid[-1])
    cell = np.minimum(grid.searchsorted(inside, side="right") - 1, grid.size - 2)
    share = (inside - grid[cell]) / (grid[cell + 1] - grid[cell])
    weights = np.zeros((burdens.size, grid.size))
    row = np.arange(burdens.size)
    weights[row, cell] = 1.0 - share
    weights[row, cell + 1] = share
    return weights


@dataclass(frozen=True, slots=True)
class Offers:
    """What N users could be sent at each of G burdens, in each of Q moments, of K messages."""

    worth: Floats
    """(N, G, Q, K) p_click - c/v; -inf where nothing is on offer."""
    stays: Floats
    """(N, G, Q, K) 1 - p_unsubscribe."""
    weights: Floats
    """(Q,) of the moments; their sum is 1."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, G, Q)"""
        n, g, q, _ = self.worth.shape
        return n, g, q


def choice(values: Floats, offers: Offers, of: Process) -> tuple[NDArray[np.int64], Bools]:
    """The best message and whether to send it, were the future worth `values` (N, G).

    Messages are (N G Q,) places in the flattened worth, sends are (N, G, Q).
    """
    sending = values @ of.sent.T
    net = offers.worth + offers.stays * sending[:, :, None, None]
    best = net.argmax(axis=3).ravel() + np.arange(0, net.size, net.shape[3])
    waiting = values @ of.wait.T
    return best, net.ravel()[best].reshape(offers.shape) > waiting[:, :, None]


def worth_of(best: NDArray[np.int64], sends: Bools, offers: Offers, of: Process) -> Floats:
    """(N, G) value of a policy: the solution of V = r + P(silent) A V + P(sent, stays) B V."""
    share = sends * offers.weights
    # Nothing on offer is worth -inf and is not sent: 0 times a finite number.
    worth = np.maximum(offers.worth.ravel()[best].reshape(offers.shape), -_FINITE)
    reward = (share * worth).sum(axis=2)
    remain = (share * offers.stays.ravel()[best].reshape(offers.shape)).sum(axis=2)
    silent = 1.0 - share.sum(axis=2)
    system = of.identity - silent[:, :, None] * of.wait - remain[:, :, None] * of.sent
    return np.asarray(np.linalg.solve(system, reward[..., None])[..., 0])
