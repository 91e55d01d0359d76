"""The catalog: every message that could be sent. A message id may contain slashes."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from engine.catalog import MOST_MESSAGES, Catalog, Message, parse_message
from engine.errors import BadInput
from service.auth import Scope
from service.configuration import changing
from service.openapi import declared
from service.problems import Kind, Refused
from service.reading import object_decoder, read
from service.routes.answering import json_answer
from service.routes.versions import IF_MATCH, author, etag
from service.schemas import CatalogAnswer, MessageBody
from service.services import authorize, json_body, services

router = APIRouter(tags=["messages"])


@router.get(
    "/v1/messages", summary="The catalog", openapi_extra=declared(Scope.READ, CatalogAnswer)
)
async def list_messages(request: Request) -> Response:
    """Every message."""
    await authorize(request, Scope.READ)
    catalog = await _catalog(request)
    answer = CatalogAnswer(catalog.version, list(catalog.messages.values()))
    return json_answer(answer, headers=etag(catalog.version))


@router.get(
    "/v1/messages/{message_id:path}",
    summary="One message",
    openapi_extra=declared(Scope.READ, Message),
)
async def get_message(request: Request, message_id: str) -> Response:
    """One message."""
    await authorize(request, Scope.READ)
    catalog = await _catalog(request)
    message = catalog.messages.get(message_id)
    if message is None:
        raise _unknown(message_id)
    return json_answer(message, headers=etag(catalog.version))


@router.put(
    "/v1/messages/{message_id:path}",
    summary="Add or replace a message",
    openapi_extra=declared(Scope.ADMIN, Message, body=MessageBody, headers=IF_MATCH),
)
async def put_message(request: Request, message_id: str) -> Response:
    """The message as it is now held; 201 when it is new."""
    caller = await authorize(request, Scope.ADMIN)
    body = await json_body(request)
    read(body, object_decoder)
    message = parse_message(message_id, body)
    _check_room(await _catalog(request), message_id)
    held = services(request)
    version, new = await changing.put_message(held.store, message, author(request, caller, held))
    await held.live.refresh()
    return json_answer(message, 201 if new else 200, etag(version))


@router.delete(
    "/v1/messages/{message_id:path}",
    summary="Remove a message",
    openapi_extra=declared(Scope.ADMIN, None, status=204, headers=IF_MATCH),
)
async def delete_message(request: Request, message_id: str) -> Response:
    """Nothing; decisions already made keep what they were made with."""
    caller = await authorize(request, Scope.ADMIN)
    held = services(request)
    made_by = author(request, caller, held)
    version = await changing.delete_message(held.store, message_id, made_by)
    if version is None:
        raise _unknown(message_id)
    await held.live.refresh()
    return Response(status_code=204, headers=etag(version))


async def _catalog(request: Request) -> Catalog:
    """The catalog as stored now, not as this worker last saw it."""
    live = services(request).live
    await live.refresh()
    return live.catalog


def _check_room(catalog: Catalog, message_id: str) -> None:
    if message_id not in catalog.messages and len(catalog.messages) >= MOST_MESSAGES:
        raise BadInput(
            f"the catalog already holds {MOST_MESSAGES:,} messages; expected no more, because "
            "every worker holds them all: delete those that are over"
        )


def _unknown(message_id: str) -> Refused:
    return Refused(
        Kind.NOT_FOUND,
        f"The catalog has no message {message_id[:80]!r}; GET /v1/messages lists them all.",
    )
