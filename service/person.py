"""Everything that is stored about one user, in a shape that can be handed to that user.

What is listed here is what erasure deletes. Not here, because it names nobody: what the model has
learned, and the lessons on their way to it.
"""

from collections.abc import Sequence
from typing import Any

from engine.burden import decayed
from engine.consent import Consent
from engine.errors import BadInput
from service.outcomes import Outcomes
from service.routes.answering import time_text, time_text_or_null
from service.store.protocol import LogEntry, Store, StoredUser

LONGEST_ID = 256


def checked_id(user_id: str) -> str:
    """A user id as it can be in the store; `BadInput` for any other."""
    try:
        user_id.encode()
    except UnicodeEncodeError:
        raise BadInput(
            f"the user id {user_id!r} is not UTF-8; expected the id that the requests had: "
            "correct it"
        ) from None
    if not 1 <= len(user_id) <= LONGEST_ID:
        raise BadInput(
            f"the user id has {len(user_id)} characters; expected 1 to {LONGEST_ID}: correct it"
        )
    return user_id


async def everything(store: Store, user_id: str, now: float, half_life_s: float) -> dict[str, Any]:
    """The user's state, decisions with candidates and labels, events, and what else is kept."""
    state, held = await store.user(user_id), await store.holdings(user_id)
    return {
        "user_id": user_id,
        "at": time_text(now),
        "state": _state(state, now, half_life_s),
        "decisions": _decisions(held.log),
        "events": [_event(entry) for entry in held.log if entry.kind == "event"],
        "open_decisions": list(held.decisions),
        "event_ids": list(held.event_ids),
        "idempotency_records": list(held.idempotency_records),
    }


def _state(user: StoredUser, now: float, half_life_s: float) -> dict[str, Any]:
    return {
        "unsubscribed": user.unsubscribed,
        "consent": consent_by_channel(user.consent),
        "tolerance": None if user.tolerance is None else str(user.tolerance),
        "burden": decayed(user.burden, user.burden_at, now, half_life_s),
        "first_seen_at": time_text_or_null(user.first_seen_at),
        "last_send_at": time_text_or_null(user.last_send_at),
        "decisions": user.decisions,
        "sends": user.sends,
        "clicks": user.clicks,
        "mean_value": user.mean_value,
        "recent_sends": [
            {"at": time_text(send.at), "message": send.message or None, "tags": list(send.tags)}
            for send in user.history
        ],
    }


def consent_by_channel(consent: Consent) -> dict[str, bool]:
    """Channel -> whether the user may be messaged there; `others` are all that are not named."""
    exceptions = dict.fromkeys(sorted(consent.exceptions), not consent.everywhere)
    return exceptions | {"others": consent.everywhere}


def _decisions(log: Sequence[LogEntry]) -> list[dict[str, Any]]:
    """Every decision with what became of it, oldest first."""
    outcomes = Outcomes()
    for entry in log:
        outcomes.note(entry)
    made = (outcomes.record(entry) for entry in log if entry.kind == "decision")
    return [record | {"at": time_text(record["at"])} for record in made]


def _event(entry: LogEntry) -> dict[str, Any]:
    return {
        "event_id": entry.event_id,
        "type": entry.type,
        "decision_id": entry.decision_id,
        "at": time_text_or_null(entry.at),
        "arrived": time_text_or_null(entry.arrived),
        "value": entry.value,
        "channel": entry.channel or None,
        "tolerance": entry.tolerance or None,
        "status": entry.status,
    }
