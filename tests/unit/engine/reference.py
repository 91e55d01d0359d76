"""Thompson's law by two slow roads that share nothing with the engine's integral.

`by_quadrature` conditions on the common factor and on each winner's own quantile; `by_monte_carlo`
draws from the model as it is stated and counts. Both take one user's row of `Options`.
"""

import numpy as np
from numpy.random import Generator
from scipy.special import expit, logit, ndtr, ndtri

from engine.decision import Floats
from engine.exploration import Options


def by_quadrature(options: Options, row: int = 0, quantiles: int = 250, nodes: int = 41) -> Floats:
    """(K,) P(m) = E_z E_e [u_m(z, e) > r0] prod_{k != m} F_k(u_m(z, e) | z), midpoints in e.

    Standard deviations of 0 become 1e-4, as in the engine.
    """
    shared = float(options.shared[row])
    if shared == 0.0:
        quantiles, nodes = 2500, 1
    z = np.linspace(-5.0, 5.0, nodes) if nodes > 1 else np.zeros(1)
    weight = np.exp(-0.5 * z**2)
    offered = np.flatnonzero(options.offered[row])
    own = np.maximum(options.own[row, offered], 1e-4)
    mean = options.mean[row, offered] + shared * z[:, None]  # (Z, K)
    cost, value = options.cost[row, offered], float(options.value[row])
    p0, silence = float(options.p0[row]), float(options.abstain_reward[row])
    law = np.zeros(options.mean.shape[1])
    if value <= 0.0:
        return law
    e = ndtri((np.arange(quantiles) + 0.5) / quantiles)
    for place, m in enumerate(offered):
        utility = value * (expit(mean[:, place, None] + own[place] * e) - p0) - cost[place]
        wins = (utility > silence).astype(np.float64)  # (Z, E)
        for other in range(len(offered)):
            if other == place:
                continue
            chance = np.clip((utility + cost[other]) / value + p0, 0.0, 1.0)
            with np.errstate(divide="ignore"):
                wins *= ndtr((logit(chance) - mean[:, other, None]) / own[other])
        law[m] = wins.mean(axis=1) @ weight / weight.sum()
    return law


def by_monte_carlo(options: Options, rng: Generator, draws: int, row: int = 0) -> Floats:
    """(K,) frequencies with which each message is the best of `draws` draws."""
    size = options.mean.shape[1]
    best = np.zeros(size + 1)
    for _ in range(0, draws, 50_000):
        z = rng.standard_normal((50_000, 1))
        e = rng.standard_normal((50_000, size))
        click = options.mean[row] + options.shared[row] * z + options.own[row] * e
        gain = options.value[row] * (expit(click) - options.p0[row])
        utility = np.where(options.offered[row], gain - options.cost[row], -np.inf)
        silence = np.full((50_000, 1), options.abstain_reward[row])
        best += np.bincount(np.hstack([utility, silence]).argmax(axis=1), minlength=size + 1)
    return np.asarray(best[:size] / best.sum())


def total_variation(law: Floats, other: Floats) -> float:
    """Half the absolute differences, silence included."""
    return 0.5 * float(np.abs(law - other).sum() + abs(law.sum() - other.sum()))


def noise(law: Floats, draws: int) -> float:
    """Expected total variation of `draws` draws of a law from itself, at most.

    Each frequency is off by sqrt(p (1 - p) / n) times sqrt(2 / pi) on average.
    """
    whole = np.append(law, max(0.0, 1.0 - law.sum()))
    return 0.5 * float(np.sqrt(2.0 * whole * (1.0 - whole) / (np.pi * draws)).sum())
