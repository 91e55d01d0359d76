"""From forecasts to the probabilities an action is drawn with.

Thompson sampling asks: how probable is it that this message is the best of all? Sampling answers
with a draw whose probability nobody knows. Here the probability itself is computed and the action
is drawn from it, so the logged propensity is exact whatever the error of the integral: the vector
is the policy. The integral is an approximation of Thompson's law, nothing else.

Messages share weights: what is uncertain about the user moves all of them together. Taking them as
independent would make sending likelier with every message in the catalog, so the shared part is
integrated as one common factor (Gauss-Hermite) and only the rest is independent:

    click logit of m   x_m = mu_m + shared * z + own_m * e_m,       z, e_m standard normal
    utility of m       u_m = v (sigmoid(x_m) - p0) - cost_m
    F_m(u | z)         = Phi((logit((u + cost_m) / v + p0) - mu_m - shared z) / own_m)
    P(abstain)         = E_z prod_m F_m(r0 | z)
    P(m)               = E_z integral over u > r0 of prod_{k != m} F_k dF_m

Between two levels of u the product G = prod_m F_m grows by dG; message m gets the share
d log F_m / sum_k d log F_k of it. So the probabilities are never negative and sum to exactly
1 - P(abstain), which depends on r0 alone and falls as r0 rises.

Inverse-gap weighting (SquareCB; Foster & Rakhlin 2020) is the second explorer behind the same
signature. Differences from the papers: Thompson's draw is replaced by its law; small entries are
given to the larger ones; a floor is mixed in for messages known to be harmless.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_ndtr

from engine.decision import Floats

SMALLEST = 0.002
"""Smaller probabilities are rounded away: they cost accuracy offline and teach nothing."""

_GRID = 2.0**22

_QUANTILES = np.array([-3.0, -2.0, -1.2, -0.6, 0.0, 0.6, 1.2, 1.8, 2.4, 3.0, 4.0])
_LEVELS = 64
_NARROWEST = 1e-4
"""Standard deviations below this are steps; this keeps a step on both sides of a level."""
_LEAST_OWN = 0.08
"""Least part of a candidate's standard deviation that counts as its own: a few nodes of the common
factor cannot follow a step. Marginals stay exact; a correlation of 1 becomes 0.994."""

# log Phi by table: a rounded argument moves a probability by less than 5e-4, and the result is
# the law itself, not an estimate of it.
_TABLE_REACH, _TABLE_DENSITY = 9.0, 512
_LOG_PHI = log_ndtr(
    np.linspace(-_TABLE_REACH, _TABLE_REACH, int(2 * _TABLE_REACH * _TABLE_DENSITY) + 1)
)
_LOG_PHI[-1] = 0.0


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen for N users with up to K candidates each, and what it is worth."""

    mean: Floats
    """(N, K) mean of the click logit."""
    shared: Floats
    """(N,) standard deviation that all candidates of a user share."""
    own: Floats
    """(N, K) standard deviation of a candidate on its own."""
    cost: Floats
    """(N, K) annoyance of sending, in the unit of value."""
    net: Floats
    """(N, K) gain - annoyance at the mean forecast."""
    value: Floats
    """(N,) worth of a click."""
    p0: Floats
    """(N,) probability of the outcome without a send."""
    abstain_reward: Floats
    """(N,) what silence is worth."""
    offered: NDArray[np.bool_]
    """(N, K) which entries are candidates; the rest is padding."""


class Explorer(Protocol):
    """The law an action is drawn with."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    def probabilities(self, options: Options) -> Floats:
        """(N, K) probability of each message; what is missing from 1 is abstaining's."""


@dataclass(frozen=True, slots=True)
class Thompson:
    """Each message with the probability that it is the best, by the model's own uncertainty."""

    scale: float = 0.5
    """Multiplies the standard deviations: below 1 explores less than the posterior would."""
    name: str = "thompson"

    def probabilities(self, options: Options) -> Floats:
        """See the module's text for the law. Cost grows with the candidates that can still win."""
        options = replace(
            options,
            shared=options.shared * self.scale,
            own=np.maximum(options.own * self.scale, _NARROWEST),
        )
        able = _able_to_win(options)
        result = np.zeros_like(options.mean)
        users = np.flatnonzero(able.any(axis=1))
        if users.size:
            width = int(able[users].sum(axis=1).max())
            kept = np.argsort(~able[users], axis=1, kind="stable")[:, :width]
            result[users[:, None], kept] = _law_of_the_best(_narrowed(options, users, kept, able))
        return result


