"""From forecasts to the probabilities an action is drawn with.

Thompson sampling asks: how probable is it that this message is the best of all? Sampling answers
with a draw whose probability nobody knows. Here the probability itself is computed and the action
is drawn from it, so the logged propensity is exact whatever the error of the integral: the vector
is the policy. The integral is an approximation of Thompson's law, nothing else.

Messages share weights: what is uncertain about the user moves all of them together. Taking them as
independent would make sending likelier with every message in the catalog, so the shared part is
integrated as one common factor z (trapezoid rule) and only the rest is independent:

    click logit of m   x_m = mu_m + shared * z + own_m * e_m,       z, e_m standard normal
    utility of m       u_m = v (sigmoid(x_m) - p0) - cost_m
    F_m(u | z)         = Phi((logit((u + cost_m) / v + p0) - mu_m - shared z) / own_m)
    P(abstain)         = E_z prod_m F_m(r0 | z)
    P(m)               = E_z integral over u > r0 of prod_{k != m} F_k dF_m

Between two levels of u the product G = prod_m F_m grows by dG; message m gets the share
d log F_m / sum_k d log F_k of it. So no probability is negative, and they sum to 1 - P(abstain),
which no level enters and which only falls as r0 rises.

Whether to send is asked again at the next decision, which message was sent is not. Drawn afresh
each time, the most hopeful of many messages on the most hopeful of many days would decide: half of
all sends had a negative net. So whether to send is drawn from the forecast of one message, that of
the largest net, with less noise,

    P(send) = 1 - F_m*(r0),        m* = argmax net,

and the messages share it as the law above says; what is learned of them comes from sends, of which
a day later brings as many. Clones of a message then buy no send at all. The law above alone holds
for a user left in peace for long, and, `unprompted` times as wide, where p0 > 0: what happens
unprompted is a forecast too, as unsure as the other, and silence, which was no safe ground then,
teaches as much as a send.

Inverse-gap weighting (SquareCB; Foster & Rakhlin 2020) is the second explorer behind the same
signature. Differences from the papers: Thompson's draw is replaced by its law; small entries are
given to the larger ones; a floor is mixed in for messages known to be harmless; silence is weighed
with less noise.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_ndtr, logit, ndtr

from engine.decision import Floats

SMALLEST = 0.002
"""Smaller probabilities are rounded away beside larger ones: they cost accuracy offline and teach
nothing."""

_GRID = 2.0**22

_QUANTILES = np.array([-3.0, -2.0, -1.2, -0.6, 0.0, 0.6, 1.2, 1.8, 2.4, 3.0, 4.0])
_LEVELS = 48
_EVENLY = np.linspace(0.0, 1.0, _LEVELS)
_NEVER_REACHED = 1e6
"""Deviations at which padding is certain to be below any level."""
_FAR = 1e8
"""An index past the table that still fits 32 bits after a shift."""
_NARROWEST = 1e-4
"""Standard deviations below this are steps; this keeps a step on both sides of a level."""
_LEAST_OWN = 0.08
"""Least part of a candidate's standard deviation that counts as its own: a few nodes of the common
factor cannot follow a step. Marginals stay exact; a correlation of 1 becomes 0.994."""

_REACH = 3.25
"""The common factor is integrated this many deviations to either side."""
_NO_FACTOR = 0.02
"""A shared deviation below this moves no probability worth following."""

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
    tried: NDArray[np.bool_] | None = None
    """(N,) users left in peace for so long that they are tried; None: nobody."""


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

    scale: float = 0.2
    """Multiplies the standard deviations: below 1 explores less than the posterior would. Users
    differ, so the best message for each of them already tries every message on somebody.
    """
    haste: float | None = 0.5
    """Multiplies them once more where silence is weighed against sending; None: Thompson's law."""
    unprompted: float = 2.5
    """Multiplies them instead where the outcome also happens without a send."""
    name: str = "thompson"

    def probabilities(self, options: Options) -> Floats:
        """See the module's text for the law. Cost grows with the candidates that can still win."""
        scale = np.full(len(options.p0), self.scale)
        if self.haste is None:
            return self._law(options, scale)
        unprompted = options.p0 > 0
        law = self._law(options, np.where(unprompted, self.unprompted, 1.0) * scale)
        if not law.size:
            return law
        found = law.sum(axis=1)
        send = np.where(found > 0, _send(options, self.scale * self.haste), 0.0)
        by_law = unprompted if options.tried is None else unprompted | options.tried
        send = np.where(by_law, found, send)
        return np.asarray(law * (send / np.where(found > 0, found, 1.0))[:, None])

    @staticmethod
    def _law(options: Options, scale: Floats) -> Floats:
        """Thompson's law with all standard deviations of a user times his `scale` (N,)."""
        options = replace(
            options,
            shared=options.shared * scale,
            own=np.maximum(options.own * scale[:, None], _NARROWEST),
        )
        able = _able_to_win(options)
        result = np.zeros_like(options.mean)
        counts = np.where(able.any(axis=1), _node_counts(options), 0)
        for count in set(counts.tolist()) - {0}:
            users = np.flatnonzero(counts == count)
            width = int(able[users].sum(axis=1).max())
            kept = np.argsort(~able[users], axis=1, kind="stable")[:, :width]
            best = _law_of_the_best(_narrowed(options, users, kept, able), count)
            result[users[:, None], kept] = best
        return result


