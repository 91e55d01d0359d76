"""The line to Redis: scripts by their hash, pipelines, time limits, errors in one sentence.

A call is one exchange on one pooled connection: everything is written at once, then every reply is
read; a server that says nothing for the time limit is given up. Nothing is retried here: a commit
that was cut off may have happened, and doing it again would record a second decision. Replies stay
bytes.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any, TypeAlias

import hiredis
from redis.asyncio.connection import BlockingConnectionPool
from redis.exceptions import NoScriptError, RedisError, ResponseError

from engine.errors import StoreError
from service.store.limits import Rules

Argument: TypeAlias = bytes | str | int | float
Command: TypeAlias = tuple[Any, ...]
"""Its name and its arguments."""
Reply: TypeAlias = Any
"""Bytes, an integer, None, or a list of replies: what each script documents."""

_PRELUDES = {
    "read": ("shard",),
    "commit": ("shard",),
    "event": ("shard", "decision"),
    "sweep": ("shard", "decision"),
    "import_unsubscribed": ("shard", "decision"),
    "decision_read": ("shard",),
    "erase": ("shard",),
    "log_of": ("shard",),
    "names_of": ("shard",),
    "budget_recall": ("shard",),
    "budget_receive": ("shard",),
    "budget_settle": (),
    "swap_demand": (),
    "acquire_lease": (),
    "release_lease": (),
    "fix_cut": (),
    "commit_round": (),
    "configure": (),
    "raise_catalog": ("shard",),
}


_FLAGS = {
    "read": b" flags=no-writes",
    "decision_read": b" flags=no-writes",
    "erase": b" flags=allow-oom",  # what frees memory must work when it is full
    "log_of": b" flags=no-writes",
    "names_of": b" flags=no-writes",
}


def _source(name: str) -> bytes:
    """The first line makes the server strict: no key of another slot, and a script that could run
    out of memory is refused before its first write, not in the middle.
    """
    folder = resources.files("service.store") / "lua"
    parts = [(folder / f"{part}.lua").read_bytes() for part in (*_PRELUDES[name], name)]
    return b"\n".join([b"#!lua" + _FLAGS.get(name, b""), *parts])


SOURCES = {name: _source(name) for name in _PRELUDES}
HASHES = {
    name: hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()
    for name, source in SOURCES.items()
}


def call(script: str, key: Argument, *arguments: Argument) -> Command:
    """One run of a script; `key` decides the slot."""
    return ("EVALSHA", HASHES[script], 1, key, *arguments)


class Client:
    """A bounded pool of connections to one server."""

    def __init__(self, pool: BlockingConnectionPool, place: str, read_timeout_s: float) -> None:
        self._pool = pool
        self._place = place
        self._read_timeout_s = read_timeout_s

    async def run(self, commands: Sequence[Command]) -> list[Reply]:
        """The replies in order; `StoreError` if any command failed or the server is away."""
        replies = await self.attempt(commands)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise StoreError(f"Redis at {self._place} refused a command: {reply}") from reply
        return replies

    async def one(self, *command: Argument) -> Reply:
        """The reply to a single command."""
        return (await self.run((command,)))[0]

    async def attempt(self, commands: Sequence[Command]) -> list[Reply]:
        """As `run`, with the error of a refused command in its place."""
        if not commands:
            return []
        replies = await self._exchange(commands)
        missing = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missing:
            await self.run([("SCRIPT", "LOAD", source) for source in SOURCES.values()])
            again = await self._exchange([commands[i] for i in missing])
            for i, reply in zip(missing, again, strict=True):
                replies[i] = reply
        return replies

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.disconnect()

    async def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        try:
            return await self._exchange_on_connection(commands)
        except (RedisError, OSError, TimeoutError) as error:
            reason = str(error) or f"no answer within {self._read_timeout_s:g} s"
            raise StoreError(
                f"Redis at {self._place} cannot be reached ({reason}); nothing was acknowledged."
            ) from error

    async def _exchange_on_connection(self, commands: Sequence[Command]) -> list[Reply]:
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(self._read_timeout_s):  # a new connection waits for a greeting
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(self._read_timeout_s) as patience:
                packed = b"".join(map(hiredis.pack_command, commands))
                await connection.send_packed_command(packed, check_health=False)
                replies = [await self._read(connection)]
                for _ in commands[1:]:
                    patience.reschedule(now() + self._read_timeout_s)
                    replies.append(await self._read(connection))
                return replies
        finally:
            await self._pool.release(connection)

    @staticmethod
    async def _read(connection: Any) -> Reply:
        try:
            return await connection.read_response(disable_decoding=True)
        except ResponseError as error:
            return error


class Part:
    """What every part of the store on Redis stands on."""

    def __init__(self, client: Client, rules: Rules) -> None:
        self._client = client
        self._rules = rules
