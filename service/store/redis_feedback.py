"""Feedback on Redis: events, the sweep of closed windows, looking up, erasure, imports."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal

from service.store.keys import TAGS, due_key, log_key, shard_of, shard_of_decision, tombstone
from service.store.protocol import (
    SHARDS,
    SWEEP_LIMIT,
    Event,
    EventStatus,
    Holdings,
    LogEntry,
    StoredDecision,
)
from service.store.redis_client import Argument, Command, Part, Reply, call

_LOG_BATCH = 500
"""Entries of the log that one script looks at: a millisecond or so of the server's time."""


class Feedback(Part):
    """What happens to users and decisions after the answer."""

    async def record_events(self, events: Sequence[Event]) -> list[EventStatus]:
        """One script per event, all in one round trip."""
        replies = await self._client.run([self._event_command(event) for event in events])
        return [EventStatus(reply.decode()) for reply in replies]

    async def sweep(self, now: float, limit: int = SWEEP_LIMIT) -> float | None:
        """One look at every shard, then one script, by itself, for each that has something due.

        The server does one thing at a time: sent together, the scripts would hold up every decision
        until the last of them is done.
        """
        firsts = await self._client.run(
            [("ZRANGE", due_key(shard), 0, 0, "WITHSCORES") for shard in range(SHARDS)]
        )
        left = []
        for tag, first in zip(TAGS, firsts, strict=True):
            due = first[1] if first else None
            if due is not None and float(due) <= now:
                due = await self._client.one(
                    *call("sweep", tag, now, limit, self._rules.half_life_s)
                )
            if due is not None:
                left.append(float(due))
        return min(left, default=None)

    async def decision(self, decision_id: str) -> StoredDecision | None:
        """A decision by its id, while it is kept."""
        shard = shard_of_decision(decision_id)
        if shard is None:
            return None
        reply = await self._client.one(*call("decision_read", TAGS[shard], decision_id))
        if reply is None:
            return None
        row, flat = reply
        return _decision(row, dict(zip(flat[::2], flat[1::2], strict=True)))

    async def erase(self, user_id: str, now: float) -> Mapping[str, int]:  # noqa: ARG002 - protocol
        """State first, so that nothing of the old can be written, then the shard's log in batches.

        The log only as it was then: a user may come back in between, and his new rows stay. Cut
        off in between, it can simply be asked for again.
        """
        shard = shard_of(user_id)
        mark = tombstone(self._rules.tombstone_secret, user_id)
        *reply, end = await self._client.one(*call("erase", TAGS[shard], user_id, mark))
        kinds = ("users", "decisions", "event_ids", "idempotency_records", "tombstones_left")
        deleted = 0
        async for entries in self._log_of(user_id, end):
            ids = [entry_id for entry_id, _ in entries]
            deleted += await self._client.one("XDEL", log_key(shard), *ids)
        return dict(zip(kinds, reply, strict=True)) | {"log_entries": deleted}

    async def holdings(self, user_id: str) -> Holdings:
        """All that is kept of a user besides the state."""
        names = await self._client.one(*call("names_of", TAGS[shard_of(user_id)], user_id))
        log = [
            _log_entry(entry_id, fields)
            async for entries in self._log_of(user_id, b"+")
            for entry_id, fields in entries
        ]
        return Holdings(tuple(log), *(tuple(name.decode() for name in kind) for kind in names))

    async def import_unsubscribed(
        self, user_ids: Sequence[str], now: float, channel: str | None = None
    ) -> int:
        """One script per shard concerned, all in one round trip."""
        by_shard: dict[int, list[Argument]] = defaultdict(list)
        for user_id in user_ids:
            by_shard[shard_of(user_id)] += (
                user_id,
                tombstone(self._rules.tombstone_secret, user_id),
            )
        return sum(
            await self._client.run(
                [
                    call(
                        "import_unsubscribed",
                        TAGS[shard],
                        now,
                        self._rules.users_s,
                        channel or b"",
                        *users,
                    )
                    for shard, users in by_shard.items()
                ]
            )
        )

    async def read_log(self, shard: int, after: str, limit: int) -> list[LogEntry]:
        """Entries of one shard's decision log after an id, oldest first."""
        reply = await self._client.one("XRANGE", log_key(shard), f"({after}", "+", "COUNT", limit)
        return [_log_entry(entry_id, fields) for entry_id, fields in reply]

    async def trim_log(self, before_ms: int) -> int:
        """Drop log entries older than this."""
        first = f"{before_ms}-0"
        return sum(
            await self._client.run(
                [("XTRIM", log_key(shard), "MINID", first) for shard in range(SHARDS)]
            )
        )

    def _event_command(self, event: Event) -> Command:
        return call(
            "event",
            TAGS[shard_of(event.user_id)],
            event.user_id,
            tombstone(self._rules.tombstone_secret, event.user_id),
            event.event_id,
            event.type,
            event.now,
            event.at,
            event.decision_id or b"",
            b"" if event.value is None else event.value,
            self._rules.half_life_s,
            self._rules.retention_s,
            self._rules.users_s,
            event.channel or b"",
            b"" if event.tolerance is None else str(event.tolerance),
        )

    async def _log_of(self, user_id: str, until: bytes) -> AsyncIterator[Reply]:
        """The user's entries of the log up to an id, in batches of (id, fields)."""
        shard = shard_of(user_id)
        after = b"0-0"
        while after:
            entries, after = await self._client.one(
                *call("log_of", TAGS[shard], user_id, after, until, _LOG_BATCH)
            )
            if entries:
                yield entries


_KINDS: Mapping[bytes, Literal["decision", "labels", "event"]] = {
    b"decision": "decision",
    b"labels": "labels",
    b"event": "event",
}


def _log_entry(entry_id: bytes, flat: Sequence[bytes]) -> LogEntry:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    value = fields.get(b"value")
    return LogEntry(
        entry_id=entry_id.decode(),
        kind=_KINDS[fields[b"kind"]],
        decision_id=fields[b"d"].decode() or None,
        status=fields[b"status"].decode(),
        row=fields.get(b"row", b""),
        click=_label(fields.get(b"click")),
        unsubscribe=_label(fields.get(b"unsubscribe")),
        type=fields.get(b"type", b"").decode(),
        value=float(value) if value else None,
        user_id=fields[b"u"].decode(),
        event_id=fields.get(b"id", b"").decode(),
        at=_time(fields.get(b"at")),
        arrived=_time(fields.get(b"now")),
        channel=fields.get(b"channel", b"").decode(),
        tolerance=fields.get(b"tolerance", b"").decode(),
    )


def _time(field: bytes | None) -> float | None:
    return None if field is None else float(field)


_STATUS: Mapping[bytes, Literal["open", "resolved", "censored"]] = {
    b"open": "open",
    b"resolved": "resolved",
    b"censored": "censored",
}


def _decision(row: bytes, fields: Mapping[bytes, bytes]) -> StoredDecision:
    count = int(fields.get(b"n", 0))
    taken = (fields[b"n%d" % i].decode().split(" ") for i in range(1, count + 1))
    status = _STATUS[fields.get(b"s", b"open")]
    return StoredDecision(
        row,
        _label(fields.get(b"cl")),
        _label(fields.get(b"ul")),
        status,
        tuple((kind, float(now)) for kind, now in taken),
    )


def _label(field: bytes | None) -> float | None:
    return None if field in (None, b"none") else float(field)
