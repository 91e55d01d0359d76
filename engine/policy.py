"""The one composition: requests and states in, decisions out.

Encode, score, price, compute the law, draw, record. One user and a thousand take the same road;
time and randomness are arguments, so any decision can be made again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from engine import valuation
from engine.arm_laws import LEARNED, law_of_arms
from engine.arms import Arm
from engine.burden import decayed
from engine.catalog import Catalog
from engine.context import EncodedContext
from engine.decision import Decision, Floats, Forecasts, Reason, Request, UserState
from engine.exploration import Explorer, Options, Thompson, as_logged, rounded, with_floor
from engine.learning import teaching
from engine.patience import ConstantPatience, Outlook, Patience
from engine.rationing import Rations
from engine.snapshot import Forecast, Snapshot
from engine.valuation import Terms

NO_RATIONS = Rations()
CHUNK = 32
"""Users scored together: more do not fit the processor's cache."""
MOST_SCORED = 4096
"""Candidates scored together, padding included: the law's arrays hold some 20 KB for each."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How forecasts become actions; everything a team may set, and nothing that is learned."""

    explorer: Explorer = field(default_factory=Thompson)
    patience: Patience = field(default_factory=ConstantPatience)
    rho: float = 1.0
    """Share of the shortfall that silence earns; 0 switches the abstain reward off."""
    pessimism: float = 0.25
    """Deviations by which the unsubscribe logit is raised. More of it saves few users and can be a
    trap: who is not sent to teaches nobody that he would have stayed.
    """
    send_cost: float = 0.0
    """Cost of a send where the message has none of its own; in the unit of value."""
    floor: float = 0.01
    """Probability shared evenly by the harmless candidates."""
    floor_harm: float = 0.05
    """Annoyance, in clicks of the user, up to which a candidate counts as harmless: to the floor
    and to the random arm.
    """
    half_life: float = 4 * 86400.0
    """Of the burden, in seconds."""
    trial_gap: float = 14 * 86400.0
    """Least silence, in seconds, after which a user may be tried again without pessimism."""
    unprompted: bool = False
    """The outcome also happens without a send: only the increment over p0 is a gain."""

    @property
    def name(self) -> str:
        """What the log calls this policy."""
        return f"{self.explorer.name}/rho={self.rho:g}"

    def trial_after(self) -> float:
        """Seconds of silence after which a user is tried again."""
        return max(3 * self.half_life, self.trial_gap)


