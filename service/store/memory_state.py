"""What the in-memory store holds of a user and of a decision, and how a decision changes.

The same steps as lua/decision.lua, in the same order, on plain objects.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from engine.allowance import Allowance
from engine.attribution import CREDIT_WINDOW_S, credit
from engine.burden import without_send
from engine.consent import EVERYWHERE, Consent
from engine.history import History, Send, taken_out, with_send
from engine.outcome import HeadName, Slice, waits
from engine.rules import Cap
from service.store.lessons import StreamEntry
from service.store.protocol import (
    Commit,
    LogEntry,
    StoredDecision,
    StoredUser,
)

LEAST_WEIGHT = 1e-9
"""What rounding leaves of a whole that was taught in parts."""

Log: TypeAlias = list[tuple[str, LogEntry]]
"""(user, entry): whose erasure takes the entry away."""
Status: TypeAlias = Literal["open", "resolved", "censored"]


@dataclass(slots=True)
class User:
    """A user's state and what leads to the rest."""

    version: int = 0
    burden: float = 0.0
    burden_at: float = 0.0
    last_send_at: float | None = None
    first_seen_at: float | None = None
    consent: Consent = EVERYWHERE
    decisions: int = 0
    sends: int = 0
    clicks: int = 0
    history: History = ()
    tolerance: Cap | None = None
    mean_value: float | None = None

    def stored(self, consent: Consent, allowances: Mapping[str, Allowance]) -> StoredUser:
        """As the protocol gives it out."""
        return StoredUser(
            self.version,
            self.burden,
            self.burden_at,
            self.last_send_at,
            self.first_seen_at,
            consent,
            self.decisions,
            self.sends,
            self.clicks,
            self.history,
            allowances,
            self.tolerance,
            self.mean_value,
        )

    def touch(self, now: float) -> None:
        """A change that decisions depend on."""
        self.version += 1
        self.first_seen_at = now if self.first_seen_at is None else self.first_seen_at

    def remember(self, at: float, message: str, tags: tuple[str, ...]) -> None:
        """A send, marked with the version it has already raised the state to."""
        self.history = with_send(self.history, Send(at, message, tags, self.version), at)


@dataclass(slots=True)
class Label:
    """One head's label: open, settled to a number, or none (never there, or censored)."""

    ends: float | None
    open: bool
    value: float | None = None
    taught: float = 0.0

    def settle(self, value: float | None) -> None:
        """Close it; None leaves it without a value."""
        self.open, self.value = False, value


@dataclass(slots=True)
class Shard:
    """The streams and deadlines that users of one shard share."""

    lessons: list[StreamEntry] = field(default_factory=list)
    last_lesson: str = "0-0"
    lessons_added: int = 0
    log: Log = field(default_factory=list)
    due: dict[str, float] = field(default_factory=dict)
    tombstones: dict[bytes, Consent] = field(default_factory=dict)
    allowances: dict[str, Allowance] = field(default_factory=dict)
    logged: int = 0

    def append_log(self, user_id: str, entry: LogEntry) -> None:
        """Append to the decision log; the id is the number of entries ever appended."""
        self.logged += 1
        self.log.append((user_id, replace(entry, entry_id=f"{self.logged}-0", user_id=user_id)))


