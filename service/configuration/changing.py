"""Changing the configuration: every way to do it ends here, is recorded and is logged.

A change may name the version it was made for; when another one is in force by then it is refused,
so that nobody undoes what he has not seen. A whole document says all that its sections say: what it
leaves out of `rules` or `prices` falls back to the environment. A document without `messages` says
nothing about the catalog. The kill switch is a part of its own that no document touches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from engine.catalog import Message
from service.configuration.document import FILE, MESSAGE, PAUSE, SECTIONS, Document, Parts
from service.logs import logger
from service.problems import Kind, Refused
from service.store.protocol import Change, Changed, Store, StoredConfiguration

BY_FILE: Final = "file"
MOST_LOGGED: Final = 20
"""Names of parts, or faults, in one log line."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, when, and which version he has seen."""

    by: str
    at: float
    expected: int | None = None
    """None: whichever is in force."""


async def put_message(store: Store, message: Message, author: Author) -> tuple[int, bool]:
    """Write a message; the version it is in force as, and whether it is new."""
    name = MESSAGE + message.id
    changed = await _change(store, {name: message.to_json()}, author)
    return changed.version, name not in changed.before


async def delete_message(store: Store, message_id: str, author: Author) -> int | None:
    """Remove a message; the version without it, None if there was none."""
    name = MESSAGE + message_id
    changed = await _change(store, {name: None}, author)
    return changed.version if name in changed.before else None


async def set_paused(store: Store, author: Author, *, paused: bool) -> None:
    """Turn the kill switch on or off."""
    await _change(store, {PAUSE: b"true" if paused else None}, author)


async def put_document(store: Store, document: Document, author: Author) -> int:
    """Take up a whole document; the version it is in force as."""
    while True:
        stored = await store.configuration()
        if author.expected not in (None, stored.version):
            raise _refused(author, stored.version)
        version = await _replace(store, stored, document, author, {})
        if version is not None:
            return version


async def take_up_file(store: Store, document: Document, digest: str, at: float) -> None:
    """Take up a file's document, unless this very text was the last one taken up."""
    mark = {FILE: msgspec.json.encode(digest)}
    while True:
        stored = await store.configuration()
        if stored.parts.get(FILE) == mark[FILE]:
            return
        if await _replace(store, stored, document, Author(BY_FILE, at), mark) is not None:
            return


async def _replace(
    store: Store, stored: StoredConfiguration, document: Document, author: Author, mark: Parts
) -> int | None:
    """Put the document in place of what is stored; None when somebody else was quicker."""
    parts = {**_replacing(stored.parts, document), **mark}
    changed = await store.configure(Change(author.by, author.at, parts, stored.version))
    if not isinstance(changed, Changed):
        return None
    _log(changed, parts, author)
    return changed.version


def _replacing(stored: Parts, document: Document) -> dict[str, bytes | None]:
    """The document's parts, and the removal of those that it does not have any more."""
    gone = [
        name
        for name in stored
        if name in SECTIONS or (name.startswith(MESSAGE) and document.messages is not None)
    ]
    return {**dict.fromkeys(gone), **document.parts()}


async def _change(store: Store, parts: Mapping[str, bytes | None], author: Author) -> Changed:
    changed = await store.configure(Change(author.by, author.at, parts, author.expected))
    if not isinstance(changed, Changed):
        raise _refused(author, changed.version)
    _log(changed, parts, author)
    return changed


def _log(changed: Changed, parts: Mapping[str, bytes | None], author: Author) -> None:
    names = [name for name, body in parts.items() if changed.before.get(name) != body]
    if names:
        logger().info(
            "configuration changed",
            version=changed.version,
            by=author.by,
            changed=len(names),
            parts=sorted(names)[:MOST_LOGGED],
        )


def _refused(author: Author, version: int) -> Refused:
    return Refused(
        Kind.CONFIGURATION_CHANGED,
        f"The change was made for version {author.expected} of the configuration, and version "
        f"{version} is in force; read that one and make the change again.",
    )