def _narrowed(
    options: Options, users: NDArray[np.int64], kept: NDArray[np.int64], able: NDArray[np.bool_]
) -> Options:
    """Only these users, and of each only the candidates kept: (users,) and (users, width)."""
    rows = users[:, None]
    return Options(
        mean=options.mean[rows, kept],
        shared=options.shared[users],
        own=options.own[rows, kept],
        cost=options.cost[rows, kept],
        net=options.net[rows, kept],
        value=options.value[users],
        p0=options.p0[users],
        abstain_reward=options.abstain_reward[users],
        offered=able[rows, kept],
    )


def _able_to_win(options: Options) -> NDArray[np.bool_]:
    """(N, K) candidates that can be best within four deviations; none where v = 0."""
    spread = np.hypot(options.own, options.shared[:, None])
    able = options.offered & (options.value > 0)[:, None]
    surely = np.where(able, _utility(options, options.mean - 4.0 * spread), -np.inf)
    bar = np.maximum(options.abstain_reward, surely.max(axis=1, initial=-np.inf))
    return np.asarray(able & (_utility(options, options.mean + 4.0 * spread) >= bar[:, None]))


def _utility(options: Options, logit: Floats) -> Floats:
    """(N, K) utility of sending, were the click logit this."""
    gain = options.value[:, None] * (expit(logit) - options.p0[:, None])
    return np.asarray(gain - options.cost)


def _log_phi(at: Floats) -> Floats:
    """Log Phi, from the table."""
    index = (at + _TABLE_REACH) * _TABLE_DENSITY + 0.5
    np.clip(index, 0, _LOG_PHI.size - 1, out=index)
    return np.asarray(_LOG_PHI.take(index.astype(np.int32)))


def _standardised(options: Options, levels: Floats, spread: Floats) -> Floats:
    """(N, J, K) level of utility -> deviations of each candidate's click logit from its mean."""
    chance = levels[:, :, None] + options.cost[:, None, :]
    chance /= options.value[:, None, None]
    chance += options.p0[:, None, None]
    np.clip(chance, 1e-15, 1 - 1e-15, out=chance)
    at = np.log(chance / (1 - chance))
    at -= options.mean[:, None, :]
    at /= spread[:, None, :]
    at[np.broadcast_to(~options.offered[:, None, :], at.shape)] = 2 * _TABLE_REACH
    return np.asarray(at)


def _levels(options: Options, spread: Floats) -> Floats:
    """(N, J) increasing levels from the abstain reward up: quantiles of every candidate, pooled.

    Equally spaced levels miss a narrow forecast among wide ones.
    """
    chance = expit(options.mean[..., None] + spread[..., None] * _QUANTILES)
    gain = options.value[:, None, None] * (chance - options.p0[:, None, None])
    floor = options.abstain_reward[:, None]
    pooled = np.where(options.offered[..., None], gain - options.cost[..., None], -np.inf)
    flat = np.maximum(pooled.reshape(len(pooled), -1), floor)
    flat.sort(axis=1)
    below = (flat <= floor).sum(axis=1, keepdims=True)
    last = flat.shape[1] - 1
    at = np.maximum(below - 1, 0) + np.linspace(0.0, 1.0, _LEVELS) * (last - below + 1)
    at = np.minimum(at, last)
    left = at.astype(np.int64)
    low = np.take_along_axis(flat, left, axis=1)
    high = np.take_along_axis(flat, np.minimum(left + 1, last), axis=1)
    levels = low + (at - left) * (high - low)
    levels[:, 0] = floor[:, 0]
    return np.asarray(levels)


def _common_factor(load: Floats, own: Floats) -> tuple[Floats, Floats]:
    """Nodes and weights (trapezoid) of a standard normal, as dense as the narrowest needs."""
    ratio = float((own / np.maximum(load, _NARROWEST)).min())
    reach = 3.25
    count = (
        1
        if float(load.max()) < 0.02
        else int(np.ceil(2 * reach / max(0.2, min(1.0, 2.1 * ratio)))) + 1
    )
    nodes = np.linspace(-reach, reach, count) if count > 1 else np.zeros(1)
    weights = np.exp(-0.5 * nodes**2)
    return nodes, weights / weights.sum()