class Decision:
    """A decision with its labels; every method is a step of lua/decision.lua."""

    def __init__(self, commit: Commit, last_before: float | None, shard: Shard, order: str) -> None:
        ends = {piece.head: piece.due for piece in commit.slices}
        self.commit = commit
        self.id = commit.decision_id
        self.at = commit.now
        self.last_before = last_before
        self.mark = commit.expected_version + 1
        self.counts_in_burden = commit.burden_after is not None
        self.waits = commit.confirm_by is not None
        self.labels: dict[HeadName, Label] = {
            "click": Label(ends.get("click"), "click" in ends),
            "unsubscribe": Label(ends.get("unsubscribe"), "unsubscribe" in ends),
        }
        self.status: Status = "censored" if commit.censored else "open" if ends else "resolved"
        self.slices_done = 0
        self.taught_any = False
        self.clicked = False
        self.came: float | None = None
        self.events: list[tuple[str, float]] = []
        self._shard = shard
        self._order = order

    @property
    def channel(self) -> str | None:
        """Of the message sent; None of an abstention."""
        return None if self.commit.action is None else self.commit.channel

    def channel_was_left(self, before: Consent, after: Consent) -> bool:
        """Whether this change of its user's consent took its channel away."""
        channel = self.commit.channel
        return before.allows(channel) and not after.allows(channel)

    def stored(self) -> StoredDecision:
        """As the protocol gives it out."""
        return StoredDecision(
            self.commit.row,
            self.labels["click"].value,
            self.labels["unsubscribe"].value,
            self.status,
            tuple(self.events),
        )

    def refund(self) -> None:
        """Give back what its send took from budgets."""
        held = self._shard.allowances
        for charge in self.commit.charges:
            if charge.spent and charge.budget in held:
                held[charge.budget] = held[charge.budget].refund(charge.spent, self.at)

    # -- windows ----------------------------------------------------------------------------

    def end(self, head: HeadName) -> float:
        """When the head's window closes; never, for one without such a label."""
        ends = self.labels[head].ends
        return math.inf if ends is None else ends

    def last_end(self) -> float:
        """When the last of its windows closes; never, for one without windows."""
        ends = [label.ends for label in self.labels.values() if label.ends is not None]
        return max(ends, default=math.inf)

    def lapsed(self, now: float) -> bool:
        """Deferred, and not confirmed in time."""
        confirm_by = self.commit.confirm_by
        return self.waits and confirm_by is not None and now >= confirm_by

    def is_open(self, head: HeadName, now: float) -> bool:
        """The label can still change at `now`, whether or not the sweep has been here."""
        label = self.labels[head]
        return label.open and label.ends is not None and now < label.ends and not self.lapsed(now)

    def reschedule(self) -> None:
        """After any change: settle the status, and put the next deadline in its place."""
        if self.status == "open" and not any(label.open for label in self.labels.values()):
            self.become("resolved")
        due = None if self.status == "censored" else self._next_deadline()
        if due is None:
            self._shard.due.pop(self.id, None)
        else:
            self._shard.due[self.id] = due

    def _next_deadline(self) -> float | None:
        if self.waits:
            return self.commit.confirm_by
        left = self.commit.slices[self.slices_done :]
        return next((piece.due for piece in left if self._has_lessons(piece.head)), None)

    def _has_lessons(self, head: HeadName) -> bool:
        """Silence so far, or a click that waits for the next slice."""
        return self.labels[head].open or (head == "click" and self.came is not None)

    # -- labels and lessons -----------------------------------------------------------------

    def become(self, status: Status) -> None:
        """Resolved or censored, on record."""
        self.status = status
        click, unsubscribe = self.labels["click"].value, self.labels["unsubscribe"].value
        self._shard.append_log(
            self.commit.user_id,
            LogEntry("", "labels", self.id, status, click=click, unsubscribe=unsubscribe),
        )

    def censor(self) -> None:
        """Teach nothing more, and be excluded on record."""
        if self.status == "censored":
            return
        self.waits, self.came = False, None
        for label in self.labels.values():
            label.settle(None)
        self.become("censored")
        self._shard.due.pop(self.id, None)

    def lesson(self, head: HeadName, label: int, weight: float, delay: float) -> None:
        """Append what the learner reads."""
        if weight < LEAST_WEIGHT or not self.commit.teaching:
            return
        shard = self._shard
        ms, _, sequence = shard.last_lesson.partition("-")
        shard.last_lesson = f"{ms}-{int(sequence) + 1}"
        if int(self.at * 1000) > int(ms):
            shard.last_lesson = f"{int(self.at * 1000)}-0"
        shard.lessons_added += 1
        taught, first = self.labels[head].taught, not self.taught_any
        shard.lessons.append(
            StreamEntry(
                shard.last_lesson,
                self._order,
                head,
                label,
                weight,
                taught,
                delay,
                first,
                self.commit.teaching,
            )
        )
        self.taught_any = True

    def gain(self, now: float) -> None:
        """The click label is settled at once; its lesson may wait for the next slice."""
        self.came = now
        self.labels["click"].settle(1.0)
        mine = [piece for piece in self.commit.slices if piece.head == "click"]
        if not self.waits and not waits(mine, now):
            self._teach_slices(now)
            self._teach_click(now)
        self.reschedule()

    def teach_due(self, now: float) -> None:
        """Whatever the slices that fell due have to say."""
        self._teach_slices(now)
        self.reschedule()

    def _teach_slices(self, now: float) -> None:
        slices = self.commit.slices
        while self.slices_done < len(slices) and slices[self.slices_done].due <= now:
            piece = slices[self.slices_done]
            self.slices_done += 1
            if self._has_lessons(piece.head):
                self._teach_slice(piece)

    def _teach_click(self, came: float) -> None:
        self.lesson("click", 1, 1.0, came - self.at)
        self.came = None

    def _teach_slice(self, piece: Slice) -> None:
        """engine.outcome.lessons, one slice of it."""
        if piece.head == "click" and self.came is not None and self.came < piece.due:
            self._teach_click(self.came)
            return
        label = self.labels[piece.head]
        self.lesson(piece.head, 0, piece.mass, piece.due - self.at)
        label.taught += piece.mass
        if piece.due == label.ends:
            label.settle(0.0)

    def teach_unsubscribe(self, weight: float, now: float) -> None:
        """Its part of one unsubscribe: so much positive, the rest negative."""
        label = self.labels["unsubscribe"]
        rest = 1 - weight - label.taught
        self.lesson("unsubscribe", 1, weight, now - self.at)
        self.lesson("unsubscribe", 0, rest, now - self.at)
        label.settle(weight)


def take_back(
    decision: Decision, user: User | None, mine: list[Decision], now: float, half_life: float
) -> None:
    """The send did not happen: its burden, its count and its place as the last send; once.

    `mine` are the user's decisions: the next send remembers this one as the last before it, and
    must not bring it back. Where another send of the same moment remains (one batch decides for a
    user any number of times at once), later ones mean that one.
    """
    if not decision.counts_in_burden:
        return
    decision.counts_in_burden = False
    decision.refund()
    if user is None:
        return
    at = max(now, user.burden_at)
    user.burden = without_send(user.burden, user.burden_at, decision.at, at, half_life)
    user.burden_at = at
    user.sends -= 1
    user.version += 1
    user.history = taken_out(user.history, decision.mark)
    another = any(send.at == decision.at for send in user.history)
    for other in mine:
        follows = other.at == decision.at if another else other.at >= decision.at
        if other is not decision and follows and other.last_before == decision.at:
            other.last_before = decision.last_before
    if user.last_send_at == decision.at and not another:
        user.last_send_at = decision.last_before


def shares(sends: list[Decision], now: float) -> dict[str, float]:
    """What each send of the last 7 days takes of an unsubscribe that names none, by id.

    Of those known to have happened: a deferred send may never be confirmed.
    """
    blamed = [send for send in sends if send.at >= now - CREDIT_WINDOW_S and not send.waits]
    weights = credit([send.commit.hazard for send in blamed])
    return {send.id: weight for send, weight in zip(blamed, weights, strict=True)}
