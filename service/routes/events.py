"""Feedback: what the user did with a send, and what the sender did with a decision."""

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from service import metrics
from service.auth import Scope
from service.openapi import declared
from service.problems import Refused
from service.reading import event_id_of, events_decoder, read, read_event
from service.routes.answering import json_answer
from service.schemas import EventBatch, EventResult, EventResults
from service.services import Services, authorize, json_body, services
from service.store.protocol import Event, EventStatus

router = APIRouter(tags=["events"])


@router.post(
    "/v1/events",
    summary="Report what happened, up to 1,000 events at once",
    openapi_extra=declared(Scope.FEEDBACK, EventResults, body=EventBatch, status=202),
)
async def report(request: Request) -> Response:
    """Each event gets its own status; all that are acknowledged are stored."""
    await authorize(request, Scope.FEEDBACK)
    batch = read(await json_body(request), events_decoder)
    held = services(request)
    items = [_event_or_result(item, held) for item in batch.events]
    statuses = iter(await _record([item for item in items if isinstance(item, Event)], held))
    results = [_result(item, next(statuses)) if isinstance(item, Event) else item for item in items]
    return json_answer(EventResults(results), 202)


def _event_or_result(item: msgspec.Raw, held: Services) -> Event | EventResult:
    try:
        return read_event(item, held.clock)
    except Refused as refused:
        metrics.event(None, EventStatus.INVALID)
        return EventResult(event_id_of(item), EventStatus.INVALID, refused.problem.detail)


async def _record(events: list[Event], held: Services) -> list[EventStatus]:
    if not held.clock.simulated:
        return await held.store.record_events(events)
    statuses: list[EventStatus] = []
    waiting: list[Event] = []
    for event in events:
        if held.sweeper.needed(event.now):  # what fell due between two events comes between them
            statuses += await held.store.record_events(waiting)
            await held.sweeper.sweep(event.now)
            waiting = []
        waiting.append(event)
    return statuses + await held.store.record_events(waiting)


def _result(event: Event, status: EventStatus) -> EventResult:
    metrics.event(event.type, status)
    return EventResult(event.event_id, status)
