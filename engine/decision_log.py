"""A decision <-> a row: the contract between serving and evaluation. One row for every decision.

A row is compact (as JSON, 20 candidates and 30 facts are six times as large): scalars and names in
MessagePack, the three columns that cannot be derived as float32. Gain, annoyance and net are not
stored: they follow from the forecasts and the prices, and `from_row` derives them with the same
arithmetic that decided. The format number comes first; another one is refused, not guessed at.
"""

from typing import Any

import msgspec
import numpy as np

from engine.arms import Arm
from engine.decision import Context, Decision, Floats, Forecasts, Reason
from engine.errors import BadInput
from engine.valuation import terms

FORMAT = 2


class _Row(msgspec.Struct, array_like=True):
    """The stored fields, in their order; a change of either is a new format."""

    format: int
    decision_id: str
    user_id: str
    at: float
    context: dict[str, float | str | bool]
    value: float
    burden: float
    candidates: list[str]
    p_click: bytes
    p_unsubscribe: bytes
    propensities: bytes
    send_costs: float | list[float]
    """One number where all candidates cost the same."""
    scarcities: float | list[float]
    """The same for the prices of their budgets."""
    blocked: list[tuple[str, Reason]]
    p0: float
    unsubscribe_cost: float
    price: float
    action: int | None
    propensity: float | None
    abstain_propensity: float | None
    abstain_reward: float
    reason: Reason
    arm: Arm
    policy: str
    model_version: int
    encoder_version: int
    free_at: float | list[float | None] | None
    """By blocked message; one entry where they are all free at the same time."""
    time_zone: str | None
    configuration_version: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Row).decode


def to_row(decision: Decision) -> bytes:
    """The decision as stored."""
    columns = decision.forecasts
    return _encode(
        _Row(
            format=FORMAT,
            decision_id=decision.decision_id,
            user_id=decision.user_id,
            at=decision.at,
            context=dict(decision.context),
            value=decision.value,
            burden=decision.burden,
            candidates=list(decision.candidates),
            p_click=_narrow(columns.p_click),
            p_unsubscribe=_narrow(columns.p_unsubscribe),
            propensities=_narrow(columns.propensity),
            send_costs=_short(columns.send_cost),
            scarcities=_short(columns.scarcity),
            blocked=list(decision.blocked),
            p0=decision.p0,
            unsubscribe_cost=decision.unsubscribe_cost,
            price=decision.price,
            action=decision.chosen,
            propensity=decision.propensity,
            abstain_propensity=decision.abstain_propensity,
            abstain_reward=decision.abstain_reward,
            reason=decision.reason,
            arm=decision.arm,
            policy=decision.policy,
            model_version=decision.model_version,
            encoder_version=decision.encoder_version,
            free_at=_times(decision),
            time_zone=decision.time_zone,
            configuration_version=decision.configuration_version,
        )
    )


def from_row(row: bytes) -> Decision:
    """The decision in a row, equal in every field to the one that was stored."""
    try:
        stored = _decode(row)
    except msgspec.DecodeError as error:
        raise BadInput(
            f"a decision row of {len(row)} bytes cannot be read ({error}); "
            f"expected format {FORMAT}: read it with the release that wrote it"
        ) from error
    if stored.format != FORMAT:
        raise BadInput(
            f"a decision row has format {stored.format}; this release reads format {FORMAT}: "
            "read it with the release that wrote it"
        )
    if not _fits(stored):
        raise BadInput(
            f"decision row {stored.decision_id!r} has columns or an action that do not fit its "
            f"{len(stored.candidates)} candidates; expected it as it was written: fetch it again"
        )
    names = tuple(stored.candidates)
    return Decision(
        decision_id=stored.decision_id,
        user_id=stored.user_id,
        at=stored.at,
        context=stored.context,
        value=stored.value,
        burden=stored.burden,
        candidates=names,
        forecasts=_forecasts(stored),
        blocked=tuple(stored.blocked),
        p0=stored.p0,
        unsubscribe_cost=stored.unsubscribe_cost,
        price=stored.price,
        action=None if stored.action is None else names[stored.action],
        propensity=stored.propensity,
        abstain_propensity=stored.abstain_propensity,
        abstain_reward=stored.abstain_reward,
        reason=stored.reason,
        arm=stored.arm,
        policy=stored.policy,
        model_version=stored.model_version,
        encoder_version=stored.encoder_version,
        free_at=_free_at(stored),
        time_zone=stored.time_zone,
        configuration_version=stored.configuration_version,
    )


def _fits(stored: _Row) -> bool:
    size = len(stored.candidates)
    columns = (stored.p_click, stored.p_unsubscribe, stored.propensities)
    shortened = (stored.send_costs, stored.scarcities)
    return (
        all(len(column) == 4 * size for column in columns)
        and all(isinstance(costs, float) or len(costs) == size for costs in shortened)
        and (not isinstance(stored.free_at, list) or len(stored.free_at) == len(stored.blocked))
        and (stored.action is None or 0 <= stored.action < size)
    )


