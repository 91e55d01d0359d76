"""The command `forbear check`: what is wrong with a file, or what it says."""

import sys
from collections.abc import Iterator
from pathlib import Path

from engine.catalog import Message
from service.configuration.checking import check
from service.configuration.document import Document
from service.configuration.faults import BadConfiguration, Fault


def check_file(path: Path) -> int:
    """Print what there is to say of the file; the exit code: 0 in order, 1 not."""
    try:
        document = check(read_bytes(path), path.name)
    except BadConfiguration as error:
        for sentence in error.sentences:
            print(sentence, file=sys.stderr)
        return 1
    for line in summary(path.name, document):
        print(line)
    return 0


def read_bytes(path: Path) -> bytes:
    """What is in a file; raises `BadConfiguration` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        sentence = f"the file cannot be read ({error.strerror}); expected a configuration: name one"
        raise BadConfiguration(path.name, [Fault(1, sentence)]) from None


def summary(name: str, document: Document) -> Iterator[str]:
    """A few lines that a person can compare with what he meant."""
    yield f"{name} is in order."
    for section, told in document.sections.items():
        yield f"{section}: " + (", ".join(f"{k} {v}" for k, v in told.items()) or "none")
    if document.messages is None:
        yield "messages: not said here; the catalog stays as it is"
    else:
        yield f"messages: {_counts(list(document.messages.values()))}"


def _counts(messages: list[Message]) -> str:
    counts = {
        "paused": sum(message.paused for message in messages),
        "transactional": sum(message.transactional for message in messages),
        "with rules of their own": sum(message.has_rules for message in messages),
    }
    told = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    return f"{len(messages)}" + (f" ({told})" if told else "")
