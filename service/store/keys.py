"""What is in Redis: every key of a deployment, and how a user finds its shard.

A user's shard is the first 8 bytes of SHA-256(user id) modulo 64, written as the hash tag `{sNN}`.
All that belongs to a user shares that tag, so every step is one atomic script and Redis Cluster
works unchanged. Scripts get the tag as their only key and build the names below from it: some
(a decision found in a deadline, say) are known only inside the script.

Per shard ({sNN} = "{s00}" to "{s63}"):

    {sNN}:u:USER         hash    the user's state; expires when nobody asks about or reports of the
                                 user for long
                                 v version, b burden, t burden_at, l last_send_at, f first_seen_at,
                                 x consent: + or - and the channels that are exceptions to it
                                 (all of them), y tolerance, a cap as written (none),
                                 d decisions, s sends, c clicks, w mean value of a click (1),
                                 r recent sends: MessagePack [[at, message, tags, mark], ...]
    {sNN}:ud:USER        zset    ids of the user's decisions by time; for unnamed unsubscribes and
                                 for erasure; expires no sooner than the last of them
    {sNN}:ue:USER        zset    "TYPE ID" of events taken, by arrival: seen again, a duplicate
    {sNN}:d:DECISION     hash    what may still change of a decision; expires after the retention,
                                 30 days later while it has a deadline.
                                 Absent fields save memory: each has the meaning in brackets
                                 u user, a decided at, e id of its log entry, h hazard,
                                 s status (open), g gain event (click), p last_send_at before it,
                                 b "1" while a send counts in the burden (an abstention),
                                 m its mark in the user's recent sends, cn its channel (push),
                                 c what it took from budgets: MessagePack [[budget, units], ...],
                                 o confirm by, w "1" until confirmed, k idempotency record,
                                 i slices done (0), f "1" once a lesson was taught,
                                 q "1" once clicked; n number of events, n1 n2 ... "type arrival";
                                 of each head: ce ue window end (no such label),
                                 cl ul label (open), "none" once censored, ct ut mass taught (0),
                                 ch arrival of a click that is still to be taught (none)
    {sNN}:i:NAME         string  an idempotency record: fingerprint, newline, answer; expires
    {sNN}:due            zset    decisions by their next deadline (seconds), one member each
    {sNN}:lessons        stream  what the learner reads: o keyed pseudonym of the decision, h head,
                                 y label, w weight, t taught, l delay, f "1" for a decision's first,
                                 x teaching. Names nobody, so erasure leaves it alone
    {sNN}:log            stream  the decision log: entries of kind "decision" (u user, d decision,
                                 status, row, teaching, order: the lessons' o, slices), "labels" (u,
                                 d, status, click, unsubscribe; the last one of a decision holds)
                                 and "event" (u, d, id, type, now, at, value, status, channel,
                                 tolerance). Decisions refer to their entry: it is trimmed behind
                                 their retention
    {sNN}:tombstones     hash    keyed hash of a user who has left a channel -> his consent: what
                                 remains of the opt-out when his state is erased or expires
    {sNN}:b:BUDGET       string  the shard's allowance, MessagePack [granted, spent, returned,
                                 refunded, since, last, earliest]; see engine/allowance.py
    {sNN}:catalog        string  version of the configuration in force: a decision made with an
                                 older one is refused; written before a change is acknowledged

Under tags of their own:

    {catalog}:parts      hash    the configuration: name of a part -> JSON. A section of the
                                 configuration file, "message/ID", "pause" while the kill switch is
                                 on, "file" the hash of the file last taken up
    {catalog}:version    string  raised by every change of any part
    {catalog}:audit      zset    the last changes by version: MessagePack
                                 [version, at, by, [[part, before, after], ...]]
    {catalog}:audit_bytes string size of all that stands before and after in it
    {budget}:l:BUDGET    hash    the ledger: sN what it knows of shard N (MessagePack [granted,
                                 spent, returned, refunded]), bN a bin of time ([units, latest])
    {budget}:demand      string  what is known of the demand for budgets, for their prices
    {budget}:version     string  raised by every change of it
    {access}:keys        hash    API key id -> record
    {learner}:lease      string  token of the active learner; expires
    {learner}:holder     string  token that held it last
    {learner}:epoch      string  fencing epoch, raised when the holder changes
    {learner}:checkpoint hash    version, applied, positions, cut (both JSON lists of stream ids)
    {learner}:rounds     list    the last 1,000 committed cuts, oldest first
    {learner}:models     zset    keys of the kept model blobs by version
    {learner}:model:V:H  string  a model blob, named by its version and its hash
    forbear:format       string  format version of all of the above
    forbear:mark         string  a text hashed with the deployment's secret, to know it again
"""

import hashlib
import hmac
import re

from service.store.protocol import SHARDS

FORMAT_KEY = "forbear:format"
FORMAT_VERSION = b"2"
"""Raised when an older service would misread what a newer one writes, or the reverse."""

MARK_KEY = "forbear:mark"

CATALOG = "{catalog}"
ACCESS_KEYS = "{access}:keys"
BUDGET_DEMAND = "{budget}:demand"
BUDGET_VERSION = "{budget}:version"
LEARNER = "{learner}"

TAGS = tuple(f"{{s{shard:02d}}}" for shard in range(SHARDS))
"""Each shard's hash tag."""

_DECISION_ID = re.compile(r"(\d\d)-.", re.ASCII | re.DOTALL)


def shard_of(user_id: str) -> int:
    """The user's shard, 0 to 63; the same in every process and for the life of a deployment."""
    digest = hashlib.sha256(user_id.encode()).digest()
    return int.from_bytes(digest[:8]) % SHARDS


def shard_of_decision(decision_id: str) -> int | None:
    """The shard a decision id names with its first two digits; None if it is no decision id."""
    found = _DECISION_ID.match(decision_id)
    shard = int(found[1]) if found else SHARDS
    return shard if shard < SHARDS else None


def ledger_key(budget: str) -> str:
    """The ledger of a budget."""
    return f"{{budget}}:l:{budget}"


def allowance_key(shard: int, budget: str) -> str:
    """A shard's allowance of a budget."""
    return f"{TAGS[shard]}:b:{budget}"


def due_key(shard: int) -> str:
    """The shard's deadlines."""
    return f"{TAGS[shard]}:due"


def log_key(shard: int) -> str:
    """The shard's decision log."""
    return f"{TAGS[shard]}:log"


def lessons_key(shard: int) -> str:
    """The shard's stream of lessons."""
    return f"{TAGS[shard]}:lessons"


def tombstone(secret: bytes, user_id: str) -> bytes:
    """What is left of an erased user: HMAC-SHA256 of the id, worthless without the secret."""
    return hmac.digest(secret, user_id.encode(), "sha256")


def secret_mark(secret: bytes) -> bytes:
    """By which a secret is known again; worthless for finding it."""
    return hmac.digest(secret, b"forbear", "sha256").hex().encode()


def lesson_order(secret: bytes, decision_id: str) -> str:
    """How lessons name their decision: a random place in a round, leading back with the secret."""
    return hmac.digest(secret, b"lesson " + decision_id.encode(), "sha256")[:8].hex()


def idempotency_name(key: str) -> bytes:
    """A record's name: hashed, because the parts of its key may be long and may name a user."""
    return hashlib.sha256(key.encode()).hexdigest()[:32].encode()
