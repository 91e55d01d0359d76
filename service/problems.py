"""Errors on the wire: one shape (RFC 9457, application/problem+json), one handler.

`type` is a relative URI that never changes once published; `detail` is one sentence for the person
who reads it: what was given, what was expected, what to do. Code raises `Refused` (or any
`ForbearError`); only this file turns errors into responses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from engine.errors import BadInput, ForbearError, StoreError
from service import metrics
from service.configuration.faults import BadConfiguration

MEDIA_TYPE = "application/problem+json"
MOST_FAULTS = 100
"""In one answer."""
RETRY_SOON = {"Retry-After": "1"}


class Kind(Enum):
    """Every kind of problem: the last part of its `type`, and the status it is sent with."""

    MALFORMED_BODY = ("malformed-body", 400)
    UNAUTHORIZED = ("unauthorized", 401)
    FORBIDDEN = ("forbidden", 403)
    NOT_FOUND = ("not-found", 404)
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405)
    CONFIGURATION_CHANGED = ("configuration-changed", 412)
    PAYLOAD_TOO_LARGE = ("payload-too-large", 413)
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415)
    INVALID_REQUEST = ("invalid-request", 422)
    IDEMPOTENCY_KEY_REUSED = ("idempotency-key-reused", 422)
    TOO_MANY_REQUESTS = ("too-many-requests", 429)
    INTERNAL_ERROR = ("internal-error", 500)
    UNAVAILABLE = ("unavailable", 503)

    def __init__(self, slug: str, status: int) -> None:
        self.slug = slug
        self.status = status
        self.title = slug.replace("-", " ").capitalize()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong, as the sender will read it."""

    kind: Kind
    detail: str
    faults: Sequence[str] = ()
    """Of a configuration: a sentence for each."""

    def to_json(self) -> bytes:
        """The problem object of RFC 9457."""
        told: dict[str, object] = {
            "type": f"/problems/{self.kind.slug}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        }
        return msgspec.json.encode(told | {"faults": self.faults} if self.faults else told)

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """The problem as a whole response; counted."""
        metrics.problem(self.kind.slug)
        return Response(self.to_json(), self.kind.status, headers, MEDIA_TYPE)


class Refused(ForbearError):
    """A request that is answered with a problem."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        headers: Mapping[str, str] | None = None,
        faults: Sequence[str] = (),
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(kind, detail, faults)
        self.headers = headers


def unavailable() -> Refused:
    """The store is out of reach; nothing was done."""
    return Refused(
        Kind.UNAVAILABLE,
        "The store cannot be reached, so nothing was stored or changed; "
        "send the same request again in a moment.",
        RETRY_SOON,
    )


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem."""
    app.add_exception_handler(ForbearError, _on_forbear_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_forbear_error(_request: Request, error: Exception) -> Response:
    refused = _as_refused(error)
    return refused.problem.response(refused.headers)


def _as_refused(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, BadConfiguration):
        first = _sentence(error.sentences[0])
        return Refused(Kind.INVALID_REQUEST, first, faults=error.sentences[:MOST_FAULTS])
    if isinstance(error, BadInput):
        return Refused(Kind.INVALID_REQUEST, _sentence(str(error)))
    if isinstance(error, StoreError):
        return unavailable()
    raise error


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


_BY_STATUS = {kind.status: kind for kind in reversed(Kind)}


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: no such address, no such method."""
    if not isinstance(error, HTTPException):
        raise error
    kind = _BY_STATUS.get(error.status_code, Kind.INTERNAL_ERROR)
    headers = dict(error.headers or {})
    if kind is Kind.METHOD_NOT_ALLOWED:
        headers = {"Allow": _allowed(request, error)}
        sentence = (
            f"{request.method} was sent to an address that answers {headers['Allow']}; use one of "
            "those."
        )
    elif kind is Kind.NOT_FOUND:
        sentence = "There is nothing at this address; /docs lists every address there is."
    else:
        sentence = _sentence(error.detail)
    return Problem(kind, sentence).response(headers)


def _allowed(request: Request, error: HTTPException) -> str:
    """Every method of this address; the framework names those of its first route alone."""
    path = getattr(request.scope.get("route"), "path_format", "")
    published = request.app.openapi()["paths"].get(path)
    if published:
        return ", ".join(sorted(method.upper() for method in published))
    return (error.headers or {}).get("Allow", "GET, HEAD")  # the latter of the static files
