"""What a send is worth: gain, annoyance, net, and the reward for abstaining.

    gain(m)      = v (p_click(m) - p0)
    annoyance(m) = p_unsubscribe(m) L + price + c_send(m) + scarcity(m)
    net(m)       = gain(m) - annoyance(m)
    r0           = rho max(0, -max_m (net(m) + scarcity(m))),   0 <= rho <= 1

The abstain reward r0 is positive exactly where a send would do harm by itself. It never changes the
greedy choice (silence is worth 0 against a negative net either way); it widens the gap, so that
exploring a harmful send needs a sampled net above the mean shortfall. The model pays it to itself:
it is logged with the decision and enters no reported utility and no estimate.

Scarcity is what the slots of a budget that a send takes are worth to others (`engine.scarcity`). It
is no harm to the user, so silence earns nothing for it: a slot kept is paid for once, by the send
that takes it later.

Forecasts and their worth are kept apart: changing a price needs no retraining.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from engine.decision import Floats

MOST_PESSIMISM = 0.7
"""Largest shift of the unsubscribe logit: uncertainty may double a hazard, not invent one."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What each candidate would bring and cost; all (N, K) unless said."""

    p_click: Floats
    p_unsubscribe: Floats
    gain: Floats
    unsubscribe: Floats
    """First part of annoyance; then come the price, the send cost and the scarcity."""
    send_cost: Floats
    scarcity: Floats
    annoyance: Floats
    net: Floats


def probability(logit: Floats) -> Floats:
    """Sigmoid, rounded to the float32 that is logged."""
    return np.asarray(expit(logit).astype(np.float32).astype(np.float64))


def pessimistic(logit: Floats, deviation: Floats, pessimism: Floats) -> Floats:
    """The unsubscribe logit a cautious sender acts on; `pessimism` is (N,), in deviations."""
    return np.asarray(logit + np.minimum(pessimism[:, None] * deviation, MOST_PESSIMISM))


def terms(
    p_click: Floats,
    p_unsubscribe: Floats,
    *,
    value: Floats,
    p0: Floats,
    unsubscribe_cost: Floats,
    price: Floats,
    send_cost: Floats,
    scarcity: Floats,
) -> Terms:
    """Price N users' candidates; all are (N, K) but value, p0, unsubscribe cost and price, (N,)."""
    gain = value[:, None] * (p_click - p0[:, None])
    unsubscribe = p_unsubscribe * unsubscribe_cost[:, None]
    annoyance = unsubscribe + price[:, None] + send_cost + scarcity
    net = gain - annoyance
    return Terms(p_click, p_unsubscribe, gain, unsubscribe, send_cost, scarcity, annoyance, net)


def abstain_reward(net: Floats, offered: NDArray[np.bool_], rho: float) -> Floats:
    """(N,) reward of silence, from nets before scarcity; 0 where there is no candidate."""
    best = np.max(net, axis=1, where=offered, initial=-np.inf)
    shortfall = np.where(offered.any(axis=1), np.maximum(0.0, -best), 0.0)
    return np.asarray(rho * shortfall)
