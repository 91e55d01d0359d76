"""Hard rules come first: which messages may be sent to this user now, and why not the others.

A rule removes candidates before anything is scored; it never enters learning as a choice. Each
removal has a reason from `decision.Reason`: the first rule that holds, in the order below, and the
time at which this rule lets the message go, where time alone does that.

A transactional message passes days, quiet hours, gap, caps, the user's own too, and budgets, never
an unsubscribe from its channel. It is a send like any other afterwards: the user's patience and
slots are spent by it. A user held out for measurement gets nothing at all, not even that: what
nobody may miss must not depend on the answer.

Tiers are lexicographic and come last: where any message passes all other rules, those of a lower
tier than the highest of them are no candidates. A tier says who goes first, not that something is
sent: nothing may still be the better answer.

The rules judge what was read of the user, and hold when the decision is committed: whatever adds
to or takes from a user's history raises the version of the user's state, and a commit goes through
only at the version it was judged at. So of two senders who ask at once for the last slot, the
second is turned away, reads the history with the first one's send in it and is judged anew. Judging
a second time inside the commit could not come to another result, and is not done. Every send is
judged against all that were committed before it, later times included, so no order of senders'
clocks lets one too many through. The catalog and the kill switch are held the same way: a commit
goes through only with the newest version of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from engine.arms import Arm
from engine.catalog import Catalog, Message
from engine.condition import fulfilled
from engine.consent import EVERYWHERE, Consent
from engine.decision import Context, Reason
from engine.history import Send
from engine.rules import Cap, Rules
from engine.windows import opens_at

NO_TAGS: Final[Mapping[str, float]] = {}


class Hold(NamedTuple):
    """A rule that blocks a message."""

    reason: Reason
    until: float | None
    """When this rule lets it go (another may take its place); None: not by time alone."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks and when: all that the rules depend on besides themselves."""

    now: float
    """Seconds since the epoch."""
    context: Context = field(default_factory=dict)
    zone: ZoneInfo | None = None
    """The user's; None takes the configured one."""
    history: Sequence[Send] = ()
    consent: Consent = EVERYWHERE
    tolerance: Cap | None = None
    """Most sends the user himself wants."""
    arm: Arm = Arm.BANDIT
    short: frozenset[str] = frozenset()
    """Messages that lack budget here and now."""


@dataclass(frozen=True, slots=True)
class Eligible:
    """What the rules left."""

    candidates: tuple[str, ...]
    blocked: tuple[tuple[str, Reason], ...]
    barred: Reason | None = None
    """The rule that blocks every message, known or not; then nothing else is listed."""
    free_at: Mapping[str, float] = field(default_factory=dict)
    """Blocked message -> when the rule that blocked it lets it go, where time alone does that."""


def eligible(
    catalog: Catalog, wanted: Sequence[str] | None, rules: Rules, asking: Asking
) -> Eligible:
    """Split the messages asked for (None: all there are) into candidates and blocked."""
    if asking.consent.nowhere:
        return Eligible((), (), Reason.UNSUBSCRIBED)
    if rules.paused or catalog.paused:
        return Eligible((), (), Reason.PAUSED)
    if asking.arm is Arm.HOLDOUT:
        return Eligible((), (), Reason.HOLDOUT)
    known, unknown = _known(catalog, wanted)
    open_to = asking.consent.allows
    if known and not unknown and not any(open_to(catalog.messages[m].channel) for m in known):
        return Eligible((), (), Reason.UNSUBSCRIBED)
    everywhere, full = _user_rule(rules, asking), _full_tags(rules, asking)
    if asking.consent.whole and not (everywhere or full or catalog.ruled or asking.short):
        return Eligible(known, unknown)
    holds = {
        name: hold
        for name in known
        if (hold := _hold(catalog.messages[name], asking, everywhere, full))
    }
    left = tuple(name for name in known if name not in holds)
    left, lower = _highest_tier(catalog, left)
    blocked = (*unknown, *((name, hold.reason) for name, hold in holds.items()), *lower)
    free_at = {name: hold.until for name, hold in holds.items() if hold.until is not None}
    return Eligible(left, blocked, None, free_at)


def _known(
    catalog: Catalog, wanted: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[tuple[str, Reason], ...]]:
    if wanted is None:
        return tuple(catalog.messages), ()
    once = dict.fromkeys(wanted)  # named twice, a message would be two candidates of one name
    known = tuple(name for name in once if name in catalog.messages)
    unknown = tuple((name, Reason.UNKNOWN_MESSAGE) for name in once if name not in catalog.messages)
    return known, unknown


