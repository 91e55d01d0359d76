"""YAML as a tree of plain values that know their lines; nothing in it is ever executed.

PyYAML finds the structure and the lines. What a plain word means is decided here, as YAML 1.2 has
it and not 1.1: `no`, `on` and 22:00 are texts, 1_000 is a text, 010 is ten. Only true, false, null
and decimal numbers are more than text. Tags, anchors and aliases are refused: a configuration needs
none, and a few lines of aliases can stand for gigabytes. Limit: from the first place that is no
YAML on, nothing can be said of the rest.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import yaml
from yaml.composer import Composer
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # its stub hides it
from yaml.resolver import BaseResolver

from service.configuration.faults import Fault

LARGEST_BYTES: Final = 4 * 1024 * 1024

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


Scalar: TypeAlias = str | float | bool | None


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands."""

    line: int
    """Of its key, where it has one; else its own; counted from 1."""
    value: "Scalar | list[Node] | dict[str, Node]"


class _Unreadable(Exception):
    """Nothing can be said of the text but this."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.fault = Fault(line, sentence)


class _NotUsed(yaml.MarkedYAMLError):
    """A part of YAML that a configuration does without."""


class _Loader(Composer, CParser, BaseResolver):
    """The structure alone: every scalar a text, no tag, no anchor, no alias.

    Read by libyaml, composed in Python, where depth is bounded: the composer in C is not.
    """

    def __init__(self, stream: bytes) -> None:
        CParser.__init__(self, stream)
        Composer.__init__(self)
        BaseResolver.__init__(self)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()
        for what in ("tag", "anchor"):
            given = getattr(event, what, None)
            if given is not None:
                raise _NotUsed(problem=f"{what} {given[:80]!r}", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def read(text: bytes) -> tuple[Node | None, list[Fault]]:
    """The tree, None where there is none, and what is wrong with the writing of it."""
    faults: list[Fault] = []
    try:
        root = _composed(text)
    except _Unreadable as error:
        return None, [error.fault]
    return (None if root is None else _node(root, _line(root.start_mark), faults)), faults


def _composed(text: bytes) -> yaml.Node | None:
    if len(text) > LARGEST_BYTES:
        size = f"{len(text):,} bytes; expected at most {LARGEST_BYTES:,}"
        raise _Unreadable(1, f"the text has {size}: leave out what is not needed")
    try:
        text = text.decode("utf-8-sig").encode()
        return _Loader(text).get_single_node()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise _Unreadable(line, "this is not UTF-8 text, which YAML is: save it as UTF-8") from None
    except RecursionError:
        raise _Unreadable(1, "values are nested too deeply to be read: flatten them") from None
    except yaml.MarkedYAMLError as error:
        line = _line(error.problem_mark or error.context_mark)
        raise _Unreadable(line, _sentence(error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count(b"\n", 0, error.position) + 1
        sentence = "a control character stands here; expected text: remove it"
        raise _Unreadable(line, sentence) from None


def _sentence(error: yaml.MarkedYAMLError) -> str:
    if isinstance(error, _NotUsed):
        return f"the {error.problem} is not used in a configuration: write the value itself"
    problem = " ".join(str(error.problem or error.context).split())
    return (
        f"this is not YAML that can be read ({problem}); expected keys and values, indented with "
        "blanks: correct it here or just above"
    )


def plain(node: Node) -> Any:
    """The value without its lines."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def _line(mark: yaml.Mark | None) -> int:
    return 1 if mark is None else mark.line + 1


def _node(found: yaml.Node, line: int, faults: list[Fault]) -> Node:
    if isinstance(found, yaml.MappingNode):
        return Node(line, _mapping(found, faults))
    if isinstance(found, yaml.SequenceNode):
        return Node(line, [_node(one, _line(one.start_mark), faults) for one in found.value])
    quoted = isinstance(found, yaml.ScalarNode) and bool(found.style)
    return Node(line, found.value if quoted else _scalar(found.value))


def _mapping(found: yaml.MappingNode, faults: list[Fault]) -> dict[str, Node]:
    children: dict[str, Node] = {}
    for key, value in found.value:
        line = _line(key.start_mark)
        if not isinstance(key, yaml.ScalarNode):
            faults.append(Fault(line, "a key is no text; expected one word: correct it"))
        elif key.value in children:
            first = children[key.value].line
            sentence = (
                f"{key.value[:80]!r} was given before, on line {first}; expected each name once: "
                "rename one, or remove it"
            )
            faults.append(Fault(line, sentence))
        else:
            children[key.value] = _node(value, line, faults)
    return children


def _scalar(word: str) -> Scalar:
    """What a word without quotes means in YAML 1.2."""
    if word in _NULL:
        return None
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    if _INTEGER.fullmatch(word):
        return int(word)
    number = float(word) if _FLOAT.fullmatch(word) else math.inf
    return number if math.isfinite(number) else word
