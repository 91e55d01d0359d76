"""An independent judge of the rules: reads what was logged, in the order in which it was logged.

It shares no code with `engine.eligibility`. Three claims are checked: no candidate was offered
against a rule (a pause and an unsubscribe among them), nothing was blocked by a rule that did not
hold, and the sends that stood to the end, sorted by time, break no rule whatever the order in which
they were committed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from engine.decision import Decision

BY_OTHERS = "(somebody else)"


@dataclass(frozen=True)
class Allowed:
    """A budget over all users, in sends or money: at most `most` in any `time` seconds."""

    most: float
    time: float
    costs: Mapping[str, float]
    """Of each message that draws on it."""


@dataclass(frozen=True)
class Limits:
    """The rules in plain numbers; times in seconds."""

    gap: float = 0.0
    caps: tuple[tuple[int, float], ...] = ()
    """(sends, time)"""
    tag_caps: tuple[tuple[str, int, float], ...] = ()
    """(tag, sends, time)"""
    cooldowns: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    transactional: frozenset[str] = frozenset()
    channels: Mapping[str, str] = field(default_factory=dict)
    """Message -> channel, where it is not push."""
    tiers: Mapping[str, int] = field(default_factory=dict)
    quiet: tuple[int, int] | None = None
    """Hours of the user's day between which nothing is sent; the first is the later one."""
    days: frozenset[int] = frozenset(range(7))
    """Of the user's week, Monday is 0."""
    budgets: tuple[tuple[str, int, float], ...] = ()
    """(message, or "" for all that are not transactional, sends to everybody, time)"""


@dataclass(frozen=True)
class Logged:
    """One entry of the log; `user` may be missing where a decision is named."""

    at: float
    user: str | None = None
    decision: Decision | None = None
    external: bool = False
    taken_back: str | None = None
    """The decision whose send did not happen."""
    consent: tuple[str, str] | None = None
    """(unsubscribe or subscribe, channel; empty: all of them)"""
    tolerance: tuple[int, float] | None = None
    """(sends, time) that the user himself wants; no sends: any number."""
    pause: str | None = None
    """A message, or "" for all of them: paused from now on, or not any more."""
    paused: bool = False
    limits: "Limits | None" = None
    """The rules from now on."""


@dataclass(frozen=True)
class Sent:
    """One send that counts."""

    at: float
    message: str
    decision_id: str | None
    tags: tuple[str, ...] = ()
    """Those of the message when it was sent."""


@dataclass
class Past:
    """What is known of a user at one place of the log."""

    sends: list[Sent] = field(default_factory=list)
    heard: list[tuple[str, str]] = field(default_factory=list)
    wish: tuple[int, float] | None = None

    def has_left(self, channel: str) -> bool:
        """What the last word about this channel, or about all of them, says."""
        said = [kind for kind, about in self.heard if about in ("", channel)]
        return bool(said) and said[-1] == "unsubscribe"


def complaints(log: Iterable[Logged], limits: Limits) -> list[str]:
    """Everything that breaks a rule, in words; empty when all is well."""
    found: list[str] = []
    pasts: dict[str, Past] = defaultdict(Past)
    paused: set[str] = set()
    at_the_end = limits
    for entry in log:
        if entry.limits is not None:
            limits = entry.limits
            at_the_end = replace(limits, cooldowns={}, tag_caps=())  # they held for a while
        elif entry.pause is not None:
            (paused.add if entry.paused else paused.discard)(entry.pause)
        elif entry.decision is not None:
            past = pasts[entry.decision.user_id]
            found += _forbidden(entry.decision, paused)
            found += _judge(entry.decision, past, limits)
            _count(entry.decision, past.sends, limits)
        elif entry.taken_back is not None:
            for past in pasts.values():
                past.sends = [s for s in past.sends if s.decision_id != entry.taken_back]
        elif entry.user is not None:
            _hear(entry, pasts[entry.user])
    for user, past in pasts.items():
        found += [f"{user}: {what}" for what in _crowded(past.sends, at_the_end)]
    return found


def _hear(entry: Logged, past: Past) -> None:
    if entry.external:
        past.sends.append(Sent(entry.at, BY_OTHERS, None))
    if entry.consent is not None:
        past.heard.append(entry.consent)
    if entry.tolerance is not None:
        past.wish = entry.tolerance if entry.tolerance[0] else None


def overspent(log: Iterable[Logged], limits: Limits) -> list[str]:
    """Every budget with more sends in some stretch of its time than it allows.

    Budgets span users, whose logs know no common order: the sends that stood to the end are judged.
    """
    log = list(log)
    back = {entry.taken_back for entry in log}
    sends = [e.decision for e in log if e.decision and e.decision.decision_id not in back]
    found = []
    for message, most, time in limits.budgets:
        times = sorted(
            one.at
            for one in sends
            if (one.action == message if message else one.action)
            and one.action not in limits.transactional
        )
        if _too_close(times, most, time):
            found.append(f"more than {most} of {message or 'everything'} in {time} s")
    return found


def _count(decision: Decision, sends: list[Sent], limits: Limits) -> None:
    if decision.action is not None:
        tags = limits.tags.get(decision.action, ())
        sends.append(Sent(decision.at, decision.action, decision.decision_id, tags))


JUDGED = frozenset({"gap", "cap", "tag_cap", "cooldown", "tolerance", "unsubscribed"}) | {
    "day",
    "quiet_hours",
    "lower_tier",
}
"""Reasons that are held against the log."""


