"""What became of each decision, read off the decision log."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from engine.decision_log import row_to_json
from service.store.protocol import LogEntry


@dataclass(slots=True)
class Known:
    """What became of a decision, as far as the log tells."""

    status: str | None = None
    """None: what it was when it was made."""
    click: float | None = None
    unsubscribe: float | None = None
    conversion: float = 0.0


class Outcomes:
    """What became of decisions, read off a log in its order."""

    def __init__(self) -> None:
        self._known: dict[str | None, Known] = defaultdict(Known)

    def note(self, entry: LogEntry) -> None:
        """Take in one entry; what says nothing of an outcome changes nothing."""
        if entry.kind == "labels":
            found = self._known[entry.decision_id]
            found.status, found.click = entry.status, entry.click
            found.unsubscribe = entry.unsubscribe
        elif entry.type == "conversion" and entry.status == "accepted":
            known = self._known[entry.decision_id]
            known.conversion += 1.0 if entry.value is None else entry.value

    def record(self, entry: LogEntry) -> dict[str, Any]:
        """A decision's entry as a record, with its labels."""
        known = self._known.get(entry.decision_id) or Known()
        status = known.status or entry.status
        nothing = 0.0 if status == "resolved" else None
        return row_to_json(entry.row) | {
            "status": status,
            "censored": status == "censored",
            "click": nothing if known.click is None else known.click,
            "unsubscribe": nothing if known.unsubscribe is None else known.unsubscribe,
            "conversion": known.conversion,
        }