def _send(options: Options, scale: float) -> Floats:
    """(N,) probability that the message of the largest net is worth more than silence.

    Means nothing where a user has no candidate.
    """
    rows = np.arange(len(options.net))
    best = np.where(options.offered, options.net, -np.inf).argmax(axis=1)
    spread = np.hypot(options.own[rows, best], options.shared) * scale
    value = np.where(options.value > 0, options.value, 1.0)
    needed = (options.abstain_reward + options.cost[rows, best]) / value + options.p0
    margin = options.mean[rows, best] - logit(np.clip(needed, 1e-15, 1 - 1e-15))
    send = ndtr(margin / np.maximum(spread, _NARROWEST))
    return np.where(options.value > 0, send, 0.0)


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


def _standardised(options: Options, levels: Floats, spread: Floats) -> Floats:
    """(N, K, J) level of utility -> deviations of each candidate's click logit from its mean."""
    chance = levels[:, None, :] + options.cost[:, :, None]
    chance /= options.value[:, None, None]
    chance += options.p0[:, None, None]
    np.clip(chance, 1e-15, 1 - 1e-15, out=chance)
    at = np.log(chance / (1 - chance))
    at -= options.mean[:, :, None]
    at /= spread[:, :, None]
    at[~options.offered] = _NEVER_REACHED
    return np.asarray(at)


def _levels(options: Options, spread: Floats) -> Floats:
    """(N, J) increasing levels from the abstain reward up: quantiles of every candidate, pooled.

    Equally spaced levels miss a narrow forecast among wide ones.
    """
    chance = expit(options.mean[..., None] + spread[..., None] * _QUANTILES)
    gain = options.value[:, None, None] * (chance - options.p0[:, None, None])
    floor = options.abstain_reward[:, None]
    pooled = gain - options.cost[..., None]
    pooled[~options.offered] = -np.inf
    flat = np.concatenate([floor, pooled.reshape(len(pooled), -1)], axis=1)
    np.maximum(flat, floor, out=flat)
    flat.sort(axis=1)
    below = (flat <= floor).sum(axis=1, keepdims=True)
    last = flat.shape[1] - 1
    # Counted from the floor up, so that padding below it changes no bit of a level.
    offset = _EVENLY * (last - below + 1)
    whole = offset.astype(np.int64)
    rows = np.arange(len(flat))[:, None]
    low = flat[rows, below - 1 + whole]
    high = flat[rows, np.minimum(below + whole, last)]
    return np.asarray(low + (offset - whole) * (high - low))


def _node_counts(options: Options) -> NDArray[np.int64]:
    """(N,) nodes of the common factor each user needs to follow the best of the candidates.

    The best of K is surer than any one of them: its deviation falls as the root of log K. A user's
    count depends on that user alone, so company in a batch changes no law; and not on the abstain
    reward, so P(abstain) rises with it node by node. Multiples of 4 keep the groups few.
    """
    own = np.where(options.offered, options.own, np.inf).min(axis=1, initial=np.inf)
    number = np.maximum(options.offered.sum(axis=1), 1)
    best = own / np.sqrt(1.0 + 1.1 * np.log(number))
    step = np.clip(2.5 * best / np.maximum(options.shared, _NARROWEST), 0.2, 1.0)
    count = 4 * np.ceil((2 * _REACH / step + 1) / 4)
    return np.where(options.shared < _NO_FACTOR, 1, count).astype(np.int64)


@lru_cache
def _common_factor(count: int) -> tuple[Floats, Floats]:
    """Nodes and weights (trapezoid) of a standard normal."""
    nodes = np.linspace(-_REACH, _REACH, count) if count > 1 else np.zeros(1)
    weights = np.exp(-0.5 * nodes**2)
    return nodes, weights / weights.sum()


