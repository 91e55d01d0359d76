"""From bytes to validated questions and events, with a sentence for whatever cannot be used.

The decoder checks types and limits; here its terse complaints become sentences, and what a type
cannot say is checked: repeated messages, times no clock can be trusted with, events without the
decision they need.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from engine.arms import Arm
from engine.errors import BadInput
from engine.quiet_hours import time_zone
from engine.rules import Cap, parse_cap
from service.auth import Caller
from service.clock import Clock
from service.deciding import Ask
from service.problems import Kind, Refused
from service.schemas import (
    DecisionBatch,
    DecisionRequest,
    EventBatch,
    EventRequest,
    ExplainRequest,
    Name,
)
from service.store.protocol import ABOUT_CONSENT, Event, EventType, Idempotency
from service.wording import complaint

T = TypeVar("T")

SKEW_AHEAD_S: Final = 300.0
SKEW_BEHIND_S: Final = 86_400.0
FIRST_YEAR, LAST_YEAR = 1970, 2200

NOBODY: Final = "nobody"
"""Stands for the user of a question about none that is stored."""

NEEDS_DECISION = frozenset(
    {
        EventType.CLICK,
        EventType.SENT,
        EventType.NOT_SENT,
    }
)

decision_decoder = msgspec.json.Decoder(DecisionRequest)
batch_decoder = msgspec.json.Decoder(DecisionBatch)
explain_decoder = msgspec.json.Decoder(ExplainRequest)
event_decoder = msgspec.json.Decoder(EventRequest)
events_decoder = msgspec.json.Decoder(EventBatch)
object_decoder = msgspec.json.Decoder(dict[str, Any])
_canonical = msgspec.json.Encoder(order="deterministic")
_unreadable = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read(body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    """The decoded body; raises `Refused` with a sentence."""
    try:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:  # what comes after it may not even be JSON
            raise Refused(Kind.INVALID_REQUEST, complaint(error, bytes(body))) from None
    except _unreadable as error:
        raise Refused(Kind.MALFORMED_BODY, complaint(error, bytes(body))) from None


def read_ask(request: DecisionRequest, caller: Caller, clock: Clock) -> Ask:
    """One validated question; raises `Refused` for what no type can say."""
    at = None if request.at is None else seconds(request.at)
    if at is not None and not clock.simulated:
        _check_skew(at, clock.now())
    if request.messages is not None:
        _check_distinct(request.messages)
    return Ask(
        user_id=request.user_id,
        context=request.context,
        value=request.value,
        messages=None if request.messages is None else tuple(request.messages),
        deferred=request.deferred,
        at=at,
        zone=None if request.time_zone is None else _zone(request.time_zone),
        idempotency=_idempotency(request, caller),
    )


def read_supposed(request: ExplainRequest) -> Ask:
    """A question that nobody asked; raises `Refused` for what no type can say."""
    if request.messages is not None:
        _check_distinct(request.messages)
    if request.state is not None:
        for send in request.state.sends:
            seconds(send.at)
    return Ask(
        user_id=request.user_id or NOBODY,
        context=request.context,
        value=request.value,
        messages=None if request.messages is None else tuple(request.messages),
        zone=None if request.time_zone is None else _zone(request.time_zone),
        arm=Arm.BANDIT if request.user_id is None else None,
    )


def with_key(request: DecisionRequest, header: str | None) -> DecisionRequest:
    """The request with the Idempotency-Key header taken into account."""
    if header is None or header == request.idempotency_key:
        return request
    if request.idempotency_key is not None:
        raise Refused(
            Kind.INVALID_REQUEST,
            "The Idempotency-Key header and idempotency_key in the body differ; give one of them.",
        )
    if not 1 <= len(header) <= 255:
        raise Refused(
            Kind.INVALID_REQUEST,
            f"The Idempotency-Key header has {len(header)} characters; expected 1 to 255.",
        )
    return msgspec.structs.replace(request, idempotency_key=header)


def _idempotency(request: DecisionRequest, caller: Caller) -> Idempotency | None:
    """Names a record by a hash: the key may be anything, and must not show who the user is."""
    key = request.idempotency_key
    if key is None:
        return None
    name = _digest(msgspec.json.encode([caller.key_id, request.user_id, key]))
    content = msgspec.structs.replace(request, idempotency_key=None)
    return Idempotency(name, _digest(_canonical.encode(content)))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _check_distinct(messages: Sequence[str]) -> None:
    if len(set(messages)) == len(messages):
        return
    repeated = next(m for n, m in enumerate(messages) if m in messages[:n])
    raise Refused(
        Kind.INVALID_REQUEST,
        f"`messages` holds {repeated[:80]!r} more than once; list each message once.",
    )


def _zone(key: str) -> ZoneInfo:
    try:
        return time_zone(key)
    except BadInput as error:
        raise Refused(Kind.INVALID_REQUEST, f"`time_zone`: {error}.") from None


def seconds(at: datetime) -> float:
    """Seconds since the epoch; raises `Refused` for a year that no service has lived in."""
    if not FIRST_YEAR <= at.year < LAST_YEAR:
        raise Refused(
            Kind.INVALID_REQUEST,
            f"`at` lies in the year {at.year}; expected {FIRST_YEAR} to {LAST_YEAR - 1}.",
        )
    return at.timestamp()


def _check_skew(at: float, now: float) -> None:
    """A question is about now; any other comes from a wrong clock or a stuck queue."""
    if -SKEW_BEHIND_S <= at - now <= SKEW_AHEAD_S:
        return
    side = "ahead of" if at > now else "behind"
    raise Refused(
        Kind.INVALID_REQUEST,
        f"`at` is {abs(at - now):.0f} seconds {side} this service's clock; expected at most "
        f"{SKEW_AHEAD_S:.0f} ahead and {SKEW_BEHIND_S:.0f} behind: set the sender's clock, "
        "or leave `at` out.",
    )


def read_event(body: msgspec.Raw, clock: Clock) -> Event:
    """One validated event; raises `Refused` with a sentence."""
    request = read(body, event_decoder)
    if request.decision_id is None and request.type in NEEDS_DECISION:
        raise Refused(
            Kind.INVALID_REQUEST,
            f"`decision_id` is missing, and a {request.type.value} event needs it; add it.",
        )
    _check_belongs(request)
    tolerance = read_cap(request.tolerance)
    at = None if request.at is None else seconds(request.at)
    now = clock.arrival(at)
    return Event(
        event_id=request.event_id,
        type=request.type,
        user_id=request.user_id,
        now=now,
        at=now if at is None else at,
        decision_id=request.decision_id,
        value=request.value,
        channel=request.channel,
        tolerance=tolerance,
    )


def _check_belongs(request: EventRequest) -> None:
    """A channel without consent, or a tolerance without its event, would be lost in silence."""
    if request.channel is not None and request.type not in ABOUT_CONSENT:
        raise Refused(
            Kind.INVALID_REQUEST,
            f"`channel` was given with a {request.type.value} event; only an unsubscribe or a "
            "subscribe has one: leave it out.",
        )
    if request.tolerance is not None and request.type is not EventType.TOLERANCE:
        raise Refused(
            Kind.INVALID_REQUEST,
            f"`tolerance` was given with a {request.type.value} event; only a tolerance event has "
            "one: leave it out.",
        )


def read_cap(text: str | None) -> Cap | None:
    """A tolerance as written; raises `Refused` with a sentence."""
    try:
        return None if text is None else parse_cap(text)
    except BadInput as error:
        raise Refused(Kind.INVALID_REQUEST, f"`tolerance`: {error}.") from None


class _Named(msgspec.Struct):
    event_id: Name


def event_id_of(body: msgspec.Raw) -> str | None:
    """The id of an event that cannot be used, if it has one, so that its sender can find it."""
    try:
        return msgspec.json.decode(body, type=_Named).event_id
    except _unreadable:
        return None
