"""How far learning and serving have come."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.auth import Scope
from service.background import lag
from service.openapi import declared
from service.routes.answering import json_answer
from service.schemas import ModelAnswer
from service.services import authorize, services
from service.store.protocol import SHARDS

router = APIRouter(tags=["model"])


@router.get(
    "/v1/model",
    summary="Version in use, lessons applied, and lag",
    openapi_extra=declared(Scope.READ, ModelAnswer),
)
async def get_model(request: Request) -> Response:
    """Progress, after this worker has taken up the newest snapshot."""
    await authorize(request, Scope.READ)
    held = services(request)
    await held.live.refresh()
    added = await held.store.entries_added()
    checkpoint = await held.store.load_checkpoint()
    answer = ModelAnswer(
        version=held.live.snapshot.version,
        published=await held.store.current_version(),
        applied=checkpoint.applied if checkpoint else 0,
        lag=lag(added, checkpoint),
        positions=list(checkpoint.positions) if checkpoint else ["0-0"] * SHARDS,
    )
    return json_answer(answer)
