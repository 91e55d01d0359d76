"""The configuration as a whole, and the record of its changes."""

import asyncio
import re
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from service.auth import Scope
from service.configuration.changing import put_document
from service.configuration.checking import check
from service.configuration.document import MESSAGE, PAUSE, SECTIONS
from service.openapi import declared
from service.problems import Kind, Refused
from service.routes.answering import json_answer, time_text
from service.routes.versions import IF_MATCH, author, etag
from service.schemas import (
    AuditAnswer,
    AuditChange,
    AuditRecord,
    ConfigurationAnswer,
    ConfigurationFile,
)
from service.services import Services, authorize, services
from service.store.protocol import AuditEntry

router = APIRouter(tags=["configuration"])

MOST_ENTRIES: Final = 100
USUAL_ENTRIES: Final = 20
MOST_VERSION: Final = 10**15
_PAGE = {
    "before": "Only changes that led to a version below this one.",
    "limit": f"Most changes to answer, at most {MOST_ENTRIES}; {USUAL_ENTRIES} if left out.",
}

_YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "application/json"})
_BODY = {"application/yaml": {"schema": {"type": "object", "additionalProperties": True}}}


@router.get(
    "/v1/configuration",
    summary="The configuration in force",
    openapi_extra=declared(Scope.READ, ConfigurationAnswer),
)
async def get_configuration(request: Request) -> Response:
    """What is said of rules, prices and messages; what is not said is as the environment has it."""
    await authorize(request, Scope.READ)
    return await _answer(services(request))


@router.put(
    "/v1/configuration",
    summary="Replace the configuration",
    openapi_extra=declared(Scope.ADMIN, ConfigurationAnswer, headers=IF_MATCH)
    | {"requestBody": {"required": True, "content": _BODY}},
)
async def put_configuration(request: Request) -> Response:
    """The configuration now in force; with a fault in the new one, the old one stays."""
    caller = await authorize(request, Scope.ADMIN)
    body = await _yaml_body(request)
    document = await asyncio.to_thread(check, body, "body")  # a large one takes seconds
    held = services(request)
    await put_document(held.store, document, author(request, caller, held))
    return await _answer(held)


@router.get(
    "/v1/audit",
    summary="Who changed what, and when",
    openapi_extra=declared(Scope.ADMIN, AuditAnswer, query=_PAGE),
)
async def get_audit(request: Request) -> Response:
    """The last changes, newest first; `next` is the `before` of the next page."""
    await authorize(request, Scope.ADMIN)
    before = _number(request, "before", 1, MOST_VERSION)
    limit = _number(request, "limit", 1, MOST_ENTRIES) or USUAL_ENTRIES
    entries = await services(request).store.audit(before, limit)
    following = entries[-1].version if len(entries) == limit else None
    return json_answer(AuditAnswer([_record(entry) for entry in entries], following))


def _number(request: Request, name: str, least: int, most: int) -> int | None:
    """A whole number of the query; None if it is not given."""
    given = request.query_params.get(name)
    if given is None:
        return None
    if re.fullmatch(r"[0-9]{1,15}", given) and least <= int(given) <= most:
        return int(given)
    raise Refused(
        Kind.INVALID_REQUEST,
        f"{name!r} is {given[:80]!r}; expected a whole number from {least} to {most}: correct it.",
    )


async def _yaml_body(request: Request) -> bytes:
    media_type = request.headers.get("content-type", "application/yaml")
    if media_type.partition(";")[0].strip().lower() not in _YAML:
        raise Refused(
            Kind.UNSUPPORTED_MEDIA_TYPE,
            f"The body was sent as {media_type[:80]!r}; expected YAML: "
            "send the header 'Content-Type: application/yaml'.",
        )
    return await request.body()


async def _answer(held: Services) -> Response:
    await held.live.refresh()
    version, parts = held.live.catalog.version, held.live.parts
    said = {name: msgspec.Raw(parts[name]) for name in SECTIONS if name in parts}
    messages = {
        name.removeprefix(MESSAGE): _without_id(body)
        for name, body in sorted(parts.items())
        if name.startswith(MESSAGE)
    }
    file = ConfigurationFile(held.file.path.name, held.file.faults) if held.file else None
    answer = ConfigurationAnswer(
        version=version,
        configuration=said | {"messages": messages},
        paused=PAUSE in parts,
        file=file,
    )
    return json_answer(answer, headers=etag(version))


def _without_id(body: bytes) -> dict[str, Any]:
    """A message as a document holds it: its id is the key it stands under."""
    return {key: value for key, value in msgspec.json.decode(body).items() if key != "id"}


def _record(entry: AuditEntry) -> AuditRecord:
    changes = [AuditChange(part.name, _raw(part.before), _raw(part.after)) for part in entry.parts]
    return AuditRecord(entry.version, time_text(entry.at), entry.by, changes)


def _raw(body: bytes | None) -> msgspec.Raw:
    return msgspec.Raw(b"null" if body is None else body)