def _forbidden(decision: Decision, paused: set[str]) -> list[str]:
    """Messages that could have been sent although nothing, or not this one, was allowed."""
    offered = {*decision.candidates, *([decision.action] if decision.action else [])}
    banned = offered if "" in paused else set()
    held = offered if decision.arm == "holdout" else set()
    why = [(name, "while everything was paused") for name in sorted(banned)]
    why += [(name, "to the holdout") for name in sorted(held)]
    why += [(name, "while it was paused") for name in sorted(offered & paused)]
    return [f"{decision.decision_id}: {name} was offered {reason}" for name, reason in why]


def _judge(decision: Decision, past: Past, limits: Limits) -> list[str]:
    offered = [
        f"{decision.decision_id}: {message} was offered against {sorted(broken)}"
        for message in decision.candidates
        if (broken := _against(message, decision, past, limits))
    ]
    wrongly = [
        f"{decision.decision_id}: {message} was blocked by {reason} for nothing"
        for message, reason in decision.blocked
        if reason in JUDGED and reason.value not in _against(message, decision, past, limits)
    ]
    if decision.reason == "unsubscribed" and all(kind == "subscribe" for kind, _ in past.heard):
        wrongly.append(f"{decision.decision_id}: a user who left nothing is unsubscribed")
    return offered + wrongly


def _against(message: str, decision: Decision, past: Past, limits: Limits) -> set[str]:
    """All rules against this message in this decision."""
    broken = _broken(message, decision.at, past.sends, limits)
    if past.has_left(limits.channels.get(message, "push")):
        broken.add("unsubscribed")
    if any(limits.tiers.get(c, 0) > limits.tiers.get(message, 0) for c in decision.candidates):
        broken.add("lower_tier")
    if message not in limits.transactional:
        broken |= _at_a_bad_time(decision, limits)
        if (
            past.wish
            and len([s for s in past.sends if s.at > decision.at - past.wish[1]]) >= (past.wish[0])
        ):
            broken.add("tolerance")
    return broken


def _at_a_bad_time(decision: Decision, limits: Limits) -> set[str]:
    """The rules of the user's day and week."""
    broken = set()
    local = datetime.fromtimestamp(decision.at, ZoneInfo(decision.time_zone or "UTC"))
    if limits.quiet and (local.hour >= limits.quiet[0] or local.hour < limits.quiet[1]):
        broken.add("quiet_hours")
    if local.weekday() not in limits.days:
        broken.add("day")
    return broken


def _broken(message: str, at: float, before: list[Sent], limits: Limits) -> set[str]:
    """The rules against sending this message at this time after these sends."""
    broken = set()
    # Two processes' clocks disagree a little, so a send may lie after this decision: without a
    # cooldown that means nothing.
    cooldown = limits.cooldowns.get(message, 0.0)
    if cooldown and any(one.message == message and one.at > at - cooldown for one in before):
        broken.add("cooldown")
    if message in limits.transactional:
        return broken
    if before and limits.gap and max(one.at for one in before) > at - limits.gap:
        broken.add("gap")
    for most, time in limits.caps:
        if len([one for one in before if one.at > at - time]) >= most:
            broken.add("cap")
    for tag, most, time in limits.tag_caps:
        if tag in limits.tags.get(message, ()):
            tagged = [one for one in before if tag in one.tags]
            if len([one for one in tagged if one.at > at - time]) >= most:
                broken.add("tag_cap")
    return broken


def stood(log: Iterable[Logged]) -> list[Sent]:
    """The sends that were not taken back."""
    log = list(log)
    back = {entry.taken_back for entry in log}
    return [
        Sent(entry.at, entry.decision.action, entry.decision.decision_id)
        for entry in log
        if entry.decision and entry.decision.action and entry.decision.decision_id not in back
    ]


def fullest_window(sends: list[Sent], budget: Allowed) -> float:
    """The most that was spent in any window, one end of it open, as the service rolls."""
    spent = sorted(
        (one.at, budget.costs[one.message]) for one in sends if one.message in budget.costs
    )
    most, total, first = 0.0, 0.0, 0
    for at, cost in spent:
        total += cost
        while spent[first][0] <= at - budget.time:
            total -= spent[first][1]
            first += 1
        most = max(most, total)
    return most


def _crowded(sends: list[Sent], limits: Limits) -> list[str]:
    """Sends too close together, looking at nothing but their times."""
    own = [s for s in sends if s.decision_id and s.message not in limits.transactional]
    times = sorted(one.at for one in own)
    found = [f"more than 1 in {limits.gap} s"] if _too_close(times, 1, limits.gap) else []
    found += [f"more than {n} in {time} s" for n, time in limits.caps if _too_close(times, n, time)]
    for tag, n, time in limits.tag_caps:
        tagged = sorted(one.at for one in own if tag in one.tags)
        if _too_close(tagged, n, time):
            found.append(f"more than {n} of {tag} in {time} s")
    for message, time in limits.cooldowns.items():
        mine = sorted(one.at for one in sends if one.message == message)
        if _too_close(mine, 1, time):
            found.append(f"{message} twice in {time} s")
    return found


def _too_close(times: list[float], most: int, time: float) -> bool:
    """Whether more than `most` of these sorted times lie within `time` of each other."""
    return any(first > last - time for first, last in zip(times, times[most:], strict=False))
