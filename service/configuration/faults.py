"""What is wrong with a configuration: one sentence for each fault, with its file and line."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.errors import BadInput


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing to mend."""

    line: int
    """Counted from 1."""
    sentence: str
    """What was given, what was expected, what to do; without a full stop."""


class BadConfiguration(BadInput):
    """A configuration that cannot be taken up; `sentences` has one for each fault."""

    def __init__(self, name: str, faults: Iterable[Fault]) -> None:
        self.sentences = [f"{name}:{fault.line}: {fault.sentence}" for fault in sorted(faults)]
        super().__init__("\n".join(self.sentences))


def unknown(key: str, of: str, known: Sequence[str]) -> str:
    """The sentence for a key that nobody knows, with the one that was probably meant."""
    expected = ", ".join(sorted(known))
    near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.6)
    remedy = f"did you mean {near[0]!r}?" if near else "remove it, or correct its name"
    return f"{key[:80]!r} is not a key of {of}; expected one of {expected}: {remedy}"
