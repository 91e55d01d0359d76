"""The price of patience: what one more send now costs in later value, and what leaving costs.

    L_u = v S(b),   price = v (W(b) - S(b)) >= 0,   v: the user's running mean value

W and S are the worth of waiting and of a user who stays after a send, in clicks, from the decision
process over his burden (`burden_process`), with the heads' forecasts for this user at any burden
and in any moment. Burden stands in the common block alone, so its effect on a logit is the same
for every user and message: the grid costs one small vector, not another forecast. The hazard is the
expected one: pessimism is for the decision, not for the future.

An unsubscribe loses S and not W: the send has been made either way, and price accounts for it.
Where an outcome also happens unprompted, a send is worth what it adds.

What this process remembers is a start for the iteration, by kind of user (how likely the best click
and its unsubscribe are), and recent moments. A start shortens the iteration and does not decide
where it ends: a price may not depend on who was asked before.

Danger: a confident but wrong model of patience is worse than a flat cost, so burden may only tire
(monotone effects), the price is capped, and a message's send cost is charged on top of it. And a
price that is too high hides its error: who is left in peace does not show what he would have borne.
So people are taken to tire less than the heads believe, by `DOUBT` standard deviations, of clicking
and of staying.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from engine.burden_process import Offers, Pace, Process, choice, process, worth_of
from engine.catalog import Catalog
from engine.decision import Floats, Request
from engine.moments import Kind, Moments
from engine.snapshot import Forecast, Snapshot

DAY = 86400.0
DOUBT = 1.0
"""Without any, a world in which nobody tires loses 8 of a hundred of its optimum (12 populations);
half as much again changes nothing there that can be told from noise, nor where people do tire.
"""
KINDS = 32
"""Kinds of users along each axis, half a logit wide."""
LOWEST = -12.0, -16.0
"""Smallest logarithm of worth and logit of an unsubscribe that make a kind of their own."""
LEAST_WORTH = 1e-6
MOST_ROUNDS = 8
"""Of policy iteration, which ends when the policy stands still: from a near start after one or two.
"""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a decision knows of N users' futures; K is the longest list of candidates."""

    snapshot: Snapshot
    catalog: Catalog
    requests: Sequence[Request]
    rows: NDArray[np.int64]
    """(N, K) catalog rows of the candidates."""
    offered: NDArray[np.bool_]
    """(N, K) what is not padding."""
    forecast: Forecast
    burdens: Floats
    """(N,) of the forecast."""
    send_cost: Floats
    """(N, K)"""
    value: Floats
    """(N,) running mean of what a click of each user is worth."""
    half_life: float
    """Of the burden, in seconds."""
    p0: Floats | None = None
    """(N,) probability of the outcome without a send; None: it needs one."""
    supposed: bool = False
    """Nobody asked: these users were not met, and nothing may be remembered of them."""


class Patience(Protocol):
    """Prices the future of N users."""

    def costs(self, outlook: Outlook) -> tuple[Floats, Floats]:
        """(N,) cost of losing each user, and (N,) price of one more send; in the unit of value."""


@dataclass(frozen=True, slots=True)
class ConstantPatience:
    """Asserted costs, the same for everyone."""

    unsubscribe_cost: float = 5.0
    price: float = 0.0

    def costs(self, outlook: Outlook) -> tuple[Floats, Floats]:
        """The configured numbers."""
        size = len(outlook.requests)
        return np.full(size, self.unsubscribe_cost), np.full(size, self.price)


class Starts:
    """The last policy found for each kind of user: where the next of his kind starts."""

    def __init__(self, points: int, moments: int) -> None:
        self.values = np.zeros((KINDS, KINDS, points))
        self.sends = np.zeros((KINDS, KINDS, points, moments), np.bool_)
        self.known = np.zeros((KINDS, KINDS), np.bool_)