def _highest_tier(
    catalog: Catalog, left: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[tuple[str, Reason], ...]]:
    """The messages of the highest tier among those left, and the others as blocked."""
    tiers = [catalog.messages[name].tier for name in left]
    if len(set(tiers)) < 2:
        return left, ()
    ranked = list(zip(left, tiers, strict=True))
    lower = tuple((name, Reason.LOWER_TIER) for name, tier in ranked if tier < max(tiers))
    return tuple(name for name, tier in ranked if tier == max(tiers)), lower


def _hold(
    message: Message, asking: Asking, everywhere: Hold | None, full: Mapping[str, float]
) -> Hold | None:
    own = _own_rule(message, asking)
    if own or message.transactional:
        return own
    if everywhere:
        return everywhere
    tags = [full[tag] for tag in message.tags if tag in full]
    if tags:
        return Hold(Reason.TAG_CAP, max(tags))
    return Hold(Reason.BUDGET, None) if message.id in asking.short else None


def _own_rule(message: Message, asking: Asking) -> Hold | None:
    """The rule against sending this message now, whatever was sent before of others."""
    if not asking.consent.allows(message.channel):
        return Hold(Reason.UNSUBSCRIBED, None)
    if closed := _closed(message, asking.now):
        return closed
    if message.when and not fulfilled(message.when, asking.context):
        return Hold(Reason.CONDITION, None)
    if not message.cooldown_s:
        return None
    same = [send.at for send in _since(asking, message.cooldown_s) if send.message == message.id]
    return Hold(Reason.COOLDOWN, max(same) + message.cooldown_s) if same else None


def _closed(message: Message, now: float) -> Hold | None:
    """Whether the message is sent to nobody at this time."""
    if message.paused:
        return Hold(Reason.PAUSED, None)
    if message.starts and now < message.starts.timestamp():
        return Hold(Reason.NOT_STARTED, message.starts.timestamp())
    if message.ends and now >= message.ends.timestamp():
        return Hold(Reason.EXPIRED, None)
    if not message.windows:
        return None
    opens = opens_at(message.windows, now)
    if opens is None:
        return Hold(Reason.EXPIRED, None)
    return Hold(Reason.NOT_STARTED, opens) if now < opens else None


def _user_rule(rules: Rules, asking: Asking) -> Hold | None:
    """The rule against any send to this user now, unless it is transactional."""
    now, zone = asking.now, asking.zone or rules.zone
    if rules.week and not rules.week.allows(now, zone):
        return Hold(Reason.DAY, rules.week.next_after(now, zone))
    if rules.quiet_hours and rules.quiet_hours.hold(now, zone):
        return Hold(Reason.QUIET_HOURS, rules.quiet_hours.end_after(now, zone))
    if rules.min_gap_s and (recent := [send.at for send in _since(asking, rules.min_gap_s)]):
        return Hold(Reason.GAP, max(recent) + rules.min_gap_s)
    wish = asking.tolerance
    if wish and (free := _frees(wish, asking)) is not None:
        return Hold(Reason.TOLERANCE, free)
    usual = rules.usual_caps if asking.arm is Arm.BUSINESS_AS_USUAL else ()
    caps = (*rules.caps, *usual)
    full = [free for cap in caps if (free := _frees(cap, asking)) is not None]
    return Hold(Reason.CAP, max(full)) if full else None


def _full_tags(rules: Rules, asking: Asking) -> Mapping[str, float]:
    """Tags whose sends have reached a cap -> when they have not any more."""
    if not rules.tag_caps:
        return NO_TAGS
    full: dict[str, float] = {}
    for limited in rules.tag_caps:
        free = _frees(limited.cap, asking, limited.tag)
        if free is not None:
            full[limited.tag] = max(free, full.get(limited.tag, free))
    return full


def _frees(cap: Cap, asking: Asking, tag: str | None = None) -> float | None:
    """When a full cap has a slot again; None if it is not full."""
    counted = [s.at for s in _since(asking, cap.window) if tag is None or tag in s.tags]
    if len(counted) < cap.limit:
        return None
    return sorted(counted)[-cap.limit] + cap.window


def _since(asking: Asking, seconds: float) -> Iterator[Send]:
    """Sends of the last `seconds`; one exactly as old is past."""
    return (send for send in asking.history if send.at > asking.now - seconds)
