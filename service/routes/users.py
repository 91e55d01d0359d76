"""A user's state, and its erasure. A user id may contain slashes."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from engine.burden import decayed
from service.auth import Scope
from service.openapi import declared
from service.person import checked_id, consent_by_channel, everything
from service.routes.answering import json_answer, time_text_or_null
from service.schemas import Erasure, UserAnswer, UserExport
from service.services import authorize, services

router = APIRouter(tags=["users"])


@router.get(
    "/v1/users/{user_id:path}/export",
    summary="Everything that is stored about a user",
    openapi_extra=declared(Scope.READ, UserExport),
)
async def export_user(request: Request, user_id: str) -> Response:
    """State, decisions with their candidates and labels, events; what erasure would delete.

    Of a user whose id ends in "/export", only this is to be had.
    """
    await authorize(request, Scope.READ)
    held = services(request)
    half_life = held.settings.burden_half_life_s
    found = await everything(held.store, checked_id(user_id), held.clock.now(), half_life)
    return json_answer(UserExport(**found))


@router.get(
    "/v1/users/{user_id:path}",
    summary="Burden, counters, consent by channel and tolerance",
    openapi_extra=declared(Scope.READ, UserAnswer),
)
async def get_user(request: Request, user_id: str) -> Response:
    """The user's state now; a user never seen has the one every user starts with."""
    await authorize(request, Scope.READ)
    held = services(request)
    user = await held.store.user(checked_id(user_id))
    half_life = held.settings.burden_half_life_s
    answer = UserAnswer(
        user_id=user_id,
        burden=decayed(user.burden, user.burden_at, held.clock.now(), half_life),
        unsubscribed=user.unsubscribed,
        consent=consent_by_channel(user.consent),
        tolerance=None if user.tolerance is None else str(user.tolerance),
        decisions=user.decisions,
        sends=user.sends,
        clicks=user.clicks,
        first_seen_at=time_text_or_null(user.first_seen_at),
        last_send_at=time_text_or_null(user.last_send_at),
    )
    return json_answer(answer)


@router.delete(
    "/v1/users/{user_id:path}",
    summary="Erase all that leads back to a user",
    openapi_extra=declared(Scope.ADMIN, Erasure),
)
async def erase_user(request: Request, user_id: str) -> Response:
    """What was deleted, by kind; one who is unsubscribed stays so."""
    await authorize(request, Scope.ADMIN)
    held = services(request)
    erased = await held.store.erase(checked_id(user_id), held.clock.now())
    return json_answer(Erasure(dict(erased)))
