"""API keys: who may do what.

A key reads `fb_<id>_<secret>`: the id names its record, the secret has 256 random bits. Only the
SHA-256 of the whole key is stored, with the key's scopes; a fast hash is enough because nobody can
guess 256 bits. Keys live in the store, and in the setting `FORBEAR_API_KEYS` for those who keep
secrets elsewhere; the latter are known before the store is, so they work while it is away.

Known keys are kept in memory and re-read in the background: a key that was changed elsewhere may
still be accepted, or not yet, for a few seconds.
"""

import hashlib
import hmac
import math
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from engine.errors import BadInput, StoreError
from service.clock import stopwatch
from service.problems import Kind, Refused, unavailable
from service.store.protocol import Store

_LOOK_AGAIN_AFTER_S = 0.2
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="forbear"'}


class Scope(StrEnum):
    """What a key allows."""

    DECIDE = "decide"
    FEEDBACK = "feedback"
    READ = "read"
    ADMIN = "admin"


class KeyRecord(msgspec.Struct, frozen=True):
    """What is kept of a key."""

    sha256: str
    scopes: tuple[Scope, ...]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request this is."""

    key_id: str


def new_key() -> str:
    """A key that nobody has seen before."""
    return f"fb_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"


def key_id(key: str) -> str | None:
    """The id inside a key; None if this is not a key at all."""
    prefix, _, rest = key.partition("_")
    identity, _, secret = rest.partition("_")
    return identity if prefix == "fb" and identity and secret else None


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


async def create_key(store: Store, scopes: Iterable[Scope]) -> str:
    """Make a key, keep its hash, and return it: the only time it can be read."""
    key = new_key()
    record = KeyRecord(_sha256(key), tuple(scopes))
    identity = key_id(key)
    assert identity is not None  # noqa: S101 (new_key's shape)
    await store.put_api_key(identity, msgspec.json.encode(record))
    return key


async def ensure_first_key(store: Store) -> str | None:
    """On a store without keys, make one that may do everything; None if there are keys."""
    if await store.api_keys():
        return None
    return await create_key(store, Scope)


def configured_keys(text: str) -> dict[str, KeyRecord]:
    """Records from a setting: keys separated by blanks, each alone or as KEY=scope,scope."""
    records = {}
    for entry in text.split():
        key, equals, scopes = entry.partition("=")
        identity = key_id(key)
        if identity is None:
            raise BadInput(
                "FORBEAR_API_KEYS holds something that is not a key; expected keys of the form "
                "fb_<id>_<secret>, separated by blanks: correct it"
            )
        if identity in records:
            raise BadInput(
                f"FORBEAR_API_KEYS holds two keys of the id {identity}; expected another id for "
                "each, fb_<id>_<secret>: change one"
            )
        records[identity] = KeyRecord(_sha256(key), _scopes(scopes) if equals else tuple(Scope))
    return records


def _scopes(text: str) -> tuple[Scope, ...]:
    try:
        return tuple(Scope(scope) for scope in text.split(","))
    except ValueError:
        raise BadInput(
            f"FORBEAR_API_KEYS gives the scopes {text!r}; expected some of {', '.join(Scope)}, "
            "separated by commas: correct it"
        ) from None


class KeyRing:
    """The keys this process knows."""

    def __init__(self, store: Store, configured: Mapping[str, KeyRecord]) -> None:
        self._store = store
        self._configured = configured
        self._records: dict[str, KeyRecord] = dict(configured)
        self._loaded = False
        self._looked_at = -math.inf

    async def refresh(self) -> None:
        """Re-read the store's keys; raises `StoreError`, and then the known ones stay."""
        self._looked_at = stopwatch()
        stored = {
            identity: msgspec.json.decode(body, type=KeyRecord)
            for identity, body in (await self._store.api_keys()).items()
        }
        self._records = stored | dict(self._configured)
        self._loaded = True

    async def caller(self, authorization: str | None, scope: Scope) -> Caller:
        """Whose request this is; raises `Refused` unless their key allows `scope`."""
        scheme, _, key = (authorization or "").partition(" ")
        identity = key_id(key) if scheme.lower() == "bearer" else None
        if identity is None:
            raise _unauthorized("No API key was given")
        record = self._records.get(identity) or await self._look_again(identity)
        if record is None or not hmac.compare_digest(record.sha256, _sha256(key)):
            raise _unauthorized("The API key given is not known here")
        if scope not in record.scopes:
            raise Refused(
                Kind.FORBIDDEN,
                f"The API key {identity} lacks the scope {scope.value!r}, which this request "
                "needs; use a key that has it, or have one made.",
            )
        return Caller(identity)

    async def _look_again(self, identity: str) -> KeyRecord | None:
        """The record of a key that may be new; a flood of wrong keys does not reach the store."""
        if stopwatch() - self._looked_at > _LOOK_AGAIN_AFTER_S:
            with suppress(StoreError):
                await self.refresh()
        if not self._loaded:
            raise unavailable()
        return self._records.get(identity)


def _unauthorized(what: str) -> Refused:
    return Refused(
        Kind.UNAUTHORIZED,
        f"{what}; expected the header 'Authorization: Bearer fb_<id>_<secret>': "
        "send a key that was made for this service.",
        _CHALLENGE,
    )
