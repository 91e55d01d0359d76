"""Attribution: which decision an outcome belongs to, and what its two labels become.

A decision's labels follow from the *set* of its events with their times of arrival and from its
windows, never from the order of processing: repeating an event or handling it in another order
changes nothing. `settle` is that rule as one function; the stores reach the same labels event by
event and are checked against it.

Assumption: arrival times come from one clock, the service's. Limit: an unsubscribe that names no
decision cannot be traced to its cause, so `credit` spreads it by the hazards the policy logged,
which is as right as those hazards are.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

CREDIT_WINDOW_S = 7 * 86_400.0
"""An unsubscribe that names no decision is shared among the sends of this long before it; not with
deferred ones that nobody has confirmed, which may never have happened."""

CONFIRMING = frozenset({"sent", "click", "dismiss", "unsubscribe"})
"""Events that only a push which went out can cause: naming a deferred decision confirms it."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event as one decision sees it."""

    type: str
    """Name of the event type on the wire."""
    now: float
    """Time of arrival, seconds since the epoch."""
    share: float | None = 1.0
    """Of an unsubscribe only: the part credited to this decision, 1 when the event names it; None
    when it belongs to other decisions, which leaves this one without an unsubscribe label."""
    named: bool = True
    """False for an unsubscribe of the user that does not name this decision."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Until when a decision's labels can change, seconds since the epoch; an end is outside."""

    click: float | None
    """End of the click label's window; None where there is no such label."""
    unsubscribe: float | None
    confirm_by: float | None = None
    """Deferred: a confirming event must arrive before this."""
    gain_event: str = "click"
    """The event that is this decision's click label."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What a decision finally teaches: None for a label that teaches nothing."""

    click: float | None
    unsubscribe: float | None
    censored: bool
    """The whole decision is excluded on record."""


def credit(hazards: Sequence[float]) -> list[float]:
    """Each send's share of one unsubscribe, in proportion to its hazard; the shares sum to 1.

    `hazards` are the logged probabilities of unsubscribing, each 0 or more; all 0: equal shares.
    """
    total = sum(hazards)
    if total <= 0.0:
        return [1.0 / len(hazards) for _ in hazards]
    return [hazard / total for hazard in hazards]


def settle(events: Collection[Arrival], ends: Ends) -> Labels:
    """The labels of one decision once its windows have closed."""
    if _withdrawn(events, ends) or _unconfirmed(events, ends):
        return Labels(None, None, censored=True)
    return Labels(_click(events, ends), _unsubscribe(events, ends), censored=False)


def _withdrawn(events: Collection[Arrival], ends: Ends) -> bool:
    """Not carried out after all; where nothing waits for a label it is never too late to say so."""
    last = max((end for end in (ends.click, ends.unsubscribe) if end is not None), default=math.inf)
    return any(e.type == "not_sent" and e.now < last for e in events)


def _unconfirmed(events: Collection[Arrival], ends: Ends) -> bool:
    deadline = ends.confirm_by
    if deadline is None:
        return False
    return not any(e.type in CONFIRMING and e.named and e.now < deadline for e in events)


def _click(events: Collection[Arrival], ends: Ends) -> float | None:
    end = ends.click
    if end is None:
        return None
    return float(any(e.type == ends.gain_event and e.now < end for e in events))


def _unsubscribe(events: Collection[Arrival], ends: Ends) -> float | None:
    """The earliest unsubscribe settles it; at the same instant, the one with the larger share."""
    end = ends.unsubscribe
    if end is None:
        return None
    taken = [e for e in events if e.type == "unsubscribe" and e.now < end]
    if not taken:
        return 0.0
    return min(taken, key=lambda e: (e.now, 1.0 if e.share is None else -e.share)).share