class LearnedPatience:
    """Costs that follow from the heads, each user by himself."""

    def __init__(
        self,
        *,
        horizon: float = 90 * DAY,
        gap: float = DAY,
        gap_after_send: float = 0.0,
        most_price: float = 1.0,
        keys: Mapping[str, Kind] | None = None,
        strength: float = 1.0,
    ) -> None:
        """Times in seconds: how far ahead value counts, the mean time between a user's decisions,
        and the minimum gap after a send. `most_price` is in clicks. `keys` declares which context
        keys last and which pass. `strength` is how many unsubscribes one is counted for, now and
        in the future that is priced: multiplying the costs of an unchanged future instead would
        silence users altogether, because a first send is worth but a little more than waiting.
        """
        self._horizon, self._gap, self._gap_after_send = horizon, gap, max(gap, gap_after_send)
        self._most_price, self._strength = most_price, strength
        self._moments = Moments(keys)
        self._starts: dict[tuple[Pace, int], Starts] = {}
        self._tiring: tuple[Snapshot, Process, Floats] | None = None

    def costs(self, outlook: Outlook) -> tuple[Floats, Floats]:
        """The module's formulas; 0 where a user has no candidate."""
        if not outlook.supposed:
            self._moments.meet(outlook.requests)
        if not outlook.offered.any():
            nothing = np.zeros(len(outlook.requests))
            return nothing, nothing
        pace = Pace(self._gap, self._gap_after_send, outlook.half_life, self._horizon)
        of = process(pace)
        values = self._solved(outlook, of)
        waiting, sending = of.at(outlook.burdens, values)
        scale = np.where(outlook.offered.any(axis=1), outlook.value, 0.0)
        price = np.clip(waiting - sending, 0.0, self._most_price)
        return scale * self._strength * np.maximum(sending, 0.0), scale * price

    def _solved(self, outlook: Outlook, of: Process) -> Floats:
        """(N, G) worth of the future at every burden of the grid."""
        beyond = self._beyond(outlook, of)
        click, leave, weights = _everywhere(outlook, beyond, self._moments)
        unit = np.where(outlook.value > 0, outlook.value, 1.0)[:, None]
        worth = expit(click) - (outlook.send_cost / unit)[:, None, None, :]
        if outlook.p0 is not None:
            worth -= expit(logit(outlook.p0)[:, None] + beyond[0])[:, :, None, None]
        if not outlook.offered.all():
            worth = np.where(outlook.offered[:, None, None, :], worth, -np.inf)
        stays = np.maximum(1.0 - self._strength * expit(leave), 0.0)
        offers = Offers(worth, stays, weights)
        kinds = _kinds(worth[:, 0, -1], leave[:, 0, -1])
        starts = self._starts.setdefault(
            (of.pace, weights.size), Starts(of.grid.size, weights.size)
        )
        best, sends = choice(starts.values[kinds], offers, of)
        sends = np.where(starts.known[kinds][:, None, None], starts.sends[kinds], sends)
        for _ in range(MOST_ROUNDS):
            values = worth_of(best, sends, offers, of)
            before = best, sends
            best, sends = choice(values, offers, of)
            if all(map(np.array_equal, before, (best, sends))):
                break
        if not outlook.supposed:
            starts.values[kinds], starts.sends[kinds], starts.known[kinds] = values, sends, True
        return values

    def _beyond(self, outlook: Outlook, of: Process) -> Floats:
        """(2, N, G) what the grid's burdens add to both logits beyond what the own burden does.

        Both sides are held monotone: a burden that is believed to do no harm must not make a
        future without it look worse.
        """
        there = self._tired(outlook.snapshot, of)
        click, leave = outlook.snapshot.burden_effect(outlook.burdens, DOUBT)
        click = np.minimum(click, np.interp(outlook.burdens, of.grid, there[0]))
        leave = np.maximum(leave, np.interp(outlook.burdens, of.grid, there[1]))
        return np.asarray(there[:, None, :] - np.stack([click, leave])[:, :, None])

    def _tired(self, snapshot: Snapshot, of: Process) -> Floats:
        """(2, G) what the grid's burdens add to both logits; more of it never helps."""
        known = self._tiring
        if known is None or known[0] is not snapshot or known[1] is not of:
            click, leave = snapshot.burden_effect(of.grid, DOUBT)
            effect = np.stack([np.minimum.accumulate(click), np.maximum.accumulate(leave)])
            known = self._tiring = snapshot, of, effect
        return known[2]


def _everywhere(
    outlook: Outlook, beyond: Floats, moments: Moments
) -> tuple[Floats, Floats, Floats]:
    """Logits of click and unsubscribe, (N, G, Q, K), and the weights of the moments (Q,)."""
    snapshot, forecast = outlook.snapshot, outlook.forecast
    lasting = np.stack([forecast.click, forecast.unsubscribe])
    if not moments.keys or not moments.met:
        return (*(lasting[:, :, None, None, :] + beyond[..., None, None]), np.ones(1))
    own = [snapshot.encoder.encode(r.context, moments.keys) for r in outlook.requests]
    lasting -= snapshot.effect(own, outlook.catalog.hashes(outlook.rows))
    rows = outlook.rows
    if len(rows) == 1:
        passing = moments.effects(snapshot, outlook.catalog, rows[0])[:, :, None]
    else:
        every, place = np.unique(rows, return_inverse=True)
        effects = moments.effects(snapshot, outlook.catalog, every)
        passing = effects[:, :, place.reshape(rows.shape)]
    logits = (lasting[:, :, None, :] + passing.transpose(0, 2, 1, 3))[:, :, None]
    # The largest array there is; float32 halves its cost and rounds far below what is learned.
    click, leave = logits.astype(np.float32) + beyond.astype(np.float32)[..., None, None]
    number = passing.shape[1]
    return click, leave, np.full(number, 1.0 / number)


def _kinds(worth: Floats, leave: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cell of each user, by his best worth at no burden and the unsubscribe logit beside it (N, K),
    in the best of moments.
    """
    best = worth.argmax(axis=1)
    place = np.arange(len(best))
    click = np.log(np.maximum(worth[place, best], LEAST_WORTH))
    first = (click - LOWEST[0]) * 2.0
    second = (leave[place, best] - LOWEST[1]) * 2.0
    cells = np.clip(np.stack([first, second]), 0, KINDS - 1).astype(np.int64)
    return cells[0], cells[1]