def _law_of_the_best(options: Options) -> Floats:
    """(N, K) probability of each message, every row with at least one candidate."""
    spread = np.hypot(options.own, options.shared[:, None])
    own = np.maximum(options.own, _LEAST_OWN * spread)
    load = np.sqrt(np.maximum(spread**2 - own**2, 0.0))
    nodes, node_weights = _common_factor(load, own)
    at = _standardised(options, _levels(options, spread), own)
    shifts = (load / own)[:, None, :] * nodes[:, None]
    log_f = _log_phi(at[:, None] - shifts[:, :, None, :])  # (N, nodes, J, K)
    total = log_f.sum(axis=3)
    product = np.exp(total)
    rise = np.diff(product, axis=2)
    climb = np.diff(total, axis=2)
    rate = np.divide(rise, climb, out=np.zeros_like(rise), where=climb > 0)
    rate *= node_weights[:, None]
    # sum_j rate_j (log_f[j+1] - log_f[j]), summed by parts: one product instead of a difference
    weights = np.zeros_like(total)
    weights[:, :, 1:] += rate
    weights[:, :, :-1] -= rate
    n, count, levels, k = log_f.shape
    share = np.matmul(weights.reshape(n, 1, -1), log_f.reshape(n, count * levels, k))[:, 0]
    share = np.maximum(np.where(options.offered, share, 0.0), 0.0)
    # What lies beyond the last level is spread like the rest.
    send = 1.0 - product[:, :, 0] @ node_weights
    found = share.sum(axis=1)
    return np.asarray(
        share * np.divide(send, found, out=np.zeros_like(found), where=found > 0)[:, None]
    )


@dataclass(frozen=True, slots=True)
class InverseGap:
    """Inverse-gap weighting: probability falls with the distance from the best mean forecast."""

    gamma: float = 100.0
    """Larger explores less; per unit of net divided by the user's value."""
    name: str = "inverse_gap"

    def probabilities(self, options: Options) -> Floats:
        """P(m) = 1 / (A + gamma gap_m / v) over A actions; the greedy one takes the rest."""
        usable = options.offered & (options.value > 0)[:, None]
        net = np.where(usable, options.net, -np.inf)
        silence = options.abstain_reward[:, None]
        worth = np.concatenate([net, np.broadcast_to(silence, (len(net), 1))], axis=1)
        best = worth.argmax(axis=1)[:, None]
        unit = np.where(options.value > 0, options.value, 1.0)[:, None]
        gap = (np.take_along_axis(worth, best, axis=1) - worth) / unit
        actions = usable.sum(axis=1, keepdims=True) + 1
        law = np.where(np.isfinite(gap), 1.0 / (actions + self.gamma * gap), 0.0)
        np.put_along_axis(law, best, 0.0, axis=1)
        np.put_along_axis(law, best, 1.0 - law.sum(axis=1, keepdims=True), axis=1)
        return np.asarray(law[:, :-1])


def rounded(law: Floats) -> Floats:
    """The law without its smallest entries; the probability of sending at all stays what it was.

    A small entry's probability goes to the larger ones, so that no rounding turns silence into a
    send or back, except where all of sending, or all of silence, is too small to keep.
    """
    send = law.sum(axis=1, keepdims=True)
    largest = law.max(axis=1, keepdims=True, initial=0.0)
    kept = np.where((law >= SMALLEST) | (law == largest), law, 0.0)
    total = kept.sum(axis=1, keepdims=True)
    target = np.where(send < SMALLEST, 0.0, np.where(send > 1 - SMALLEST, 1.0, send))
    return np.asarray(kept * np.divide(target, total, out=np.zeros_like(total), where=total > 0))


def with_floor(law: Floats, harmless: NDArray[np.bool_], floor: float) -> Floats:
    """The law with `floor` of its probability spread evenly over the harmless candidates.

    Logs of a learner without a floor cannot be evaluated well; a harmful message never gets one.
    """
    number = harmless.sum(axis=1, keepdims=True)
    lifted = (1 - floor) * law + floor * harmless / np.maximum(number, 1)
    return np.where(number > 0, lifted, law)


def as_logged(law: Floats) -> tuple[Floats, Floats]:
    """The law on the grid it is drawn and logged with: (N, K) messages, (N,) abstain.

    Every entry is a multiple of 2^-22, exact in float32 and in every sum, so a row's probabilities
    add up to 1 without rounding.
    """
    logged = np.floor(law * _GRID) / _GRID
    rest = 1.0 - logged.sum(axis=1)
    # What rounding left over of a law that always sends goes to the likeliest message.
    sure = np.flatnonzero(law.sum(axis=1) >= 1.0 - 1e-9)
    logged[sure, law[sure].argmax(axis=1)] += rest[sure]
    rest[sure] = 0.0
    return logged, rest
