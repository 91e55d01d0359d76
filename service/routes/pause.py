"""The kill switch: one request stops every send, in every process, from its answer on."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.auth import Scope
from service.openapi import declared
from service.routes.answering import json_answer
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
    "/v1/pause", summary="Stop every send", openapi_extra=declared(Scope.ADMIN, PauseAnswer)
)
async def pause(request: Request) -> Response:
    """Every decision after this answer is abstain, with reason `paused`."""
    await authorize(request, Scope.ADMIN)
    await services(request).store.set_paused(True)
    return await _answer(request)


@router.delete(
    "/v1/pause", summary="Go on sending", openapi_extra=declared(Scope.ADMIN, PauseAnswer)
)
async def resume(request: Request) -> Response:
    """Decide as before; a deployment started with FORBEAR_PAUSED stays paused."""
    await authorize(request, Scope.ADMIN)
    await services(request).store.set_paused(False)
    return await _answer(request)


async def _answer(request: Request) -> Response:
    held = services(request)
    await held.live.refresh()
    return json_answer(PauseAnswer(held.settings.paused or held.live.catalog.paused))