@dataclass(frozen=True, slots=True)
class Model:
    """All that answers depend on besides the request."""

    policy: Policy
    snapshot: Snapshot
    catalog: Catalog
    rations: Rations = NO_RATIONS
    """Of this catalog."""

    def scarcity(self, rows: NDArray[np.int64]) -> Floats:
        """What a send of each takes from budgets, at their prices; of the shape of `rows`."""
        return self.rations.scarcity[rows] if self.rations.budgets else np.zeros(rows.shape)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A decision and what it can teach once its outcome is known (empty: nothing)."""

    decision: Decision
    teaching: bytes


def decide(
    model: Model,
    requests: Sequence[Request],
    states: Sequence[UserState],
    decision_ids: Sequence[str],
    *,
    now: float,
    rng: Generator,
    supposed: bool = False,
) -> list[Drawn]:
    """Answer every request, in order; requests of one call do not see each other.

    `supposed`: nobody asked, and no part of the policy remembers the requests.
    """
    drawn: list[Drawn] = []
    for part in _parts([len(request.candidates) for request in requests]):
        asked = _asked(model, requests[part], states[part], now)
        scored = _scored(model, asked, supposed)
        draws = rng.random(len(asked.requests))
        chosen = (scored.law.cumsum(axis=1) <= draws[:, None]).sum(axis=1)
        drawn += [
            _record(model, asked, scored, i, int(chosen[i]), decision_id)
            for i, decision_id in enumerate(decision_ids[part])
        ]
    return drawn


def _parts(sizes: Sequence[int]) -> Iterator[slice]:
    """Neighbours scored together: whoever has more candidates than `MOST_SCORED` stands alone."""
    start, widest = 0, 0
    for i, size in enumerate(sizes):
        widest = max(widest, size)
        number = i + 1 - start
        if number > 1 and (number > CHUNK or number * widest > MOST_SCORED):
            yield slice(start, i)
            start, widest = i, size
    if sizes:
        yield slice(start, len(sizes))


@dataclass(frozen=True, slots=True)
class _Asked:
    """N requests, encoded; K is the longest list of candidates among them."""

    requests: Sequence[Request]
    now: float
    contexts: list[EncodedContext]
    burdens: Floats
    """(N,)"""
    usual_values: Floats
    """(N,) running mean of what a click of each user is worth."""
    learned: NDArray[np.bool_]
    """(N,) users for whom the learned policy decides."""
    trials: NDArray[np.bool_]
    """(N,) users left in peace for so long that they are tried again."""
    rows: NDArray[np.int64]
    """(N, K) catalog rows of the candidates; padding is the abstain row."""
    offered: NDArray[np.bool_]
    """(N, K) what is not padding."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """What each option is worth, and the law the action is drawn from."""

    options: Options
    terms: Terms
    unsubscribe_cost: Floats
    price: Floats
    law: Floats
    abstain: Floats


def _asked(
    model: Model, requests: Sequence[Request], states: Sequence[UserState], now: float
) -> _Asked:
    policy, catalog = model.policy, model.catalog
    width = max(len(request.candidates) for request in requests)
    rows = np.full((len(requests), width), catalog.abstain_row, np.int64)
    for i, request in enumerate(requests):
        rows[i, : len(request.candidates)] = catalog.rows(request.candidates)
    learned = np.array([request.arm in LEARNED for request in requests])
    silence = [now - _left_in_peace_since(state, now) for state in states]
    return _Asked(
        requests=requests,
        now=now,
        contexts=[model.snapshot.encoder.encode(request.context) for request in requests],
        burdens=np.array([decayed(s.burden, s.burden_at, now, policy.half_life) for s in states]),
        usual_values=np.array(
            [
                request.value if state.mean_value is None else state.mean_value
                for request, state in zip(requests, states, strict=True)
            ]
        ),
        learned=learned,
        trials=learned & (np.array(silence) > policy.trial_after()),
        rows=rows,
        offered=rows != catalog.abstain_row,
    )


def _left_in_peace_since(state: UserState, now: float) -> float:
    """Time of the last send, else of the first decision: silence may be all a user ever got."""
    for at in (state.last_send_at, state.first_seen_at):
        if at is not None:
            return at
    return now


def _forecast(model: Model, asked: _Asked) -> tuple[Forecast, Floats]:
    """Forecasts of the candidates, and (N,) p0: the click head asked about abstaining."""
    catalog, rows = model.catalog, asked.rows
    same = bool((rows == rows[0]).all())
    messages = catalog.hashes(rows[0] if same else rows)
    forecast = model.snapshot.forecast(asked.contexts, asked.burdens, messages)
    if not model.policy.unprompted:
        return forecast, np.zeros(len(rows))
    nothing = catalog.hashes(np.array([catalog.abstain_row]))
    silence = model.snapshot.forecast(asked.contexts, asked.burdens, nothing)
    return forecast, valuation.probability(silence.click)[:, 0]


def _scored(model: Model, asked: _Asked, supposed: bool) -> _Scored:
    policy = model.policy
    forecast, p0 = _forecast(model, asked)
    value = np.array([request.value for request in asked.requests])
    send_cost = model.catalog.send_costs(asked.rows, policy.send_cost)
    scarcity = model.scarcity(asked.rows)
    unsubscribe_cost, price = policy.patience.costs(
        Outlook(
            snapshot=model.snapshot,
            catalog=model.catalog,
            requests=asked.requests,
            rows=asked.rows,
            offered=asked.offered,
            forecast=forecast,
            burdens=asked.burdens,
            send_cost=send_cost + scarcity,  # later sends will have to pay for their slots too
            value=asked.usual_values,
            half_life=policy.half_life,
            p0=p0 if policy.unprompted else None,
            supposed=supposed,
        )
    )
    hazard = valuation.pessimistic(
        forecast.unsubscribe,
        forecast.unsubscribe_deviation,
        np.where(asked.trials, 0.0, policy.pessimism),
    )
    terms = valuation.terms(
        valuation.probability(forecast.click),
        valuation.probability(hazard),
        value=value,
        p0=p0,
        unsubscribe_cost=unsubscribe_cost,
        price=price,
        send_cost=send_cost,
        scarcity=scarcity,
    )
    reward = valuation.abstain_reward(terms.net + scarcity, asked.offered, policy.rho)
    options = Options(
        mean=forecast.click,
        shared=forecast.click_shared,
        own=forecast.click_own,
        cost=terms.annoyance,
        net=terms.net,
        value=value,
        p0=p0,
        abstain_reward=np.where(asked.learned & ~asked.trials, reward, 0.0),
        offered=asked.offered,
        tried=asked.trials,
    )
    law, abstain = _law(policy, asked, options, scarcity)
    return _Scored(options, terms, unsubscribe_cost, price, law, abstain)


def _law(
    policy: Policy, asked: _Asked, options: Options, scarcity: Floats
) -> tuple[Floats, Floats]:
    """(N, K) and (N,) what messages and silence are drawn with, each user in his arm."""
    law = rounded(policy.explorer.probabilities(options))
    wanted = asked.offered & (options.value > 0)[:, None]
    # In clicks, like every price of the future: the unit of worth must not switch exploring off.
    most = policy.floor_harm * options.value[:, None]
    law = with_floor(law, wanted & (options.cost <= most), policy.floor)
    # A dear slot harms nobody: what the random arm draws from must not hang on budgets' prices.
    harmless = wanted & (options.cost - scarcity <= most)
    arms = [request.arm for request in asked.requests]
    return as_logged(law_of_arms(law, arms, asked.offered, harmless))


def _record(
    model: Model, asked: _Asked, scored: _Scored, i: int, chosen: int, decision_id: str
) -> Drawn:
    """User i's decision; `chosen` is the drawn candidate, or past them all for abstaining."""
    request, terms = asked.requests[i], scored.terms
    size = len(request.candidates)
    withheld = request.arm is Arm.SHADOW and size > 0
    send = chosen < size and not withheld
    abstain = float(scored.abstain[i])
    decision = Decision(
        decision_id=decision_id,
        user_id=request.user_id,
        at=asked.now,
        context=request.context,
        value=request.value,
        burden=float(asked.burdens[i]),
        candidates=request.candidates,
        forecasts=Forecasts(
            p_click=terms.p_click[i, :size],
            p_unsubscribe=terms.p_unsubscribe[i, :size],
            gain=terms.gain[i, :size],
            unsubscribe=terms.unsubscribe[i, :size],
            send_cost=terms.send_cost[i, :size],
            scarcity=terms.scarcity[i, :size],
            net=terms.net[i, :size],
            propensity=scored.law[i, :size],
        ),
        blocked=request.blocked,
        free_at=request.free_at,
        time_zone=request.time_zone,
        p0=float(scored.options.p0[i]),
        unsubscribe_cost=float(scored.unsubscribe_cost[i]),
        price=float(scored.price[i]),
        action=request.candidates[chosen] if send else None,
        propensity=None if withheld else float(scored.law[i, chosen]) if send else abstain,
        abstain_propensity=abstain,
        abstain_reward=float(scored.options.abstain_reward[i]),
        reason=request.barred
        or _reason(terms.net[i, :size], request.arm, send=send, trial=bool(asked.trials[i])),
        arm=request.arm,
        policy=model.policy.name if request.arm in LEARNED else request.arm.value,
        model_version=model.snapshot.version,
        encoder_version=model.snapshot.encoder_version,
        configuration_version=model.catalog.version,
    )
    # In shadow mode another tool may have sent: its silence is not ours to learn from.
    if not (send or (model.policy.unprompted and request.arm is not Arm.SHADOW)):
        return Drawn(decision, b"")
    row = asked.rows[i, chosen] if send else model.catalog.abstain_row
    message = model.catalog.hashes(np.array([row]))[0]
    told = teaching(asked.contexts[i], request.context, decision.burden, message, asked.now)
    return Drawn(decision, told)


def _reason(net: Floats, arm: Arm, *, send: bool, trial: bool) -> Reason:
    if not net.size:
        return Reason.NO_CANDIDATE
    if arm is Arm.SHADOW:
        return Reason.SHADOW
    if send:
        return Reason.TRIAL if trial else Reason.CHOSEN
    if arm is Arm.RANDOM:
        return Reason.EXPLORED_SILENCE
    return Reason.ANNOYANCE_OUTWEIGHS_GAIN if net.max() <= 0 else Reason.EXPLORED_SILENCE
