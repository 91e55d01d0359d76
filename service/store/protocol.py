"""The store: everything that outlives a request, behind one protocol.

Each method is one step that happens whole or not at all; on Redis it is one script, or a pipeline
of independent scripts where it takes a list. Times are arguments (seconds since the epoch): no
script reads a clock, so a simulated day is as good as a real one. A store that cannot be reached
raises `StoreError`, and then nothing was acknowledged.

Two implementations pass the same conformance suite: `redis.RedisStore` and `memory.MemoryStore`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from engine.allowance import Allowance
from engine.budget import Budget, Charge
from engine.catalog import DEFAULT_CHANNEL
from engine.consent import EVERYWHERE, Consent
from engine.history import History
from engine.outcome import Slice
from engine.rules import Cap
from service.store.lessons import Checkpoint, StreamEntry

SHARDS = 64
"""Fixed for the life of a deployment: user ids are spread over this many hash tags."""

SWEEP_LIMIT = 50
"""Decisions that a sweep closes in one step: every other step of the server waits for it."""


class EventType(StrEnum):
    """Feedback that a sender reports."""

    CLICK = "click"
    UNSUBSCRIBE = "unsubscribe"
    SUBSCRIBE = "subscribe"
    DISMISS = "dismiss"
    CONVERSION = "conversion"
    SENT = "sent"
    NOT_SENT = "not_sent"
    """The answer was not carried out: teaches nothing, and a send's burden is taken back."""
    EXTERNAL_SEND = "external_send"
    TOLERANCE = "tolerance"
    """The user said how often he wants to be messaged, or that he does not mind any more."""


ABOUT_CONSENT = frozenset({EventType.UNSUBSCRIBE, EventType.SUBSCRIBE})
"""Events that say which channels a user wants."""


class EventStatus(StrEnum):
    """What became of an event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    """This user's event of the same id was taken before; nothing happened."""
    LATE = "late"
    """Its window had closed: logged, acts on the user's state, teaches nothing."""
    UNKNOWN = "unknown"
    """No such decision of this user. An unsubscribe still takes effect for the user, is logged
    without the decision, and its id is known from then on."""
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user's state; a user never seen has version 0 and the other defaults."""

    version: int = 0
    """Raised by every change that a decision could depend on; compared at commit."""
    burden: float = 0.0
    burden_at: float = 0.0
    last_send_at: float | None = None
    first_seen_at: float | None = None
    consent: Consent = EVERYWHERE
    decisions: int = 0
    sends: int = 0
    """Sends through Forbear that were not taken back by not_sent; external sends not included."""
    clicks: int = 0
    history: History = ()
    """Recent sends, external ones included, without those taken back; all that caps depend on."""
    allowances: Mapping[str, Allowance] = field(default_factory=dict)
    """Budget -> what the user's shard holds of it; only of budgets that were asked about."""
    tolerance: Cap | None = None
    """Most sends the user himself wants, where he said so."""
    mean_value: float | None = None
    """Of a click, over his requests (engine.mean_value); None before the first decision."""

    @property
    def unsubscribed(self) -> bool:
        """Whether any channel was left."""
        return not self.consent.whole


