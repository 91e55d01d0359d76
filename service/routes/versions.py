"""The configuration's version on the wire: an ETag out, If-Match in."""

import re
from typing import Final

from fastapi import Request

from service.auth import Caller
from service.configuration.changing import Author
from service.problems import Kind, Refused
from service.services import Services

IF_MATCH: Final = {
    "If-Match": "The version this change is made for, as the ETag gave it; else it is refused."
}
_VERSION = re.compile(r'"(\d{1,18})"')


def etag(version: int) -> dict[str, str]:
    """The header that tells the version."""
    return {"ETag": f'"{version}"'}


def author(request: Request, caller: Caller, held: Services) -> Author:
    """Who makes a change, when, and the version he has seen; raises `Refused`."""
    given = request.headers.get("if-match", "*").strip()
    found = _VERSION.fullmatch(given)
    if found is None and given != "*":
        raise Refused(
            Kind.INVALID_REQUEST,
            f"The If-Match header is {given[:80]!r}; expected a version in quotes, as the ETag "
            'header gives it, such as "12": send that, or leave the header out.',
        )
    return Author(caller.key_id, held.clock.now(), int(found[1]) if found else None)
