"""The published schema, built from the very records that decode and encode.

Routes that read their body themselves are invisible to the framework, so each declares here what
it takes and gives.
"""

from typing import Any, TypeAlias

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service import schemas
from service.auth import Scope
from service.problems import MEDIA_TYPE

Json: TypeAlias = dict[str, Any]
Record: TypeAlias = type[msgspec.Struct]

_REF = "#/components/schemas/{name}"
_RECORDS: list[Record] = [
    record
    for record in vars(schemas).values()
    if isinstance(record, type) and issubclass(record, msgspec.Struct)
    if record is not msgspec.Struct
]
_BATCHES: list[tuple[Record, str, Record]] = [
    (schemas.DecisionBatch, "decisions", schemas.DecisionRequest),
    (schemas.EventBatch, "events", schemas.EventRequest),
]
"""Decoded item by item, so that a bad one does not sink the others; the batch sees raw JSON."""
_PROBLEM: Json = {
    "description": "A problem: what was given, what was expected, what to do.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="ProblemObject")}}},
}


def declared(
    scope: Scope | None,
    answer: Record | Json | None,
    *,
    body: Record | Json | None = None,
    status: int = 200,
    headers: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
) -> Json:
    """`openapi_extra` of a route: the key's scope, what it answers, its body, its parameters."""
    success: Json = {"description": "Done."}
    if answer is not None:
        success["content"] = _json(answer)
    route: Json = {"responses": {str(status): success, "4XX": _PROBLEM, "5XX": _PROBLEM}}
    if scope is not None:
        route["security"] = [{"key": []}]
        route["description"] = f"Needs an API key with the scope `{scope.value}`."
    if body is not None:
        route["requestBody"] = {"required": True, "content": _json(body)}
    if headers or query:
        route["parameters"] = [
            {"name": name, "in": place, "description": text, "schema": {"type": kind}}
            for place, kind, given in (("header", "string", headers), ("query", "integer", query))
            for name, text in (given or {}).items()
        ]
    return route


def reference(record: Record) -> Json:
    """A pointer to a record's schema."""
    return {"$ref": _REF.format(name=record.__name__)}


def _json(content: Record | Json) -> Json:
    schema = content if isinstance(content, dict) else reference(content)
    return {"application/json": {"schema": schema}}


def publish(app: FastAPI) -> None:
    """Make the app answer /openapi.json with the whole schema."""

    def schema() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _whole(app)
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]  # the framework's own way to replace it


def _whole(app: FastAPI) -> Json:
    whole = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes
    )
    _, records = msgspec.json.schema_components(_RECORDS, ref_template=_REF)
    for batch, items, item in _BATCHES:
        records[batch.__name__]["properties"][items]["items"] = reference(item)
    components = whole.setdefault("components", {})
    components["schemas"] = records
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path in whole["paths"].values():
        for operation in path.values():
            _drop_framework_responses(operation)
    return whole


def _drop_framework_responses(operation: Json) -> None:
    """Remove what the framework assumes: a 200 where the answer is another, and its own 422."""
    responses: Json = operation["responses"]
    responses.pop("422", None)
    if any(status.startswith("2") and status != "200" for status in responses):
        responses.pop("200", None)