def _law_of_the_best(options: Options, count: int) -> Floats:
    """(N, K) probability of each message, every row with at least one candidate.

    `count` is the number of nodes of the common factor.
    """
    spread = np.hypot(options.own, options.shared[:, None])
    own = np.maximum(options.own, _LEAST_OWN * spread)
    load = np.sqrt(np.maximum(spread**2 - own**2, 0.0))
    nodes, node_weights = _common_factor(count)
    at = _standardised(options, _levels(options, spread), own)
    shifts = (load / own)[:, :, None] * nodes
    log_f = _log_phi(at, shifts)  # (N, K, nodes, J)
    total = log_f.sum(axis=1)
    product = np.exp(total)
    rise = product[..., 1:] - product[..., :-1]
    climb = total[..., 1:] - total[..., :-1]
    rate = np.divide(rise, climb, out=np.zeros_like(rise), where=climb > 0)
    rate *= node_weights[:, None]
    # sum_j rate_j (log_f[j+1] - log_f[j]), summed by parts: one product instead of a difference
    weights = np.zeros_like(total)
    weights[..., 1:] = rate
    weights[..., :-1] -= rate
    n, k = own.shape
    share = np.matmul(log_f.reshape(n, k, -1), weights.reshape(n, -1, 1))[:, :, 0]
    share = np.maximum(np.where(options.offered, share, 0.0), 0.0)
    # What lies beyond the last level is spread like the rest.
    send = 1.0 - product[:, :, 0] @ node_weights
    found = share.sum(axis=1)
    return np.asarray(
        share * np.divide(send, found, out=np.zeros_like(found), where=found > 0)[:, None]
    )


def _log_phi(at: Floats, shifts: Floats) -> Floats:
    """Log Phi(at - shift) for (N, K, J) levels and (N, K, nodes) shifts: (N, K, nodes, J).

    By table; scaling to its index comes before the outer difference, which is the largest array.
    """
    index = (at + _TABLE_REACH) * _TABLE_DENSITY + 0.5
    np.clip(index, -_FAR, _FAR, out=index)
    apart = index[:, :, None, :] - (shifts * _TABLE_DENSITY)[..., None]
    return _LOG_PHI.take(apart.astype(np.int32), mode="clip")


@dataclass(frozen=True, slots=True)
class InverseGap:
    """Inverse-gap weighting: probability falls with the distance from the best mean forecast."""

    gamma: float = 10_000.0
    """Larger explores less; per unit of net divided by the user's value. Nets are hundredths of a
    click: with 100 a dozen messages that cost more than they bring went out two days in three.
    """
    name: str = "inverse_gap"

    def probabilities(self, options: Options) -> Floats:
        """P(m) = 1 / (A + gamma gap_m / v) over A actions; the greedy ones share the rest."""
        usable = options.offered & (options.value > 0)[:, None]
        net = np.where(usable, options.net, -np.inf)
        worth = np.concatenate([net, options.abstain_reward[:, None]], axis=1)
        possible = worth > -np.inf
        best = worth.max(axis=1, keepdims=True)
        gap = np.subtract(best, worth, out=np.zeros_like(worth), where=possible)
        unit = np.where(options.value > 0, options.value, 1.0)[:, None]
        actions = possible.sum(axis=1, keepdims=True)
        with np.errstate(over="ignore"):  # a value near 0 makes a gap endless, its probability 0
            law = np.where(possible, 1.0 / (actions + self.gamma * gap / unit), 0.0)
        # Untried messages forecast alike: the order of the catalog must not choose among them.
        greedy = worth == best
        law[greedy] = 0.0
        rest = 1.0 - law.sum(axis=1, keepdims=True)
        law = np.where(greedy, rest / greedy.sum(axis=1, keepdims=True), law)
        return np.asarray(law[:, :-1])


def rounded(law: Floats) -> Floats:
    """The law without its smallest entries; the probability of sending at all stays what it was.

    A small entry's probability goes to the larger ones, so that no rounding turns silence into a
    send or back, except where all of sending, or all of silence, is too small to keep. Where many
    messages share what there is, so that none has much more than `SMALLEST`, what has half as much
    as the largest stays: no last bit may choose among messages that are alike.
    """
    send = law.sum(axis=1, keepdims=True)
    largest = law.max(axis=1, keepdims=True, initial=0.0)
    kept = np.where(law >= np.minimum(SMALLEST, largest / 2), law, 0.0)
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
    if sure.size:
        logged[sure, law[sure].argmax(axis=1)] += rest[sure]
        rest[sure] = 0.0
    return logged, rest
