"""Why, and why not: each blocked message with its rule and what would have to change.

A decision's record holds the reason of each removal, the time at which its rule lets go, and the
context it was made in; so one function explains a decision of last week and one that was never
made. Limit: what a message's rules say is read from the catalog of today; where it was edited
since, the explanation says what it says now.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.arms import Arm
from engine.catalog import Catalog, Message
from engine.condition import unmet
from engine.decision import Context, Decision, Reason
from engine.decision_log import to_json

CHANGES: Final[Mapping[Reason, str]] = {
    Reason.UNSUBSCRIBED: "The user has left the message's channel; nothing but his own `subscribe` "
    "changes that.",
    Reason.UNKNOWN_MESSAGE: "The catalog has no message of this id; add it, or correct the id.",
    Reason.HOLDOUT: "The user is in the holdout, to which nothing is ever sent: it shows what "
    "sending brings.",
    Reason.PAUSED: "Sending is paused; end the pause of the message or of the service.",
    Reason.NOT_STARTED: "The message's `starts`, or its next window, is still to come.",
    Reason.EXPIRED: "The message's `ends`, or its last window, has passed; set a later one.",
    Reason.CONDITION: "The context does not fulfil the message's `when`",
    Reason.COOLDOWN: "The user had this very message less than its `cooldown_s` ago.",
    Reason.DAY: "Nothing is sent on this day of the user's week.",
    Reason.QUIET_HOURS: "These are the user's quiet hours.",
    Reason.GAP: "The user's last send is less than the minimum gap ago.",
    Reason.TOLERANCE: "The user has had as many sends as he himself wants within his time; a new "
    "`tolerance` event of his changes that.",
    Reason.CAP: "The user has had as many sends as a cap allows within its time.",
    Reason.TAG_CAP: "The user has had as many messages of one of its tags as that tag's cap allows "
    "within its time.",
    Reason.BUDGET: "A budget of the message or of the team is used up; its slots come back as its "
    "period rolls on.",
    Reason.LOWER_TIER: "A message of a higher tier may be sent and goes first; ask again once none "
    "may, or raise this one's `tier`.",
}
"""Reason of a removal -> what keeps the message back and what would let it go."""

OUTCOMES: Final[Mapping[Reason, str]] = {
    Reason.CHOSEN: "This message, with the propensity shown.",
    Reason.TRIAL: "This message, with the propensity shown, for a user left in peace long "
    "enough to be tried again.",
    Reason.EXPLORED_SILENCE: "A message could have been sent; silence was drawn to keep learning.",
    Reason.ANNOYANCE_OUTWEIGHS_GAIN: "No message is expected to bring more than it costs",
    Reason.SHADOW: "Shadow mode: the propensities show what would have been sent, and nothing was; "
    "the sender's own tool decides.",
    Reason.NO_CANDIDATE: "No message was left to choose from; see what blocked each.",
    Reason.CONTENTION: "The user's state kept changing under the decision; ask again.",
    Reason.FALLBACK: "The store or the model was out of reach; ask again.",
}
"""Reason of an answer that no rule gave -> what it means."""


LATEST: Final = datetime(9999, 12, 30, tzinfo=UTC).timestamp()
"""The last time that can be written in every time zone; who says "never" may name a later one."""


def explained(decision: Decision, catalog: Catalog) -> dict[str, Any]:
    """The full record for a reader: every message's terms, or its rule and what would change it."""
    blocked = [
        {
            "message": name,
            "reason": reason,
            "change": _change(decision, catalog.messages.get(name), reason, name),
            "free_at": _free_at(decision, name),
        }
        for name, reason in decision.blocked
    ]
    return to_json(decision) | {"change": _answer_change(decision), "blocked": blocked}


def removals(decision: Decision) -> Mapping[Reason, int]:
    """How many messages each rule kept back; a rule that keeps back all of them counts once."""
    if decision.reason in CHANGES:
        return {decision.reason: 1}
    return Counter(reason for _, reason in decision.blocked)


def with_best_action(decision: Decision) -> Decision:
    """A decision nobody asked for, with the bandit's best answer in place of the drawn one."""
    best = decision.best
    if best is None or decision.arm is not Arm.BANDIT:
        return decision
    if decision.forecasts.net[best] <= 0:
        silent = decision.abstain_propensity
        reason = Reason.ANNOYANCE_OUTWEIGHS_GAIN
        return replace(decision, action=None, propensity=silent, reason=reason)
    propensity = float(decision.forecasts.propensity[best])
    action = decision.candidates[best]
    return replace(decision, action=action, propensity=propensity, reason=Reason.CHOSEN)


def _answer_change(decision: Decision) -> str:
    """What the answer as a whole means, and what would have to change for another."""
    if decision.reason in CHANGES:  # one rule for every message: none of them is listed
        return CHANGES[decision.reason]
    meaning = OUTCOMES[decision.reason]
    if decision.reason is not Reason.ANNOYANCE_OUTWEIGHS_GAIN or decision.best is None:
        return meaning
    return f"{meaning}{_shortfall(decision, decision.best)}"


def _shortfall(decision: Decision, best: int) -> str:
    """From which click probability the best candidate would be worth a send."""
    name, columns = decision.candidates[best], decision.forecasts
    if not decision.value:
        return ": a click of this user is worth nothing."
    annoyance = columns.gain[best] - columns.net[best]
    needed = annoyance / decision.value + decision.p0
    return (
        f"; {name!r} comes closest: it would be worth a send from a click probability of "
        f"{needed:.4g}, and {columns.p_click[best]:.4g} is expected."
    )


def _change(decision: Decision, message: Message | None, reason: Reason, name: str) -> str:
    text = CHANGES[reason]
    if reason is Reason.CONDITION:
        text += _conditions(message, decision.context)
    free_at = _free_at(decision, name)
    return text if free_at is None else f"{text} {_lets_go(free_at, decision.time_zone)}"


def _conditions(message: Message | None, context: Context) -> str:
    missing = unmet(message.when, context) if message else []
    return f": {'; '.join(missing)}." if missing else ", which was edited since."


def _free_at(decision: Decision, name: str) -> float | None:
    """When its rule lets the message go, as far as a calendar goes."""
    at = decision.free_at.get(name)
    return None if at is None else min(at, LATEST)


def _lets_go(free_at: float, time_zone: str | None) -> str:
    zone = time_zone or "UTC"
    local = datetime.fromtimestamp(free_at, ZoneInfo(zone))
    return f"This rule lets it go at {local:%Y-%m-%d %H:%M:%S} in {zone}."
