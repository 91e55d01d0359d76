"""Deciding on Redis: read a user, commit a decision. Two round trips per decision, so kept thin."""

import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from engine.allowance import Allowance
from engine.budget import Charge
from engine.consent import EVERYWHERE, parse_consent
from engine.history import BY_OTHERS, History, Send
from engine.outcome import Slice
from engine.rules import parse_cap
from service.store.keys import TAGS, idempotency_name, lesson_order, shard_of, tombstone
from service.store.protocol import (
    Commit,
    Committed,
    Conflict,
    Idempotency,
    Replayed,
    StoredUser,
    UserRead,
)
from service.store.redis_budgets import allowance_from
from service.store.redis_client import Argument, Command, Part, Reply, call

_SLICE = struct.Struct(">Bdd")
"""Head (0 click, 1 unsubscribe), due, mass: what decision.lua unpacks."""

_encode = msgspec.msgpack.Encoder().encode
_decode_history = msgspec.msgpack.Decoder(History).decode
_COMMITTED = Committed()
NO_ALLOWANCES: Mapping[str, Allowance] = {}


class Deciding(Part):
    """`read_users`, `commit` and `user` of the store."""

    async def read_users(
        self, reads: Sequence[UserRead], budgets: Sequence[str] = ()
    ) -> list[StoredUser | Replayed]:
        """One script per shard concerned, all in one round trip."""
        by_shard: dict[int, list[int]] = defaultdict(list)
        for i, read in enumerate(reads):
            by_shard[shard_of(read.user_id)].append(i)
        commands = [
            call("read", TAGS[shard], *self._read_arguments([reads[i] for i in members], budgets))
            for shard, members in by_shard.items()
        ]
        found: dict[int, StoredUser | Replayed] = {}
        for members, (held, *replies) in zip(
            by_shard.values(), await self._client.run(commands), strict=True
        ):
            allowances = _allowances(budgets, held)
            states = (_state(reply, allowances) for reply in replies)
            found.update(zip(members, states, strict=True))
        return [found[i] for i in range(len(reads))]

    async def user(self, user_id: str) -> StoredUser:
        """A user's state."""
        arguments = self._read_arguments([UserRead(user_id)])
        replies = await self._client.one(*call("read", TAGS[shard_of(user_id)], *arguments))
        return user_from_reply(replies[1])

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict | Replayed]:
        """One script per decision, all in one round trip."""
        for commit in commits:
            self._rules.check(commit)
        replies = await self._client.run([self._commit_command(commit) for commit in commits])
        return [_outcome(reply) for reply in replies]

    def _read_arguments(
        self, reads: Sequence[UserRead], budgets: Sequence[str] = ()
    ) -> list[Argument]:
        arguments: list[Argument] = [len(budgets), *budgets]
        for read in reads:
            record = idempotency_name(read.idempotency.key) if read.idempotency else b""
            user_tombstone = tombstone(self._rules.tombstone_secret, read.user_id)
            arguments += (read.user_id, user_tombstone, record)
        return arguments

    def _commit_command(self, commit: Commit) -> Command:
        ends = {piece.head: piece.due for piece in commit.slices}
        first_due = commit.slices[0].due if commit.slices else None
        record_name, record = _record(commit.idempotency, commit.answer)
        return call(
            "commit",
            TAGS[shard_of(commit.user_id)],
            commit.user_id,
            tombstone(self._rules.tombstone_secret, commit.user_id),
            b"" if commit.censored else commit.expected_version,
            commit.now,
            commit.decision_id,
            _optional(commit.burden_after),
            commit.hazard,
            commit.row,
            commit.teaching,
            _packed(commit.slices),
            _optional(first_due if commit.confirm_by is None else commit.confirm_by),
            _optional(ends.get("click")),
            _optional(ends.get("unsubscribe")),
            _optional(commit.confirm_by),
            commit.gain_event,
            self._rules.retention_s,
            record_name,
            record,
            _sent(commit),
            commit.catalog_version,
            lesson_order(self._rules.tombstone_secret, commit.decision_id),
            self._rules.users_s,
            self._rules.idempotency_s,
            _charged(commit.charges),
            commit.channel,
            commit.value,
        )


def user_from_reply(
    fields: Sequence[bytes | None], allowances: Mapping[str, Allowance] = NO_ALLOWANCES
) -> StoredUser:
    """A user's state from the fields that shard.lua reads."""
    version, burden, burden_at, last, first, consent, decisions, *rest = fields
    sends, clicks, history, tolerance, mean_value = rest
    return StoredUser(
        int(version or 0),
        float(burden or 0.0),
        float(burden_at or 0.0),
        None if last is None else float(last),
        None if first is None else float(first),
        EVERYWHERE if consent is None else parse_consent(consent.decode()),
        int(decisions or 0),
        int(sends or 0),
        int(clicks or 0),
        () if history is None else _decode_history(history),
        allowances,
        None if tolerance is None else parse_cap(tolerance.decode()),
        float(mean_value or 1.0) if decisions else None,
    )


def _state(reply: Reply, allowances: Mapping[str, Allowance]) -> StoredUser | Replayed:
    return _replay(reply) if isinstance(reply, bytes) else user_from_reply(reply, allowances)


def _allowances(budgets: Sequence[str], held: Sequence[bytes | None]) -> dict[str, Allowance]:
    return {
        name: allowance_from(packed)
        for name, packed in zip(budgets, held, strict=True)
        if packed is not None
    }


def _outcome(reply: Reply) -> Committed | Conflict | Replayed:
    if reply == 1:
        return _COMMITTED
    if isinstance(reply, bytes):
        return _replay(reply)
    *user, outdated = reply
    return Conflict(user_from_reply(user), outdated is not None)


def _replay(record: bytes) -> Replayed:
    fingerprint, _, answer = record.partition(b"\n")
    return Replayed(fingerprint.decode(), answer)


def _record(idempotency: Idempotency | None, answer: bytes) -> tuple[bytes, bytes]:
    if idempotency is None:
        return b"", b""
    return idempotency_name(idempotency.key), idempotency.fingerprint.encode() + b"\n" + answer


def _sent(commit: Commit) -> bytes:
    """The send as the user's history will hold it, or nothing."""
    if commit.burden_after is None:
        return b""
    mark = commit.expected_version + 1
    return _encode(Send(commit.now, commit.action or BY_OTHERS, commit.tags, mark))


def _charged(charges: Sequence[Charge]) -> bytes:
    if not charges:
        return b""
    return _encode([(charge.budget, charge.needed, charge.spent) for charge in charges])


def _packed(slices: Sequence[Slice]) -> bytes:
    return b"".join(
        _SLICE.pack(piece.head == "unsubscribe", piece.due, piece.mass) for piece in slices
    )


def _optional(number: float | None) -> Argument:
    return b"" if number is None else number
