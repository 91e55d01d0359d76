"""The decoder's terse complaints as sentences: what was given, what was expected, what to do.

Only reached when something is wrong, so it may take its time: the decoder does not say which key
of a map was bad, and this file looks again to name it.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from service.schemas import Features
from service.store.protocol import EventType

_AT = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$\.?(?P<path>.*)`)?$", re.DOTALL)
_TIME = "expected a time with its offset, such as 2026-11-22T10:00:00Z"
_NAME: Final = "1 to 64 letters, digits, dots, hyphens or underscores"
_KINDS: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "an array",
    "object": "an object",
    "datetime": "a time",
}

_RULES: Final[list[tuple[re.Pattern[str], Callable[[str, re.Match[str]], str]]]] = [
    (
        re.compile(r"Object contains unknown field `(.*)`"),
        lambda _, m: f"`{m[1]}` is not a field of this request; leave it out or correct its name",
    ),
    (
        re.compile(r"Object missing required field `(.*)`"),
        lambda _, m: f"`{m[1]}` is missing, and it is required; add it",
    ),
    (
        re.compile(r"Number out of range"),
        lambda where, _: f"{where} is too large for a number; expected a finite one: correct it",
    ),
    (
        re.compile(r"Invalid RFC3339|Expected `datetime` with a timezone"),
        lambda where, _: f"{where} is not a time that can be read; {_TIME}",
    ),
    (
        re.compile(r"Expected `(.*)`, got `(.*)`"),
        lambda where, m: f"{where} is {_kinds(m[2])}; expected {_kinds(m[1])}: correct it",
    ),
    (
        re.compile(r"Expected `(.*)` of length (.*)"),
        lambda where, m: f"{where} has a wrong length; expected {_kinds(m[1])} of length {m[2]}",
    ),
    (
        re.compile(r"Expected `(.*)` ([<>]=? .*)"),
        lambda where, m: f"{where} is out of range; expected {_kinds(m[1])} {m[2]}: correct it",
    ),
    (
        re.compile(r"Invalid enum value (.*)"),
        lambda where, m: (
            f"{where} is {m[1]}, which it cannot be; expected one of "
            f"{', '.join(EventType)}: correct it"
        ),
    ),
]


def complaint(error: Exception, body: bytes) -> str:
    """One sentence for whatever the decoder raised on `body`."""
    if isinstance(error, RecursionError):
        return "The body is nested too deeply; expected an object of plain values: flatten it."
    if isinstance(error, UnicodeDecodeError):
        return "The body is not UTF-8 text, which JSON is; encode it as UTF-8 and send it again."
    if not isinstance(error, msgspec.ValidationError):
        return (
            f"The body cannot be read ({error}); expected JSON, which knows no NaN or Infinity: "
            "correct it and send it again."
        )
    found = _AT.match(str(error))
    what = found["what"] if found else str(error)
    where = _where(found, body) if found else "The JSON value"
    if found and "matching regex" in what:
        return _misspelt(where, found["path"] or "", body)
    for pattern, sentence in _RULES:
        if match := pattern.match(what):
            return f"{sentence(where, match)}."
    return f"{where} cannot be used ({what}); see /docs and correct it."


def _misspelt(where: str, path: str, body: bytes) -> str:
    """A name in the wrong letters; inside lists and objects it is not looked up again."""
    given = msgspec.json.decode(body, type=dict[str, Any]).get(path)
    said = f"is {given[:80]!r}" if isinstance(given, str) else "is not a name that can be used"
    zone = path.endswith("time_zone")
    expected = "an IANA time zone such as Europe/Berlin" if zone else _NAME
    return f"{where} {said}; expected {expected}: correct it."


def _kinds(types: str) -> str:
    """`bool | float | str` as "true or false, a number or a string"."""
    names = [_KINDS.get(name, name) for name in types.split(" | ")]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _where(found: re.Match[str], body: bytes) -> str:
    path = found["path"]
    if not path:
        return "The JSON value"
    if path.startswith("context") and (found["key"] or path.endswith("[...]")):
        return _feature(body)
    return f"`{path}`"


def _feature(body: bytes) -> str:
    """The first name in the context that the decoder refuses, or refuses the value of."""
    context = msgspec.json.decode(body, type=dict[str, msgspec.Raw])["context"]
    for name, value in msgspec.json.decode(context, type=dict[str, msgspec.Raw]).items():
        alone = b"{%s:%s}" % (msgspec.json.encode(name), bytes(value))
        try:
            msgspec.json.decode(alone, type=Features)
        except msgspec.ValidationError:
            return f"`context` at {name[:80]!r}"
    return "`context`"
