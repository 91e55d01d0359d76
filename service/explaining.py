"""Questions nobody asked: a user and a time as supposed, and records as a reader sees them."""

from collections.abc import Sequence
from typing import Any

from engine.burden import decayed
from engine.catalog import Catalog
from engine.consent import EVERYWHERE, NOWHERE, Consent
from engine.decision import Decision
from engine.explanation import explained
from engine.history import BY_OTHERS, Send
from service.reading import read_cap
from service.routes.answering import time_text, time_text_or_null
from service.schemas import SupposedState
from service.store.protocol import StoredUser


def told(decision: Decision, catalog: Catalog) -> dict[str, Any]:
    """The full record with every message's terms or rule, times as text."""
    record = explained(decision, catalog)
    blocked = [one | {"free_at": time_text_or_null(one["free_at"])} for one in record["blocked"]]
    return record | {"at": time_text(decision.at), "blocked": blocked}


def supposed_user(
    state: SupposedState, catalog: Catalog, now: float, half_life: float
) -> StoredUser:
    """The user as the store would hold him had all this happened."""
    sends = sorted(state.sends, key=lambda send: send.at)
    history = tuple(
        Send(send.at.timestamp(), send.message or BY_OTHERS, _tags(catalog, send.message), mark)
        for mark, send in enumerate(sends, start=1)
    )
    follows = sum(decayed(1.0, send.at, now, half_life) for send in history if send.at <= now)
    return StoredUser(
        version=len(history),
        burden=follows if state.burden is None else state.burden,
        burden_at=now,
        last_send_at=history[-1].at if history else None,
        first_seen_at=history[0].at if history else None,
        consent=_consent(state.unsubscribed),
        history=history,
        tolerance=read_cap(state.tolerance),
    )


def _consent(unsubscribed: bool | Sequence[str]) -> Consent:
    if isinstance(unsubscribed, bool):
        return NOWHERE if unsubscribed else EVERYWHERE
    return Consent(everywhere=True, exceptions=frozenset(unsubscribed))


def _tags(catalog: Catalog, message: str | None) -> tuple[str, ...]:
    known = catalog.messages.get(message or BY_OTHERS)
    return known.tags if known else ()
