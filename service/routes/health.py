"""For machines that watch: alive, ready, and the numbers. Needs no key, tells nothing personal."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from engine.errors import StoreError
from service import metrics
from service.openapi import declared
from service.problems import RETRY_SOON, Kind, Refused
from service.routes.answering import json_answer
from service.schemas import Status
from service.services import Services, services

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Is the process alive?", openapi_extra=declared(None, Status))
async def livez() -> Response:
    """Yes, whatever its surroundings are like."""
    return json_answer(Status("alive"))


@router.get(
    "/readyz", summary="Should requests be sent here?", openapi_extra=declared(None, Status)
)
async def readyz(request: Request) -> Response:
    """Yes, or a problem that says what is missing."""
    missing = await _missing(services(request))
    if missing is not None:
        raise Refused(Kind.UNAVAILABLE, missing, RETRY_SOON)
    return json_answer(Status("ready"))


async def _missing(held: Services) -> str | None:
    if held.draining:
        return "This worker is stopping; send requests to another one."
    try:
        await held.store.ping()
    except StoreError:
        return (
            "The store cannot be reached, so decisions are answered with the fallback and events "
            "are refused; start it, or correct REDIS_URL."
        )
    if held.live.model is None and held.file is not None and held.file.faults:
        return (
            f"The configuration file has never been taken up ({held.file.faults[0]}), so decisions "
            "are answered with the fallback; correct it."
        )
    if held.live.model is None:
        return (
            "No model has been loaded yet, so decisions are answered with the fallback; "
            "wait a moment, and look at the log if this stays."
        )
    return None


@router.get("/metrics", summary="Numbers for Prometheus", openapi_extra=declared(None, None))
async def prometheus() -> Response:
    """All counters, gauges and histograms."""
    return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)
