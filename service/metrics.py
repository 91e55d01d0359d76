"""What Prometheus scrapes. Labels are bound once: looking them up costs more than counting.

Several workers of one host share a port, so a scrape reaches any one of them. Each therefore keeps
its numbers in files of one directory (`PROMETHEUS_MULTIPROC_DIR`, set before this module is first
imported), and whichever is asked adds all of them up. With one worker nothing of that is needed.
Limit: the directory belongs to one run of the service; start the next with an empty one.
"""

import os
from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from engine.decision import Reason
from engine.explanation import CHANGES
from service.store.protocol import EventStatus, EventType

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
_UNREADABLE = "unreadable"
"""The event type of an event that could not be read."""

_registry = CollectorRegistry()
_decisions = Counter(
    "forbear_decisions", "Answers by reason and arm; fallback: store or model out of reach.",
    ["reason", "arm"], registry=_registry,
)  # fmt: skip
_blocked = Counter(
    "forbear_blocked_messages",
    "Messages that a rule kept back, by reason; a rule that keeps back every message counts once.",
    ["reason"], registry=_registry,
)  # fmt: skip
_events = Counter(
    "forbear_events", "Events by type and by what became of them.",
    ["type", "status"], registry=_registry,
)  # fmt: skip
_problems = Counter(
    "forbear_problems", "Requests refused, by kind of problem.", ["kind"], registry=_registry
)
_seconds = Histogram(
    "forbear_request_seconds", "Time from a request's arrival to the end of its answer.",
    ["route"], registry=_registry, buckets=_BUCKETS,
)  # fmt: skip
_model_version = Gauge(
    "forbear_model_version", "Version of the snapshot in use; 0 before the first.",
    registry=_registry, multiprocess_mode="mostrecent",
)  # fmt: skip
_configuration_version = Gauge(
    "forbear_configuration_version", "Version of the configuration in use; 0 before the first.",
    registry=_registry, multiprocess_mode="mostrecent",
)  # fmt: skip
_configuration_faults = Gauge(
    "forbear_configuration_file_faults", "Faults of the configuration file; above 0 it waits.",
    registry=_registry, multiprocess_mode="mostrecent",
)  # fmt: skip
_lag = Gauge(
    "forbear_learner_lag_entries", "Lessons stored but not yet learned.",
    registry=_registry, multiprocess_mode="mostrecent",
)  # fmt: skip
_slots_used = Gauge(
    "forbear_slots_used_ratio", "Share of the weight table's slots in use, fullest head.",
    registry=_registry, multiprocess_mode="mostrecent",
)  # fmt: skip

_by_answer: dict[tuple[Reason, str], Counter] = {}
_by_rule = {reason: _blocked.labels(reason.value) for reason in CHANGES}
_by_event = {
    (kind, status.value): _events.labels(kind, status.value)
    for kind in [*(t.value for t in EventType), _UNREADABLE]
    for status in EventStatus
}
_by_route: dict[str, Histogram] = {}


def decision(reason: Reason, arm: str) -> None:
    """Count one answer."""
    counter = _by_answer.get((reason, arm))
    if counter is None:
        counter = _by_answer.setdefault((reason, arm), _decisions.labels(reason.value, arm))
    counter.inc()


def blocked(rules: Mapping[Reason, int]) -> None:
    """Count what rules kept back of one decision."""
    for reason, count in rules.items():
        _by_rule[reason].inc(count)


def event(kind: EventType | None, status: EventStatus) -> None:
    """Count one event; None: its type could not be read."""
    _by_event[kind or _UNREADABLE, status.value].inc()


def problem(kind: str) -> None:
    """Count one refused request."""
    _problems.labels(kind).inc()


def request(route: str, seconds: float) -> None:
    """Time one request; `route` is the template of its address, never the address itself."""
    histogram = _by_route.get(route)
    if histogram is None:
        histogram = _by_route.setdefault(route, _seconds.labels(route))
    histogram.observe(seconds)


def model(version: int, slots_used: float) -> None:
    """Note the snapshot in use."""
    _model_version.set(version)
    _slots_used.set(slots_used)


def configuration(version: int, faults: int) -> None:
    """Note the configuration in use, and what keeps the file from being taken up."""
    _configuration_version.set(version)
    _configuration_faults.set(faults)


def lag(entries: int) -> None:
    """Note how far the learner is behind."""
    _lag.set(entries)


def render() -> bytes:
    """Everything, in Prometheus' text format."""
    if SHARED_DIRECTORY not in os.environ:
        return generate_latest(_registry)
    shared = CollectorRegistry()
    multiprocess.MultiProcessCollector(shared)  # type: ignore[no-untyped-call]  # untyped library
    return generate_latest(shared)
