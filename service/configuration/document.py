"""What a configuration says, and how it acts on the settings.

A document has sections, each key of which is a setting, and messages. Order of precedence, key by
key: what the configuration says, else the environment's FORBEAR_ variable, else the default. What
belongs to a deployment (addresses, secrets, sizes, windows, how it learns) is in the environment
alone and no key here.

In the store a document is a set of named parts, each a JSON text: one for each section, and one
for each message. So one message can be edited over HTTP without a word about the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from pydantic import TypeAdapter, ValidationError

from engine.catalog import Message
from engine.errors import BadInput
from service.settings import Settings

Parts: TypeAlias = Mapping[str, bytes]
"""Name -> JSON text."""

MESSAGE: Final = "message/"
"""Begins the name of a message's part; its id follows."""

PAUSE: Final = "pause"
"""The part that is there while the kill switch is on."""

FILE: Final = "file"
"""The part that holds the hash of the file last taken up."""

_RULES: Final = (
    "paused",
    "min_gap_s",
    "caps",
    "tag_caps",
    "budgets",
    "days",
    "quiet_hours",
    "time_zone",
)
_PRICES: Final = (
    "value",
    "unsubscribe_cost",
    "send_cost",
    "patience",
    "horizon_s",
    "decision_gap_s",
    "most_price",
    "price",
    "rho",
    "pessimism",
)
SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "rules": {name: name for name in _RULES},
    "prices": {name: name for name in _PRICES},
    "arms": {
        "shares": "arms",
        "experiment": "experiment",
        "usual_caps": "usual_caps",
        "shadow": "shadow",
    },
}
"""Section -> its keys -> the setting that each one is."""

LISTS: Final = frozenset({"caps", "tag_caps", "budgets", "days", "arms", "usual_caps"})
"""Settings that hold several things, separated by blanks. A document may give a list instead, or,
where each thing has a name before a colon, a map."""


_WORDS: Final = {
    "bool_type": "true or false",
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "a text",
}
"""What each type is called; the validator speaks of a valid boolean."""


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration that holds no fault."""

    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    messages: Mapping[str, Message] | None = None
    """The whole catalog; None says nothing about it."""

    def parts(self) -> dict[str, bytes]:
        """As the store keeps it; an empty section is left out."""
        encode = msgspec.json.Encoder(order="deterministic").encode
        parts = {name: encode(told) for name, told in self.sections.items() if told}
        for message in (self.messages or {}).values():
            parts[MESSAGE + message.id] = message.to_json()
        return parts


def configured(settings: Settings, parts: Parts) -> Settings:
    """The settings with what a stored configuration says instead; raises `BadInput`."""
    told: dict[str, Any] = {}
    for section, keys in SECTIONS.items():
        for key, value in msgspec.json.decode(parts.get(section, b"{}")).items():
            if key not in keys:
                raise BadInput(
                    f"the stored configuration says {key!r} in {section}, which this release does "
                    "not know; run the release that wrote it, or put a configuration again"
                )
            told[keys[key]] = usable(keys[key], value, key)
    return settings.model_copy(update=told)


def usable(setting: str, value: object, key: str) -> Any:
    """The value as the setting holds it; raises `BadInput` with what was expected of `key`."""
    try:
        return _adapter(setting).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "value_error":
            raise BadInput(str(first["ctx"]["error"])) from None
        expected = _WORDS.get(first["type"], first["msg"].removeprefix("Input should be "))
        raise BadInput(f"{key!r} is {shown(value)}; expected {expected}: correct it") from None


def shown(value: object) -> str:
    """A value as JSON, and as YAML, writes it, where it is short."""
    return msgspec.json.encode(value).decode()[:80]


@cache
def _adapter(setting: str) -> TypeAdapter[Any]:
    field = Settings.model_fields[setting]
    return TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]  # known at run time
