"""The store in memory: the same meaning as on Redis, in one process, for tests and trials.

It is what the Lua scripts are read against, and passes the same conformance suite. Its limit:
nothing expires by itself and nothing outlives the process; idempotency records are kept until
their decision goes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.attribution import CONFIRMING
from engine.burden import decayed
from engine.consent import EVERYWHERE, Consent
from engine.history import BY_OTHERS
from engine.mean_value import mean_value
from service.store.keys import (
    idempotency_name,
    lesson_order,
    shard_of,
    shard_of_decision,
    tombstone,
)
from service.store.limits import RETENTION_S, Rules
from service.store.memory_budgets import MemoryBudgets, covered, spend
from service.store.memory_configuration import MemoryConfiguration
from service.store.memory_learning import MemoryLearning
from service.store.memory_state import Decision, Shard, User, shares, take_back
from service.store.protocol import (
    ABOUT_CONSENT,
    SHARDS,
    SWEEP_LIMIT,
    Commit,
    Committed,
    Conflict,
    Event,
    EventStatus,
    EventType,
    Holdings,
    LogEntry,
    Replayed,
    StoredDecision,
    StoredUser,
    UserRead,
)

_NAMES_DECISION = frozenset({EventType.CLICK, EventType.SENT, EventType.NOT_SENT})
"""Without a decision these say nothing."""


class MemoryStore(MemoryLearning, MemoryConfiguration, MemoryBudgets):
    """All state of a deployment, in dictionaries; see `protocol.Store`."""

    def __init__(
        self, *, half_life_s: float, tombstone_secret: bytes, retention_s: int = RETENTION_S
    ) -> None:
        self._rules = Rules(half_life_s, retention_s, tombstone_secret)
        self._all = [Shard() for _ in range(SHARDS)]
        MemoryLearning.__init__(self, self._all)
        MemoryConfiguration.__init__(self)
        MemoryBudgets.__init__(self, self._all)
        self._users: dict[str, User] = {}
        self._decisions: dict[str, Decision] = {}
        self._decisions_of: dict[str, list[Decision]] = defaultdict(list)
        self._event_ids: dict[str, dict[str, float]] = defaultdict(dict)
        self._records: dict[bytes, Replayed] = {}

    async def ping(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to let go of."""

    # -- deciding ---------------------------------------------------------------------------

    async def read_users(
        self, reads: Sequence[UserRead], budgets: Sequence[str] = ()
    ) -> list[StoredUser | Replayed]:
        """Each user's state, or the replay of an answer given before."""
        return [self._record(read) or self._stored(read.user_id, budgets) for read in reads]

    async def user(self, user_id: str) -> StoredUser:
        """A user's state."""
        return self._stored(user_id)

    def _stored(self, user_id: str, budgets: Sequence[str] = ()) -> StoredUser:
        held = self._shard(user_id).allowances
        allowances = {name: held[name] for name in budgets if name in held}
        state = self._users.get(user_id, User())
        return state.stored(self._consent(user_id), allowances)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict | Replayed]:
        """Each decision, in order."""
        for commit in commits:
            self._rules.check(commit)
        return [self._commit(commit) for commit in commits]

    def _commit(self, commit: Commit) -> Committed | Conflict | Replayed:
        replay = self._record(commit)
        if replay:
            return replay
        state = self._users.get(commit.user_id, User())
        consent = self._consent(commit.user_id)
        left = commit.burden_after is not None and not consent.allows(commit.channel)
        outdated = commit.catalog_version < self._catalog_version
        stale = state.version != commit.expected_version or left
        held = self._shard(commit.user_id).allowances
        if (outdated or stale or not covered(held, commit)) and not commit.censored:
            return Conflict(state.stored(consent, {}), outdated)
        spend(held, commit)
        self._write_decision(commit, state.last_send_at)
        if not commit.censored:
            self._users[commit.user_id] = state
            _advance(state, commit)
        return Committed()

    def _write_decision(self, commit: Commit, last_send_at: float | None) -> None:
        shard = self._shard(commit.user_id)
        order = lesson_order(self._rules.tombstone_secret, commit.decision_id)
        decision = Decision(commit, last_send_at, shard, order)
        entry = LogEntry("", "decision", decision.id, decision.status, row=commit.row)
        shard.append_log(commit.user_id, entry)
        if commit.idempotency:
            fingerprint = commit.idempotency.fingerprint
            name = idempotency_name(commit.idempotency.key)
            self._records[name] = Replayed(fingerprint, commit.answer)
        self._decisions[decision.id] = decision
        if decision.waits or commit.slices:
            decision.reschedule()
        mine = self._decisions_of[commit.user_id]
        before = commit.now - self._rules.retention_s
        for old in [d for d in mine if d.at <= before and d.id not in shard.due]:
            self._forget(old)
            mine.remove(old)
        mine.append(decision)

    def _record(self, wanted: UserRead | Commit) -> Replayed | None:
        if wanted.idempotency is None:
            return None
        return self._records.get(idempotency_name(wanted.idempotency.key))

    # -- feedback ---------------------------------------------------------------------------

    async def record_events(self, events: Sequence[Event]) -> list[EventStatus]:
        """Each event, in order."""
        return [self._record_event(event) for event in events]

    def _record_event(self, event: Event) -> EventStatus:
        seen = self._event_ids[event.user_id]
        for old in [e for e, at in seen.items() if at <= event.now - self._rules.retention_s]:
            del seen[old]
        known_as = f"{event.type} {event.event_id}"  # an opt-out is not lost to another's id
        if known_as in seen:
            return EventStatus.DUPLICATE
        decision = self._find(event)
        if decision is None and (event.decision_id or event.type in _NAMES_DECISION):
            if event.type is EventType.UNSUBSCRIBE:
                # Counts once. The log does not name the decision: it may be another user's.
                self._unsubscribe(event.user_id, event.now, event.channel)
                seen[known_as] = event.now
                self._log_event(replace(event, decision_id=None), EventStatus.UNKNOWN)
            return EventStatus.UNKNOWN
        seen[known_as] = event.now
        status = EventStatus.ACCEPTED
        if decision:
            status = self._act_on_decision(event, decision)
        event = replace(event, channel=_channel(event, decision))
        self._act_on_user(event, decision)
        self._log_event(event, status)
        return status

    def _find(self, event: Event) -> Decision | None:
        decision = self._decisions.get(event.decision_id or "")
        if decision is None or decision.commit.user_id != event.user_id:
            return None
        return decision if decision.at > event.now - self._rules.retention_s else None

    def _act_on_decision(self, event: Event, decision: Decision) -> EventStatus:
        is_late = event.now >= _window_end(event, decision)
        if decision.lapsed(event.now):
            self._lapse(decision, event.now)
        if decision.waits and event.type in CONFIRMING:
            decision.waits = False
            decision.reschedule()
        decision.events.append((event.type.value, event.now))
        if event.type is EventType.CLICK and not decision.clicked:
            decision.clicked = True
            self._users.setdefault(event.user_id, User()).clicks += 1
        if event.type == decision.commit.gain_event and decision.is_open("click", event.now):
            decision.gain(event.now)
        if event.type is EventType.NOT_SENT:
            if not is_late:
                decision.censor()
            self._take_back(decision, event.now)
        return EventStatus.LATE if is_late else EventStatus.ACCEPTED

    def _act_on_user(self, event: Event, decision: Decision | None) -> None:
        if event.type is EventType.UNSUBSCRIBE:
            shared = decision is None
            self._unsubscribe(event.user_id, event.now, event.channel, decision, shared=shared)
        elif event.type is EventType.SUBSCRIBE:
            self._change_consent(event.user_id, event.now, event.channel, allow=True)
        elif event.type is EventType.TOLERANCE:
            user = self._users.setdefault(event.user_id, User())
            user.tolerance = event.tolerance
            user.touch(event.now)
        elif event.type is EventType.EXTERNAL_SEND:
            user = self._users.setdefault(event.user_id, User())
            at = max(event.now, user.burden_at)
            burden = decayed(user.burden, user.burden_at, at, self._rules.half_life_s)
            user.burden, user.burden_at = burden + 1.0, at
            user.last_send_at = max(event.now, user.last_send_at or event.now)
            user.touch(event.now)
            user.remember(event.now, BY_OTHERS, ())

    def _change_consent(
        self, user_id: str, now: float, channel: str | None, *, allow: bool
    ) -> tuple[Consent, Consent]:
        """What it was and what it is."""
        before = self._consent(user_id)
        after = before.changed(channel, allow=allow)
        if after != before:
            user = self._users.setdefault(user_id, User())
            user.consent = after
            user.touch(now)
            tombstones, mark = self._shard(user_id).tombstones, self._tombstone(user_id)
            if after.whole:
                tombstones.pop(mark, None)
            else:
                tombstones[mark] = after
        return before, after

    def _unsubscribe(
        self,
        user_id: str,
        now: float,
        channel: str | None,
        named: Decision | None = None,
        shared: bool = False,
    ) -> bool:
        """The user has left; open labels of what he left get their share, or are censored."""
        before, after = self._change_consent(user_id, now, channel, allow=False)
        if before == after:
            return False
        sends = [
            d
            for d in self._decisions_of[user_id]
            if d.is_open("unsubscribe", now) and (d is named or d.channel_was_left(before, after))
        ]
        weights = shares(sends, now) if shared else {}
        if named:
            weights = {named.id: 1.0}
        for decision in sends:
            if decision.id not in weights:
                decision.labels["unsubscribe"].settle(None)
            else:
                decision.teach_unsubscribe(weights[decision.id], now)
                if decision is not named:
                    decision.events.append((EventType.UNSUBSCRIBE.value, now))
            decision.reschedule()
        return True

    async def sweep(self, now: float, limit: int = SWEEP_LIMIT) -> float | None:
        """Close windows due by `now`."""
        for shard in self._all:
            due = sorted((at, decision_id) for decision_id, at in shard.due.items() if at <= now)
            for _, decision_id in due[:limit]:
                decision = self._decisions[decision_id]
                if decision.lapsed(now):
                    self._lapse(decision, now)
                else:
                    decision.teach_due(now)
        return min((at for shard in self._all for at in shard.due.values()), default=None)

    def _lapse(self, decision: Decision, now: float) -> None:
        decision.censor()
        self._take_back(decision, now)

    def _take_back(self, decision: Decision, now: float) -> None:
        if decision.counts_in_burden:
            self._forget_answer(decision)
        user_id = decision.commit.user_id
        user, mine = self._users.get(user_id), self._decisions_of[user_id]
        take_back(decision, user, mine, now, self._rules.half_life_s)

    def _log_event(self, event: Event, status: EventStatus) -> None:
        about, kind = event.decision_id, event.type.value
        entry = LogEntry(
            "",
            "event",
            about,
            status.value,
            type=kind,
            value=event.value,
            event_id=event.event_id,
            at=event.at,
            arrived=event.now,
            channel=event.channel or "",
            tolerance="" if event.tolerance is None else str(event.tolerance),
        )
        self._shard(event.user_id).append_log(event.user_id, entry)

    # -- looking up -------------------------------------------------------------------------

    async def decision(self, decision_id: str) -> StoredDecision | None:
        """A decision by its id, while it is kept."""
        decision = self._decisions.get(decision_id)
        if decision is None or shard_of_decision(decision_id) is None:
            return None
        return decision.stored()

    async def read_log(self, shard: int, after: str, limit: int) -> list[LogEntry]:
        """Entries of one shard's decision log after an id, oldest first."""
        start = int(after.partition("-")[0])
        entries = [entry for _, entry in self._all[shard].log]
        return [e for e in entries if int(e.entry_id.partition("-")[0]) > start][:limit]

    async def trim_log(self, before_ms: int) -> int:  # noqa: ARG002 - nothing expires here
        """Nothing: this store keeps no time of its own."""
        return 0

    async def erase(self, user_id: str, now: float) -> Mapping[str, int]:  # noqa: ARG002 - protocol
        """Delete all that leads back to the user."""
        shard = self._shard(user_id)
        user = self._users.pop(user_id, None)
        decisions = self._decisions_of.pop(user_id, [])
        kept = [(user, entry) for user, entry in shard.log if user != user_id]
        log_entries, shard.log = len(shard.log) - len(kept), kept
        return {
            "users": int(user is not None),
            "decisions": len(decisions),
            "event_ids": len(self._event_ids.pop(user_id, {})),
            "idempotency_records": sum(self._forget(decision) for decision in decisions),
            "tombstones_left": int(self._tombstone(user_id) in shard.tombstones),
            "log_entries": log_entries,
        }

    async def holdings(self, user_id: str) -> Holdings:
        """All that is kept of a user besides the state."""
        mine = self._decisions_of.get(user_id, [])
        known = [one.commit.idempotency for one in mine if one.commit.idempotency]
        names = [idempotency_name(one.key) for one in known]
        return Holdings(
            tuple(entry for user, entry in self._shard(user_id).log if user == user_id),
            tuple(one.id for one in mine),
            tuple(each.partition(" ")[2] for each in self._event_ids.get(user_id, {})),
            tuple(name.decode() for name in names if name in self._records),
        )

    async def import_unsubscribed(
        self, user_ids: Sequence[str], now: float, channel: str | None = None
    ) -> int:
        """Take users off a channel, or off all, teaching nothing; how many were not off before."""
        return sum(self._unsubscribe(user_id, now, channel) for user_id in user_ids)

    # -- parts ------------------------------------------------------------------------------

    def _shard(self, user_id: str) -> Shard:
        return self._all[shard_of(user_id)]

    def _tombstone(self, user_id: str) -> bytes:
        return tombstone(self._rules.tombstone_secret, user_id)

    def _consent(self, user_id: str) -> Consent:
        user = self._users.get(user_id)
        if user is not None and not user.consent.whole:
            return user.consent
        return self._shard(user_id).tombstones.get(self._tombstone(user_id), EVERYWHERE)

    def _forget(self, decision: Decision) -> bool:
        """True if an idempotency record went with it."""
        self._decisions.pop(decision.id, None)
        self._shard(decision.commit.user_id).due.pop(decision.id, None)
        return self._forget_answer(decision)

    def _forget_answer(self, decision: Decision) -> bool:
        """True if there was one; its key may then be another decision's."""
        once = decision.commit.idempotency
        decision.commit = replace(decision.commit, idempotency=None)
        return once is not None and self._records.pop(idempotency_name(once.key), None) is not None


def _advance(user: User, commit: Commit) -> None:
    """The state after a commit; an abstention leaves the version as it is."""
    user.decisions += 1
    user.mean_value = mean_value(user.mean_value, commit.value)
    user.first_seen_at = commit.now if user.first_seen_at is None else user.first_seen_at
    if commit.burden_after is not None:
        user.version += 1
        user.sends += 1
        user.burden, user.burden_at = commit.burden_after, commit.now
        user.last_send_at = commit.now
        user.remember(commit.now, commit.action or BY_OTHERS, commit.tags)


def _channel(event: Event, decision: Decision | None) -> str | None:
    """The channel an event is about; None: all, or nothing."""
    if event.channel is not None or decision is None or event.type not in ABOUT_CONSENT:
        return event.channel
    return decision.channel


def _window_end(event: Event, decision: Decision) -> float:
    """Until when this kind of event is in time."""
    if event.type == decision.commit.gain_event:
        return decision.end("click")
    if event.type is EventType.UNSUBSCRIBE:
        return decision.end("unsubscribe")
    if event.type is EventType.SENT and decision.commit.confirm_by is not None:
        return decision.commit.confirm_by
    return decision.last_end()
