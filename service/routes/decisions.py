"""Deciding, and looking up what was decided."""

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from engine import decision_log
from engine.explanation import with_best_action
from service import metrics
from service.auth import Caller, Scope
from service.deciding import Answer, Ask
from service.explaining import supposed_user, told
from service.openapi import declared, reference
from service.problems import Kind, Refused
from service.reading import (
    batch_decoder,
    decision_decoder,
    explain_decoder,
    read,
    read_ask,
    read_supposed,
    seconds,
    with_key,
)
from service.routes.answering import json_answer, time_text
from service.schemas import (
    DecisionAnswer,
    DecisionBatch,
    DecisionRecord,
    DecisionRequest,
    ExplainRequest,
    Explanation,
    Labels,
    ProblemObject,
    ReportedEvent,
)
from service.services import Services, authorize, json_body, services
from service.store.protocol import StoredUser

router = APIRouter(tags=["decisions"])

_KEY_HEADER = "Idempotency-Key"
_BATCH_ANSWER = {
    "type": "object",
    "properties": {
        "decisions": {
            "type": "array",
            "items": {"anyOf": [reference(DecisionAnswer), reference(ProblemObject)]},
        }
    },
    "required": ["decisions"],
}


@router.post(
    "/v1/decisions",
    summary="Which message, or none, for this user now?",
    openapi_extra=declared(
        Scope.DECIDE,
        DecisionAnswer,
        body=DecisionRequest,
        headers={_KEY_HEADER: "A repetition with this key gets the first answer again."},
    ),
)
async def decide(request: Request) -> Response:
    """One decision."""
    caller = await authorize(request, Scope.DECIDE)
    held = services(request)
    asked = read(await json_body(request), decision_decoder)
    asked = with_key(asked, request.headers.get(_KEY_HEADER))
    answer = await held.gathering.decide(read_ask(asked, caller, held.clock))
    _count(answer)
    if answer.problem is not None:
        return answer.problem.response()
    replayed = {"Idempotent-Replayed": "true"} if answer.replayed else None
    return Response(answer.body, 200, replayed, "application/json")


@router.post(
    "/v1/decisions/batch",
    summary="The same for up to 1,000 users at once",
    openapi_extra=declared(Scope.DECIDE, _BATCH_ANSWER, body=DecisionBatch),
)
async def decide_batch(request: Request) -> Response:
    """Many decisions; a bad item gets its own problem and does not sink the others."""
    caller = await authorize(request, Scope.DECIDE)
    if _KEY_HEADER in request.headers:
        raise Refused(
            Kind.INVALID_REQUEST,
            "The Idempotency-Key header was given for a batch, where it would be ambiguous; "
            "give idempotency_key in each item instead.",
        )
    batch = read(await json_body(request), batch_decoder)
    held = services(request)
    items = [_ask_or_problem(item, caller, held) for item in batch.decisions]
    answers = iter(await held.decider.decide([item for item in items if isinstance(item, Ask)]))
    parts = [_part(next(answers)) if isinstance(item, Ask) else item for item in items]
    return Response(b'{"decisions":[%s]}' % b",".join(parts), media_type="application/json")


def _ask_or_problem(item: msgspec.Raw, caller: Caller, held: Services) -> Ask | bytes:
    try:
        return read_ask(read(item, decision_decoder), caller, held.clock)
    except Refused as refused:
        metrics.problem(refused.problem.kind.slug)
        return refused.problem.to_json()


def _part(answer: Answer) -> bytes:
    _count(answer)
    return answer.body if answer.problem is None else answer.problem.to_json()


def _count(answer: Answer) -> None:
    metrics.decision(answer.reason, answer.arm)
    metrics.blocked(answer.removals)


@router.get(
    "/v1/decisions/{decision_id}",
    summary="Why this action, why not the others, and what came of it",
    openapi_extra=declared(Scope.READ, DecisionRecord),
)
async def look_up(request: Request, decision_id: str) -> Response:
    """The full record of one decision."""
    await authorize(request, Scope.READ)
    stored = await services(request).store.decision(decision_id)
    if stored is None:
        raise Refused(
            Kind.NOT_FOUND,
            "No decision of this id is kept; expected one answered within the retention time: "
            "check the id, or look in the exported log.",
        )
    decision = decision_log.from_row(stored.row)
    record = DecisionRecord(
        decision=told(decision, services(request).live.catalog),
        labels=Labels(stored.click, stored.unsubscribe),
        status=stored.status,
        events=[ReportedEvent(kind, time_text(at)) for kind, at in stored.events],
    )
    return json_answer(record)


@router.post(
    "/v1/decisions/explain",
    summary="What would be answered, and why: nothing is recorded, counted or reserved",
    openapi_extra=declared(Scope.READ, Explanation, body=ExplainRequest),
)
async def explain(request: Request) -> Response:
    """Every message with its terms, or the rule that blocks it and what would have to change."""
    await authorize(request, Scope.READ)
    held = services(request)
    asked = read(await json_body(request), explain_decoder)
    now = held.clock.now() if asked.at is None else seconds(asked.at)
    ask = read_supposed(asked)
    catalog = held.live.catalog
    if asked.state is not None:
        user = supposed_user(asked.state, catalog, now, held.settings.burden_half_life_s)
    elif asked.user_id is not None:
        user = await held.store.user(asked.user_id)
    else:
        user = StoredUser()
    decision = with_best_action(held.decider.suppose(ask, user, now))
    record = told(decision, catalog)
    del record["decision_id"]
    return json_answer(Explanation(record))
