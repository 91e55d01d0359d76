"""Answers in the shapes that the published schema promises."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from starlette.responses import Response

_encoder = msgspec.json.Encoder()


def json_answer(
    record: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A record as a JSON response."""
    return Response(_encoder.encode(record), status, headers, "application/json")


def time_text(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def time_text_or_null(seconds: float | None) -> str | None:
    """The same, where there may be no time."""
    return None if seconds is None else time_text(seconds)
