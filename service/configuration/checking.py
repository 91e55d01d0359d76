"""From a tree of nodes to a document, or to every fault in it at once.

Each key is checked alone, so that one fault hides no other; only then, and only where its keys are
in order, a message is checked as a whole. The types and limits are those of `Settings` and of
`Message`: there is no second list of them here.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from engine.catalog import MOST_MESSAGES, Message, parse_message
from engine.errors import BadInput
from service.configuration.document import LISTS, SECTIONS, Document, shown, usable
from service.configuration.faults import BadConfiguration, Fault, unknown
from service.configuration.nodes import Node, plain, read
from service.wording import complaint

_FIELDS = [one for one in msgspec.structs.fields(Message) if one.name != "id"]
_MESSAGE_KEYS = [one.name for one in _FIELDS]
_MAPS = frozenset(one.name for one in _FIELDS if one.default_factory is dict)
_ALONE = {one.name: msgspec.defstruct("Alone", [(one.name, one.type)]) for one in _FIELDS}
"""For each field a record that holds nothing else."""
_NAMES = [*SECTIONS, "messages"]


def check(text: bytes, name: str) -> Document:
    """The document in a YAML text; raises `BadConfiguration`, whose faults begin with `name`."""
    root, faults = read(text)
    document = Document() if root is None else _document(root, faults)
    if root is None and not faults:
        expected = f"expected some of {', '.join(sorted(_NAMES))}"
        faults.append(Fault(1, f"nothing is said here; {expected}: write what should hold"))
    if faults:
        raise BadConfiguration(name, faults)
    return document


def _document(root: Node, faults: list[Fault]) -> Document:
    sections: dict[str, dict[str, Any]] = {}
    messages: dict[str, Message] | None = None
    for name, node in _entries(root, "the configuration", faults).items():
        if name not in _NAMES:
            faults.append(Fault(node.line, unknown(name, "a configuration", _NAMES)))
        elif node.value is None:
            sentence = (
                f"{name!r} has nothing under it; expected its keys, indented: remove the line to "
                "say nothing about it, or write {} to empty it"
            )
            faults.append(Fault(node.line, sentence))
        elif name == "messages":
            messages = _messages(node, faults)
        else:
            sections[name] = _section(name, node, faults)
    return Document(sections, messages)


def _entries(node: Node, what: str, faults: list[Fault]) -> dict[str, Node]:
    if isinstance(node.value, dict):
        return node.value
    faults.append(
        Fault(node.line, f"{what} is {_kind(node)}; expected keys with values: correct it")
    )
    return {}


def _kind(node: Node) -> str:
    return "a list" if isinstance(node.value, list) else shown(node.value)


def _section(name: str, node: Node, faults: list[Fault]) -> dict[str, Any]:
    """What a section says, by key."""
    told: dict[str, Any] = {}
    for key, value in _entries(node, f"{name!r}", faults).items():
        setting = SECTIONS[name].get(key)
        if setting is None:
            faults.append(Fault(value.line, unknown(key, name, list(SECTIONS[name]))))
        elif setting in LISTS and value.value is not None:
            told[key] = _several(key, setting, value, faults)
        else:
            told[key] = _setting(key, setting, plain(value), value.line, faults)
    return told


def _several(key: str, setting: str, node: Node, faults: list[Fault]) -> Any:
    """The setting that holds several things, once each of them can be used alone."""
    before = len(faults)
    texts = [_setting(key, setting, text, line, faults) for text, line in _texts(node)]
    if len(faults) > before:
        return None
    return _setting(key, setting, " ".join(texts), node.line, faults)


def _texts(node: Node) -> Iterator[tuple[object, int]]:
    """Each entry as it is written in a line of them, a number as a text, and where it stands."""
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            for one in child.value if isinstance(child.value, list) else [child]:
                yield f"{key}:{plain(one)}", one.line
        return
    for one in node.value if isinstance(node.value, list) else [node]:
        number = isinstance(one.value, int | float) and not isinstance(one.value, bool)
        yield f"{one.value}" if number else plain(one), one.line


def _setting(key: str, setting: str, value: object, line: int, faults: list[Fault]) -> Any:
    """The value of a setting; None, and a fault, where it cannot be used."""
    try:
        return usable(setting, value, key)
    except BadInput as error:
        faults.append(Fault(line, str(error)))
        return None


def _messages(node: Node, faults: list[Fault]) -> dict[str, Message]:
    found: dict[str, Message] = {}
    entries = _entries(node, "'messages'", faults)
    if len(entries) > MOST_MESSAGES:
        given = f"{len(entries):,} messages; expected at most {MOST_MESSAGES:,}"
        faults.append(Fault(node.line, f"there are {given}: leave out those of the past"))
        return found
    for name, one in entries.items():
        before = len(faults)
        _whole(name, {}, one.line, faults)  # its id, before it is blamed for each field
        if len(faults) > before:
            continue
        fields = {} if one.value is None else _entries(one, f"message {name!r}", faults)
        for key, value in fields.items():
            _check_field(name, key, value, faults)
        if len(faults) == before:
            message = _whole(name, plain(one) or {}, one.line, faults)
            if message is not None:
                found[name] = message
    return found


def _check_field(name: str, key: str, node: Node, faults: list[Fault]) -> None:
    """One field of a message, as if it were the only one; of several, one after the other."""
    if key not in _MESSAGE_KEYS:
        faults.append(Fault(node.line, unknown(key, "a message", _MESSAGE_KEYS)))
        return
    before = len(faults)
    if key in _MAPS and isinstance(node.value, dict):
        for entry, value in node.value.items():
            _check_value(name, key, {entry: plain(value)}, value.line, faults)
    entries = node.value if isinstance(node.value, list) else []
    for one in entries:
        _check_value(name, key, [plain(one)], one.line, faults)
    for end in range(2, len(entries) + 1):  # beside those above it, an entry may be too much
        if len(faults) == before:
            _check_value(name, key, plain(node)[:end], entries[end - 1].line, faults)
    if len(faults) == before:
        _check_value(name, key, plain(node), node.line, faults)


def _check_value(name: str, key: str, value: Any, line: int, faults: list[Fault]) -> None:
    try:
        msgspec.convert({key: value}, _ALONE[key])
        parse_message(name, msgspec.json.encode({key: value}))
    except msgspec.ValidationError as error:
        faults.append(Fault(line, f"message {name[:80]!r}: {_told(error, key, value)}"))
    except BadInput as error:
        faults.append(Fault(line, str(error)))


def _told(error: msgspec.ValidationError, key: str, value: Any) -> str:
    stray = re.match(r"Object contains unknown field `(.*?)`", str(error))
    if stray:
        return f"`{stray[1]}` is not a key of `{key}`; remove it, or correct its name"
    return complaint(error, msgspec.json.encode({key: value})).removesuffix(".")


def _whole(name: str, fields: Any, line: int, faults: list[Fault]) -> Message | None:
    try:
        return parse_message(name, msgspec.json.encode(fields))
    except BadInput as error:
        faults.append(Fault(line, str(error)))
        return None
