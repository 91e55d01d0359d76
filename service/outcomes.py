"""What became of each decision, and of its user, read off the decision log.

Labels say what a decision brought: they are what is learned and what policies are estimated by. A
comparison of arms needs what came of the *user*, by whatever cause: a user of the holdout can buy
and leave too, and no decision of his was a send that it could be credited to. So an unsubscribe,
and a conversion that names no decision, also stand with the user's latest decision before it.
Whether they came in time for a label makes no difference here: in the holdout nothing has a window.
"""

from dataclasses import dataclass
from typing import Any

from engine.decision_log import row_to_json
from service.store.protocol import EventType, LogEntry


@dataclass(slots=True)
class Known:
    """What became of a decision, as far as the log tells."""

    status: str
    click: float | None = None
    unsubscribe: float | None = None
    conversion: float = 0.0
    unnamed_conversion: float = 0.0
    left: bool = False


class Outcomes:
    """What became of decisions, read off a log in its order."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._latest: dict[str, Known] = {}
        """By user."""
        self._gone: set[str] = set()

    def note(self, entry: LogEntry) -> None:
        """Take in one entry; what says nothing of an outcome changes nothing."""
        if entry.kind == "decision" and entry.decision_id:
            self._known[entry.decision_id] = self._latest[entry.user_id] = Known(entry.status)
        elif entry.kind == "labels":
            found = self._known.get(entry.decision_id or "")
            if found:
                found.status, found.click = entry.status, entry.click
                found.unsubscribe = entry.unsubscribe
        elif entry.type == EventType.CONVERSION:
            self._converted(entry)
        elif entry.type in (EventType.UNSUBSCRIBE, EventType.SUBSCRIBE):
            self._came_or_went(entry)

    def _converted(self, entry: LogEntry) -> None:
        worth = 1.0 if entry.value is None else entry.value
        if entry.decision_id is None:
            found = self._latest.get(entry.user_id)
            if found:
                found.unnamed_conversion += worth
        elif entry.decision_id in self._known:
            self._known[entry.decision_id].conversion += worth

    def _came_or_went(self, entry: LogEntry) -> None:
        """A user leaves once, however often it is reported, until he comes back."""
        if entry.type == EventType.SUBSCRIBE:
            self._gone.discard(entry.user_id)
        elif entry.user_id not in self._gone:
            self._gone.add(entry.user_id)
            found = self._latest.get(entry.user_id)
            if found:
                found.left = True

    def record(self, entry: LogEntry) -> dict[str, Any]:
        """A decision's entry as a record, with its labels."""
        known = self._known.get(entry.decision_id or "") or Known(entry.status)
        nothing = 0.0 if known.status == "resolved" else None
        return row_to_json(entry.row) | {
            "status": known.status,
            "censored": known.status == "censored",
            "click": nothing if known.click is None else known.click,
            "unsubscribe": nothing if known.unsubscribe is None else known.unsubscribe,
            "conversion": known.conversion,
            "unnamed_conversion": known.unnamed_conversion,
            "left": known.left,
        }
