"""Hard rules come first: which messages may be sent to this user now, and why not the others.

A rule removes candidates before anything is scored; it never enters learning as a choice. Each
removal has a reason from `decision.Reason`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.catalog import Catalog
from engine.decision import Reason


@dataclass(frozen=True, slots=True)
class Eligible:
    """What the rules left."""

    candidates: tuple[str, ...]
    blocked: tuple[tuple[str, Reason], ...]
    barred: Reason | None
    """The rule that blocks every message, known or not; then nothing else is listed."""


def eligible(catalog: Catalog, wanted: Sequence[str] | None, *, unsubscribed: bool) -> Eligible:
    """Split the messages asked for (None: all there are) into candidates and blocked."""
    if unsubscribed:
        return Eligible((), (), Reason.UNSUBSCRIBED)
    if wanted is None:
        return Eligible(tuple(catalog.messages), (), None)
    once = dict.fromkeys(wanted)  # named twice, a message would be two candidates of one name
    known = tuple(message for message in once if message in catalog.messages)
    unknown = tuple(
        (message, Reason.UNKNOWN_MESSAGE) for message in once if message not in catalog.messages
    )
    return Eligible(known, unknown, None)
