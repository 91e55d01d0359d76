"""The verdict: every shard's log, in the order of its commits, before the independent judge."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks.rules.load import LIMITS, Happened, Pause, server_of
from engine.decision import Decision
from engine.decision_log import from_row
from service.demo.local import LocalService
from service.store.keys import log_key
from service.store.protocol import SHARDS
from tests.rules_checker import Logged, complaints, overspent

Entry = tuple[str, dict[bytes, bytes]]


@dataclass(frozen=True)
class Verdict:
    """What was found in the log."""

    decisions: list[Decision]
    complaints: list[str]

    def figures(self, happened: Happened) -> dict[str, float]:
        """The numbers to report."""
        reasons = Counter(one.reason.value for one in self.decisions)
        blocked = Counter(reason.value for one in self.decisions for _, reason in one.blocked)
        return {
            "decisions": len(self.decisions),
            "sends": sum(one.action is not None for one in self.decisions),
            "contention_share": round(reasons["contention"] / max(1, len(self.decisions)), 4),
            "fallbacks": happened.answers["fallback"],
            "events": sum(happened.events.values()),
            "unsubscribes": happened.events["unsubscribe"],
            "pauses": len(happened.pauses),
            "asked_while_paused": reasons["paused"],
            "asked_while_unsubscribed": reasons["unsubscribed"],
            **{f"blocked_by_{rule}": blocked[rule] for rule in sorted(blocked)},
            "workers_killed": happened.killed,
            "violations": len(self.complaints),
        }


def judge(service: LocalService, happened: Happened) -> Verdict:
    """Read the log from the server itself, and judge it."""
    whole: list[Logged] = []
    found: list[str] = []
    with server_of(service) as redis:
        for shard in range(SHARDS):
            entries = [(key.decode(), fields) for key, fields in redis.xrange(log_key(shard))]
            log = list(with_pauses(entries, happened.pauses, shard))
            whole += log
            found += complaints(log, LIMITS)
    decisions = [entry.decision for entry in whole if entry.decision]
    return Verdict(decisions, found + overspent(whole, LIMITS))


def with_pauses(entries: Iterable[Entry], pauses: Iterable[Pause], shard: int) -> Iterator[Logged]:
    """A shard's log with its pauses in their places, which are after the entries they name."""
    marks = [
        (_order(place), Logged(0.0, pause=pause.message, paused=paused))
        for pause in pauses
        for place, paused in ((pause.acknowledged[shard], True), (pause.resuming[shard], False))
    ]
    marks.reverse()
    for key, fields in entries:
        while marks and marks[-1][0] < _order(key):
            yield marks.pop()[1]
        yield _logged(fields)


def _order(entry_id: str) -> tuple[int, int]:
    ms, _, sequence = entry_id.partition("-")
    return int(ms), int(sequence)


def _logged(fields: dict[bytes, bytes]) -> Logged:
    kind, name = fields[b"kind"], fields[b"d"].decode()
    if kind == b"decision":
        decision = from_row(fields[b"row"])
        return Logged(decision.at, decision.user_id, decision)
    if kind == b"labels":
        return Logged(0.0, taken_back=name if fields[b"status"] == b"censored" else None)
    at, user, event = float(fields[b"now"]), fields[b"u"].decode(), fields[b"type"].decode()
    if event == "not_sent":
        return Logged(at, user, taken_back=name)
    if event in {"unsubscribe", "subscribe"}:
        return Logged(at, user, consent=(event, fields[b"channel"].decode()))
    if event == "tolerance":
        return Logged(at, user, tolerance=(1, 2.0) if fields[b"tolerance"] else (0, 0.0))
    return Logged(at, user, external=event == "external_send")
