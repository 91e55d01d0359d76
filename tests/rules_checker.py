"""An independent judge of the rules: reads what was logged, in the order in which it was logged.

It shares no code with `engine.eligibility`. Three claims are checked: no candidate was offered
against a rule (a pause and an unsubscribe among them), nothing was blocked by a rule that did not
hold, and the sends that stood to the end, sorted by time, break no rule whatever the order in which
they were committed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

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
    unsubscribed: bool | None = None
    """The user is from now on, or is not any more."""
    pause: str | None = None
    """A message, or "" for all of them: paused from now on, or not any more."""
    paused: bool = False


@dataclass(frozen=True)
class Sent:
    """One send that counts."""

    at: float
    message: str
    decision_id: str | None


def complaints(log: Iterable[Logged], limits: Limits) -> list[str]:
    """Everything that breaks a rule, in words; empty when all is well."""
    found: list[str] = []
    sent: dict[str, list[Sent]] = defaultdict(list)
    gone: set[str] = set()
    paused: set[str] = set()
    for entry in log:
        if entry.pause is not None:
            (paused.add if entry.paused else paused.discard)(entry.pause)
        elif entry.unsubscribed is not None:
            assert entry.user is not None
            (gone.add if entry.unsubscribed else gone.discard)(entry.user)
        elif entry.decision is not None:
            found += _forbidden(entry.decision, entry.decision.user_id in gone, paused)
            found += _judge(entry.decision, sent[entry.decision.user_id], limits)
            _count(entry.decision, sent)
        elif entry.external:
            assert entry.user is not None
            sent[entry.user].append(Sent(entry.at, BY_OTHERS, None))
        elif entry.taken_back is not None:
            for user, sends in sent.items():
                sent[user] = [one for one in sends if one.decision_id != entry.taken_back]
    for user, sends in sent.items():
        found += [f"{user}: {what}" for what in _crowded(sends, limits)]
    return found


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


def _count(decision: Decision, sent: dict[str, list[Sent]]) -> None:
    if decision.action is not None:
        one = Sent(decision.at, decision.action, decision.decision_id)
        sent[decision.user_id].append(one)


def _forbidden(decision: Decision, gone: bool, paused: set[str]) -> list[str]:
    """Messages that could have been sent although nothing, or not this one, was allowed."""
    offered = {*decision.candidates, *([decision.action] if decision.action else [])}
    why = "to somebody who had unsubscribed" if gone else "while everything was paused"
    banned = offered if gone or "" in paused else set()
    return [f"{decision.decision_id}: {name} was offered {why}" for name in sorted(banned)] + [
        f"{decision.decision_id}: {name} was offered while it was paused"
        for name in sorted(offered & paused)
    ]


def _judge(decision: Decision, before: list[Sent], limits: Limits) -> list[str]:
    offered = [
        f"{decision.decision_id}: {message} was offered against {sorted(broken)}"
        for message in decision.candidates
        if (broken := _broken(message, decision.at, before, limits))
    ]
    wrongly = [
        f"{decision.decision_id}: {message} was blocked by {reason} for nothing"
        for message, reason in decision.blocked
        if reason in {"gap", "cap", "tag_cap", "cooldown"}
        and reason.value not in _broken(message, decision.at, before, limits)
    ]
    return offered + wrongly


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
            tagged = [one for one in before if tag in limits.tags.get(one.message, ())]
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
        tagged = sorted(one.at for one in own if tag in limits.tags.get(one.message, ()))
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
