"""Hard rules come first: which messages may be sent to this user now, and why not the others.

A rule removes candidates before anything is scored; it never enters learning as a choice. Each
removal has a reason from `decision.Reason`: the first rule that holds, in the order below.

A transactional message passes quiet hours, gap and caps. It is a send like any other afterwards:
the user's patience and slots are spent by it. A user held out for measurement gets nothing at all,
not even that: what nobody may miss must not depend on the answer.

The rules judge what was read of the user, and hold when the decision is committed: whatever adds
to or takes from a user's history raises the version of the user's state, and a commit goes through
only at the version it was judged at. So of two senders who ask at once for the last slot, the
second is turned away, reads the history with the first one's send in it and is judged anew. Judging
a second time inside the commit could not come to another result, and is not done. Every send is
judged against all that were committed before it, later times included, so no order of senders'
clocks lets one too many through. The catalog and the kill switch are held the same way: a commit
goes through only with the newest version of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from engine.arms import Arm
from engine.catalog import Catalog, Message
from engine.condition import fulfilled
from engine.decision import Context, Reason
from engine.history import Send
from engine.rules import Cap, Rules

NO_TAGS: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks and when: all that the rules depend on besides themselves."""

    now: float
    """Seconds since the epoch."""
    context: Context = field(default_factory=dict)
    zone: ZoneInfo | None = None
    """The user's; None takes the configured one."""
    history: Sequence[Send] = ()
    unsubscribed: bool = False
    arm: Arm = Arm.BANDIT


@dataclass(frozen=True, slots=True)
class Eligible:
    """What the rules left."""

    candidates: tuple[str, ...]
    blocked: tuple[tuple[str, Reason], ...]
    barred: Reason | None
    """The rule that blocks every message, known or not; then nothing else is listed."""


def eligible(
    catalog: Catalog, wanted: Sequence[str] | None, rules: Rules, asking: Asking
) -> Eligible:
    """Split the messages asked for (None: all there are) into candidates and blocked."""
    if asking.unsubscribed:
        return Eligible((), (), Reason.UNSUBSCRIBED)
    if rules.paused or catalog.paused:
        return Eligible((), (), Reason.PAUSED)
    if asking.arm is Arm.HOLDOUT:
        return Eligible((), (), Reason.HOLDOUT)
    known, unknown = _known(catalog, wanted)
    everywhere, full = _spent(rules, asking), _full_tags(rules, asking)
    if not (everywhere or full or catalog.ruled):
        return Eligible(known, unknown, None)
    reasons = {
        name: reason
        for name in known
        if (reason := _blocks(catalog.messages[name], asking, everywhere, full))
    }
    left = tuple(name for name in known if name not in reasons)
    return Eligible(left, (*unknown, *reasons.items()), None)


def _known(
    catalog: Catalog, wanted: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[tuple[str, Reason], ...]]:
    if wanted is None:
        return tuple(catalog.messages), ()
    once = dict.fromkeys(wanted)  # named twice, a message would be two candidates of one name
    known = tuple(name for name in once if name in catalog.messages)
    unknown = tuple((name, Reason.UNKNOWN_MESSAGE) for name in once if name not in catalog.messages)
    return known, unknown


def _blocks(
    message: Message, asking: Asking, everywhere: Reason | None, full: frozenset[str]
) -> Reason | None:
    own = _own_rule(message, asking)
    if own or message.transactional:
        return own
    return everywhere or (Reason.TAG_CAP if full.intersection(message.tags) else None)


def _own_rule(message: Message, asking: Asking) -> Reason | None:
    """The message's own rule against sending it now."""
    now = asking.now
    if message.paused:
        return Reason.PAUSED
    if message.starts and now < message.starts.timestamp():
        return Reason.NOT_STARTED
    if message.ends and now >= message.ends.timestamp():
        return Reason.EXPIRED
    if message.when and not fulfilled(message.when, asking.context):
        return Reason.CONDITION
    if message.cooldown_s and any(
        send.message == message.id for send in _since(asking, message.cooldown_s)
    ):
        return Reason.COOLDOWN
    return None


def _spent(rules: Rules, asking: Asking) -> Reason | None:
    """The team's rule against any send to this user now, unless it is transactional."""
    if rules.quiet_hours and rules.quiet_hours.hold(asking.now, asking.zone or rules.zone):
        return Reason.QUIET_HOURS
    if rules.min_gap_s and any(_since(asking, rules.min_gap_s)):
        return Reason.GAP
    usual = rules.usual_caps if asking.arm is Arm.BUSINESS_AS_USUAL else ()
    caps = (*rules.caps, *usual)
    return Reason.CAP if any(_is_full(cap, asking) for cap in caps) else None


def _is_full(cap: Cap, asking: Asking) -> bool:
    return sum(1 for _ in _since(asking, cap.window)) >= cap.limit


def _full_tags(rules: Rules, asking: Asking) -> frozenset[str]:
    """Tags whose sends have reached a cap."""
    if not rules.tag_caps:
        return NO_TAGS
    return frozenset(
        limited.tag
        for limited in rules.tag_caps
        if sum(limited.tag in send.tags for send in _since(asking, limited.cap.window))
        >= limited.cap.limit
    )


def _since(asking: Asking, seconds: float) -> Iterator[Send]:
    """Sends of the last `seconds`; one exactly as old is past."""
    return (send for send in asking.history if send.at > asking.now - seconds)
