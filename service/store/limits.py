"""How long things are kept, and the checks that both stores make on it.

Time here is the service's clock. Expiry inside Redis runs on real time and only frees memory: what
an event may still do is decided by comparing times, so that a simulated clock gives the same. For
the same reason a decision with something still due outlives its retention, by 30 days of real time
(lua/shard.lua): a service that was away for less closes every window it had opened.
"""

from dataclasses import dataclass

from engine.errors import BadInput
from service.store.protocol import Commit

DAY_S = 86_400
RETENTION_S = 9 * DAY_S
"""Default life of a decision and of an event id."""
MIN_RETENTION_S = 8 * DAY_S
"""Senders may repeat an event for a week and a day; within that it is a duplicate."""
USERS_S = 400 * DAY_S
"""Default life of the state of a user nobody hears of: who comes once a year stays."""
MIN_USERS_S = 33 * DAY_S
"""Caps and cooldowns look back 31 days, and senders' clocks disagree."""
IDEMPOTENCY_S = DAY_S
"""Default life of an answer kept for a request that may be repeated."""
MODELS_KEPT = 5
ROUNDS_KEPT = 1_000
AUDIT_ENTRIES = 1_000
AUDIT_BYTES = 16 * 1024 * 1024
"""Of the bodies before and after; beyond either bound the oldest changes are dropped."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How long a deployment keeps things, in seconds."""

    decisions_s: int = RETENTION_S
    """And ids of events."""
    users_s: int = USERS_S
    idempotency_s: int = IDEMPOTENCY_S


@dataclass(frozen=True, slots=True)
class Rules:
    """What a deployment chose for its store; refused where the store could not keep its word."""

    half_life_s: float
    """Of the burden."""
    retention_s: int
    """Decisions, and ids of events, are kept this long: longer than any window."""
    tombstone_secret: bytes
    """Key of the hashes that unsubscribed users leave; losing it loses the opt-outs of those who
    were erased or not heard of for long."""
    users_s: int = USERS_S
    """A user's state is kept this long after the last decision or event; an opt-out for ever."""
    idempotency_s: int = IDEMPOTENCY_S

    def __post_init__(self) -> None:
        if not self.half_life_s > 0.0:
            raise BadInput(f"the burden's half-life is {self.half_life_s} s; give more than 0.")
        if self.retention_s < MIN_RETENTION_S:
            raise BadInput(
                f"decisions would be kept {self.retention_s / DAY_S:g} days; give at least 8, so "
                "that an event repeated within a week is known as a duplicate."
            )
        if self.users_s < max(MIN_USERS_S, self.retention_s):
            raise BadInput(
                f"users' states would be kept {self.users_s / DAY_S:g} days; give at least 33, and "
                "not less than decisions are kept, so that every cap can look back."
            )
        if self.idempotency_s < 1:
            raise BadInput("idempotency records would be kept less than 1 s; give at least that.")
        if not self.tombstone_secret:
            raise BadInput("the secret of the tombstones is empty; give at least one byte.")

    def check(self, commit: Commit) -> None:
        """Refuse a decision whose windows would outlive its record, and a contention that acts."""
        acts = commit.slices or commit.charges or commit.burden_after is not None
        if commit.censored and acts:
            raise BadInput(
                f"the contention record {commit.decision_id} has a send, a charge or open labels; "
                "it can only abstain and teach nothing."
            )
        last = commit.slices[-1].due if commit.slices else commit.now
        last = max(last, commit.confirm_by or commit.now)
        if last >= commit.now + self.retention_s:
            raise BadInput(
                f"a window of decision {commit.decision_id} closes {last - commit.now:g} s after "
                f"it, but decisions are kept {self.retention_s} s; shorten the window or raise "
                "the retention."
            )