@dataclass(frozen=True, slots=True)
class Idempotency:
    """An idempotency record's name and the fingerprint of the request it belongs to."""

    key: str
    """Unique for (API key, user, idempotency key); kept for 24 hours."""
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """The answer that an earlier request with the same idempotency key got."""

    fingerprint: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """A decision to be made durable, with all that its later events need."""

    user_id: str
    expected_version: int
    now: float
    decision_id: str
    """Starts with the two-digit shard of the user and a dash."""
    action: str | None
    row: bytes
    """The decision log row; opaque here."""
    answer: bytes
    """What the sender gets; kept with the idempotency record."""
    burden_after: float | None
    """The user's burden at `now` including this send; None for an abstention."""
    hazard: float
    """Logged probability of unsubscribing: shares out an unsubscribe that names no decision."""
    teaching: bytes
    """What the learner needs of this decision; empty where it can teach nothing."""
    slices: tuple[Slice, ...]
    """In order of `due`; the last of each head closes that label's window. Empty: no open label."""
    confirm_by: float | None
    """Deferred: without `sent` by then the decision is censored and its send taken back."""
    gain_event: Literal["click", "conversion"]
    """Which event is this decision's click label."""
    tags: tuple[str, ...] = ()
    """Of the message sent: what tag caps count by."""
    channel: str = DEFAULT_CHANNEL
    """Of the message sent."""
    charges: tuple[Charge, ...] = ()
    """Budgets that the candidates and the action depend on; a budget once."""
    idempotency: Idempotency | None = None
    value: float = 1.0
    """Of a click, as the request said or as configured."""
    censored: bool = False
    """The row is a contention record: no state is compared, none but the log is written."""
    catalog_version: int = 0
    """Of the configuration the decision was made with, its catalog included."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The decision is durable."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """What the decision was made with has changed since it was read; nothing was written."""

    user: StoredUser
    outdated: bool = False
    """A newer configuration is in force: take it up before deciding again."""


@dataclass(frozen=True, slots=True)
class StoredConfiguration:
    """The configuration as of one moment: the catalog, rules, prices and whatever else is set."""

    version: int = 0
    parts: Mapping[str, bytes] = field(default_factory=dict)
    """Name -> JSON text; the store does not look into either."""


@dataclass(frozen=True, slots=True)
class Change:
    """Parts of the configuration to be written or removed together."""

    by: str
    """Who: the id of an API key, or "file"."""
    at: float
    parts: Mapping[str, bytes | None]
    """None removes; what is not named stays."""
    expected: int | None = None
    """The version that this change was made for; None: whatever it is."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The change is in force."""

    version: int
    """After it; the same as before if there was nothing to change."""
    before: Mapping[str, bytes]
    """What stood there, of the parts named."""


@dataclass(frozen=True, slots=True)
class Outdated:
    """The configuration is not the one that the change was made for; nothing was changed."""

    version: int


@dataclass(frozen=True, slots=True)
class AuditedPart:
    """One part before and after a change; None where there was or is none."""

    name: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change of the configuration."""

    version: int
    """That it led to."""
    at: float
    by: str
    parts: tuple[AuditedPart, ...]
    """Those that it changed."""

    @property
    def size(self) -> int:
        """Bytes of all that stood before and after."""
        return sum(len(part.before or b"") + len(part.after or b"") for part in self.parts)


@dataclass(frozen=True, slots=True)
class UserRead:
    """Who to read, and the idempotency record to look for."""

    user_id: str
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One piece of feedback; validated, with the service's clock at arrival in `now`."""

    event_id: str
    type: EventType
    user_id: str
    now: float
    at: float
    """When the sender says it happened; logged, and the start of nothing."""
    decision_id: str | None = None
    value: float | None = None
    channel: str | None = None
    """Left or joined; None: that of the named decision's message, without one all of them."""
    tolerance: Cap | None = None
    """Of a tolerance event; None: any number of sends."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A budget after its shards reported; in units."""

    free: int
    """May still be granted."""
    left: int
    """The limit without what was spent within the period, as far as reported."""
    unmet: tuple[int, ...] = ()
    """Shards that did not get what they needed."""


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision with what became of it."""

    row: bytes
    click: float | None
    """Label: 1, 0, or None while open, or when there is none."""
    unsubscribe: float | None
    """Label: 1, 0, a share of one, or None while open, or when there is none."""
    status: Literal["open", "resolved", "censored"]
    events: tuple[tuple[str, float], ...]
    """(type, time of arrival) of every event taken for this decision, in order."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the decision log, in the order in which things became known."""

    entry_id: str
    """Redis stream id; ordered within its shard."""
    kind: Literal["decision", "labels", "event"]
    decision_id: str | None
    """None for an event that names none."""
    status: str
    """Of a decision or its labels: open, resolved or censored; of an event: its `EventStatus`."""
    row: bytes = b""
    """Of a decision: its row."""
    click: float | None = None
    """Of labels; the last labels of a decision hold."""
    unsubscribe: float | None = None
    type: str = ""
    """Of an event."""
    value: float | None = None
    user_id: str = ""
    event_id: str = ""
    at: float | None = None
    """Of an event: when its sender says it happened."""
    arrived: float | None = None
    channel: str = ""
    """Of an unsubscribe or subscribe: the one left or joined; empty: all of them."""
    tolerance: str = ""
    """Of a tolerance event: the cap as written; empty: any number of sends."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that is kept of one user, besides the state: what erasure would delete."""

    log: tuple[LogEntry, ...]
    """Decisions, labels and events, oldest first."""
    decisions: tuple[str, ...]
    """Ids of those that may still change."""
    event_ids: tuple[str, ...]
    """Known, so that a repetition is a duplicate."""
    idempotency_records: tuple[str, ...]
    """Names, which are hashes."""


