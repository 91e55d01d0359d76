"""The kill switch: one request stops every send, in every process, from its answer on."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.auth import Scope
from service.configuration.changing import set_paused
from service.openapi import declared
from service.problems import Kind, Refused
from service.routes.answering import json_answer
from service.routes.versions import IF_MATCH, author, etag
from service.schemas import PauseAnswer
from service.services import authorize, services

router = APIRouter(tags=["pause"])


@router.get(
    "/v1/pause", summary="Is everything paused?", openapi_extra=declared(Scope.READ, PauseAnswer)
)
async def get_pause(request: Request) -> Response:
    """The kill switch as it is now."""
    await authorize(request, Scope.READ)
    return await _answer(request)


@router.put(
    "/v1/pause",
    summary="Stop every send",
    openapi_extra=declared(Scope.ADMIN, PauseAnswer, headers=IF_MATCH),
)
async def pause(request: Request) -> Response:
    """Every decision after this answer is abstain, with reason `paused`."""
    await _set(request, paused=True)
    return await _answer(request)


@router.delete(
    "/v1/pause",
    summary="Go on sending",
    openapi_extra=declared(Scope.ADMIN, PauseAnswer, headers=IF_MATCH),
)
async def resume(request: Request) -> Response:
    """Decide as before; what FORBEAR_PAUSED or the configuration pauses stays paused."""
    await _set(request, paused=False)
    return await _answer(request)


async def _set(request: Request, *, paused: bool) -> None:
    caller = await authorize(request, Scope.ADMIN)
    if await request.body():
        raise Refused(
            Kind.INVALID_REQUEST,
            f"A {request.method} of the pause came with a body; expected none, because PUT pauses "
            "and DELETE resumes whatever it says: send the one that is meant, without a body.",
        )
    held = services(request)
    await set_paused(held.store, author(request, caller, held), paused=paused)


async def _answer(request: Request) -> Response:
    held = services(request)
    await held.live.refresh()
    catalog = held.live.catalog
    paused = held.live.terms.rules.paused or catalog.paused
    return json_answer(PauseAnswer(paused), headers=etag(catalog.version))