def _forecasts(stored: _Row) -> Forecasts:
    size = len(stored.candidates)
    priced = terms(
        _wide(stored.p_click)[None],
        _wide(stored.p_unsubscribe)[None],
        value=np.array([stored.value]),
        p0=np.array([stored.p0]),
        unsubscribe_cost=np.array([stored.unsubscribe_cost]),
        price=np.array([stored.price]),
        send_cost=_long(stored.send_costs, size),
        scarcity=_long(stored.scarcities, size),
    )
    return Forecasts(
        p_click=priced.p_click[0],
        p_unsubscribe=priced.p_unsubscribe[0],
        gain=priced.gain[0],
        unsubscribe=priced.unsubscribe[0],
        send_cost=priced.send_cost[0],
        scarcity=priced.scarcity[0],
        net=priced.net[0],
        propensity=_wide(stored.propensities),
    )


def _short(column: Floats) -> float | list[float]:
    numbers: list[float] = column.tolist()
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _long(numbers: float | list[float], size: int) -> Floats:
    """(1, size)"""
    return np.broadcast_to(np.asarray(numbers, np.float64), (1, size))


def _times(decision: Decision) -> float | list[float | None] | None:
    times = [decision.free_at.get(name) for name, _ in decision.blocked]
    return times[0] if times and len(set(times)) == 1 else times


def _free_at(stored: _Row) -> dict[str, float]:
    size, times = len(stored.blocked), stored.free_at
    column = times if isinstance(times, list) else [times] * size
    return {
        name: at for (name, _), at in zip(stored.blocked, column, strict=True) if at is not None
    }


def _narrow(column: Floats) -> bytes:
    return column.astype("<f4").tobytes()


def _wide(column: bytes) -> Floats:
    return np.frombuffer(column, "<f4").astype(np.float64)


def contention(
    decision_id: str,
    user_id: str,
    context: Context,
    value: float,
    now: float,
    arm: Arm = Arm.BANDIT,
) -> Decision:
    """The censored record of a decision whose user's state would not hold still."""
    nothing = np.zeros(0)
    return Decision(
        decision_id=decision_id,
        user_id=user_id,
        at=now,
        context=context,
        value=value,
        burden=0.0,
        candidates=(),
        forecasts=Forecasts(*[nothing] * 8),
        blocked=(),
        p0=0.0,
        unsubscribe_cost=0.0,
        price=0.0,
        action=None,
        propensity=None,
        abstain_propensity=None,
        abstain_reward=0.0,
        reason=Reason.CONTENTION,
        arm=arm,
        policy="",
        model_version=0,
        encoder_version=0,
    )


def to_json(decision: Decision) -> dict[str, Any]:
    """The full record for a reader: why, and why not the others."""
    columns = decision.forecasts
    candidates = [
        {
            "message": name,
            "p_click": float(columns.p_click[k]),
            "p_unsubscribe": float(columns.p_unsubscribe[k]),
            "gain": float(columns.gain[k]),
            "annoyance": annoyance(decision, k),
            "net": float(columns.net[k]),
            "propensity": float(columns.propensity[k]),
        }
        for k, name in enumerate(decision.candidates)
    ]
    return {
        "decision_id": decision.decision_id,
        "user_id": decision.user_id,
        "at": decision.at,
        "context": dict(decision.context),
        "value": decision.value,
        "burden": decision.burden,
        "action": decision.action,
        "reason": decision.reason,
        "propensity": decision.propensity,
        "abstain_propensity": decision.abstain_propensity,
        "abstain_reward": decision.abstain_reward,
        "p0": decision.p0,
        "unsubscribe_cost": decision.unsubscribe_cost,
        "price": decision.price,
        "candidates": candidates,
        "blocked": [
            {"message": name, "reason": reason, "free_at": decision.free_at.get(name)}
            for name, reason in decision.blocked
        ],
        "time_zone": decision.time_zone,
        "arm": decision.arm,
        "policy": decision.policy,
        "model_version": decision.model_version,
        "encoder_version": decision.encoder_version,
        "configuration_version": decision.configuration_version,
    }


def row_to_json(row: bytes) -> dict[str, Any]:
    """A stored row as the full record for a reader."""
    return to_json(from_row(row))


def annoyance(decision: Decision, k: int) -> dict[str, float]:
    """The parts of candidate k's annoyance, reported apart."""
    unsubscribe = float(decision.forecasts.unsubscribe[k])
    cost = float(decision.forecasts.send_cost[k])
    scarcity = float(decision.forecasts.scarcity[k])
    return {
        "unsubscribe": unsubscribe,
        "patience": decision.price,
        "send_cost": cost,
        "scarcity": scarcity,
        "total": unsubscribe + decision.price + cost + scarcity,
    }