class Store(Protocol):
    """All state of a deployment."""

    async def ping(self) -> None:
        """Raise `StoreError` unless the store answers."""

    async def close(self) -> None:
        """Let go of connections."""

    # -- deciding ---------------------------------------------------------------------------

    async def read_users(
        self, reads: Sequence[UserRead], budgets: Sequence[str] = ()
    ) -> list[StoredUser | Replayed]:
        """Each user's state, or the replay of an answer given before; order kept.

        With the allowances of the named budgets on the user's shard.

        A tombstone left by erasure makes its user read as off the channels he had left.
        """

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict | Replayed]:
        """Each decision: the user's state compared, then state, row and deadlines written.

        The comparison is made for every action, abstaining too: refusing only sends would make
        the recorded rows conditional on success and their propensities wrong. A send to a user
        who has left its channel is a conflict whatever the version. An abstention does not raise
        the version: all it changes is the mean value, and that of one request before will do. A
        send joins the user's history with the new version as its mark; all that changes the history
        raises the version, so what the rules allowed at that version still holds. A charge whose
        `needed` units are not on the shard any more is a conflict too, again for every action; a
        send's `spent` units are taken, and given back when it is taken back. A decision made with
        an older configuration than the one in force is a conflict too, whatever its action: a pause
        that was acknowledged holds for every commit after it, in every process.
        """

    # -- feedback ---------------------------------------------------------------------------

    async def record_events(self, events: Sequence[Event]) -> list[EventStatus]:
        """Each event's status, after its effects: state, labels, lessons, log; order kept."""

    async def sweep(self, now: float, limit: int = SWEEP_LIMIT) -> float | None:
        """Close windows due by `now`: teach negatives, settle labels, censor the unconfirmed.

        At most `limit` decisions per shard and call, each shard by itself. Returns the earliest
        deadline left in any shard (it may be past, when the limit was reached), or None.
        """

    # -- budgets ----------------------------------------------------------------------------

    async def settle(
        self, budget: Budget, now: float, needed: Mapping[int, int], *, recall: bool = False
    ) -> Settled:
        """Report shards to a budget's ledger, and grant each so many units, or nothing.

        `needed` is by shard; the shards named are reported, all of them where none is named. With
        `recall` all are, and what is left on any comes back first. Not one step but three for each
        shard, in an order in which being cut off, or overtaken by another worker, loses nothing.
        """

    async def demand(self) -> tuple[int, bytes]:
        """What workers know together of the demand for budgets, and its version; opaque here."""

    async def swap_demand(self, version: int, blob: bytes) -> bool:
        """Replace it and raise the version; False if another worker was quicker."""

    # -- looking up -------------------------------------------------------------------------

    async def decision(self, decision_id: str) -> StoredDecision | None:
        """A decision by its id, while it is kept."""

    async def user(self, user_id: str) -> StoredUser:
        """A user's state."""

    async def erase(self, user_id: str, now: float) -> Mapping[str, int]:
        """Delete all that leads back to the user; what was deleted, counted by kind.

        A user who has left a channel leaves one keyed-hash tombstone that goes on suppressing.
        Lessons name nobody and stay.
        """

    async def import_unsubscribed(
        self, user_ids: Sequence[str], now: float, channel: str | None = None
    ) -> int:
        """Take users off a channel, or off all, teaching nothing; how many were not off before."""

    async def read_log(self, shard: int, after: str, limit: int) -> list[LogEntry]:
        """Entries of one shard's decision log with id > `after` ("0-0": all), oldest first."""

    async def trim_log(self, before_ms: int) -> int:
        """Drop log entries older than `before_ms` (stream time); how many.

        Only for entries that belong to decisions past the retention.
        """

    async def holdings(self, user_id: str) -> Holdings:
        """All that is kept of a user besides the state."""

    # -- configuration and access -----------------------------------------------------------------

    async def configuration_version(self) -> int:
        """Rises with every change of the configuration; 0 before the first."""

    async def configuration(self) -> StoredConfiguration:
        """The version and every part, in one step."""

    async def configure(self, change: Change) -> Changed | Outdated:
        """Change parts, all or none, and record who did it; in force in every shard on return.

        What changes nothing leaves the version and the record as they are.
        """

    async def audit(self, before: int | None, limit: int) -> list[AuditEntry]:
        """Changes with a version below `before` (None: all), newest first.

        The last `limits.AUDIT_ENTRIES` are kept, and of those what `limits.AUDIT_BYTES` allow.
        """

    async def api_keys(self) -> Mapping[str, bytes]:
        """Key id -> stored record (hash and scopes, never the key)."""

    async def put_api_key(self, key_id: str, body: bytes) -> None:
        """Write an API key's record."""

    # -- learning ---------------------------------------------------------------------------

    async def acquire_lease(self, token: str, ttl_s: float) -> int | None:
        """Become the one learner, or stay it: the fencing epoch; None while another holds it.

        The epoch rises whenever the holder changes.
        """

    async def release_lease(self, token: str) -> None:
        """Stop being the learner, if this token holds the lease."""

    async def load_checkpoint(self) -> Checkpoint | None:
        """The learner's position; None before the first round."""

    async def stream_ends(self) -> tuple[str, ...]:
        """Last id of each shard's event stream, "0-0" where there is none."""

    async def read_stream(
        self, shard: int, after: str, until: str, limit: int
    ) -> list[StreamEntry]:
        """Entries of one shard with after < id <= until, oldest first."""

    async def fix_cut(self, epoch: int, cut: Sequence[str]) -> bool:
        """Store the next round's cut beside the checkpoint; False when the epoch is stale."""

    async def commit_round(self, epoch: int, version: int, blob: bytes, applied: int) -> bool:
        """Move checkpoint and model to the fixed cut; False, and nothing moved, if stale.

        The blob is written first under its version, then one script compares the epoch and moves
        positions, version and the current model's pointer together, clears the cut and appends it
        to the rounds' history. The last five blobs are kept.
        """

    async def rounds(self) -> list[tuple[str, ...]]:
        """The kept history of committed cuts, oldest first."""

    async def current_version(self) -> int:
        """Version of the published model; 0 before the first."""

    async def load_model(self, version: int) -> bytes | None:
        """A published model; None when it is not kept any more."""

    async def entries_added(self) -> int:
        """Lessons ever appended to the event streams: minus `applied`, the learner's lag."""

    async def trim(self, before_ms: int) -> int:
        """Drop applied event-stream entries older than `before_ms` (stream time); how many."""
