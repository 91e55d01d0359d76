"""The records of one decision: what was asked, what was known, what was answered and why.

A decision is written once and never changed. The forecasts are rounded to float32 when they are
made, and every later figure is computed from the rounded numbers, so a row read back from the log
holds exactly what the policy acted on, at half the size.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.arms import Arm

Value: TypeAlias = float | str | bool
Context: TypeAlias = Mapping[str, Value]
Floats: TypeAlias = NDArray[np.float64]

ABSTAIN = "abstain"
"""The name of the action "send nothing" inside the engine; on the wire it is a null action."""


class Reason(StrEnum):
    """Why an answer is what it is, or why a message was blocked. The only list of them."""

    CHOSEN = "chosen"
    """A message was drawn, or it was business as usual's."""
    ANNOYANCE_OUTWEIGHS_GAIN = "annoyance_outweighs_gain"
    """Abstained, and the best candidate's net was negative: silence was the greedy choice."""
    EXPLORED_SILENCE = "explored_silence"
    """Abstained by the draw: the best candidate's net was positive, or the arm is random."""
    TRIAL = "trial"
    """A message was drawn for a user left in peace long enough to be tried again."""
    NO_CANDIDATE = "no_candidate"
    """Abstained: every message was blocked, or none was offered."""
    UNSUBSCRIBED = "unsubscribed"
    """Blocked: the user has left this message's channel. Abstained: that of every message."""
    HOLDOUT = "holdout"
    """Abstained: the user is in the holdout, to which nothing is ever sent."""
    SHADOW = "shadow"
    """Abstained, nothing drawn: in shadow mode the law is written down and not acted upon."""
    UNKNOWN_MESSAGE = "unknown_message"
    """Blocked: the catalog has no message of this id."""
    PAUSED = "paused"
    """Blocked: this message is paused. Abstained: the whole service is."""
    NOT_STARTED = "not_started"
    """Blocked: the message's `starts`, or its next window, is still to come."""
    EXPIRED = "expired"
    """Blocked: the message's `ends`, or its last window, has passed."""
    CONDITION = "condition"
    """Blocked: the context does not fulfil the message's `when`."""
    COOLDOWN = "cooldown"
    """Blocked: this user had this message less than its `cooldown_s` ago."""
    DAY = "day"
    """Blocked: it is a day of the week on which this user is left in peace."""
    QUIET_HOURS = "quiet_hours"
    """Blocked: it is the time of day at which this user is left in peace."""
    GAP = "gap"
    """Blocked: this user's last send is less than the minimum gap ago."""
    TOLERANCE = "tolerance"
    """Blocked: this user has had as many sends as he himself wants within his time."""
    CAP = "cap"
    """Blocked: this user has had as many sends as a cap allows within its time."""
    TAG_CAP = "tag_cap"
    """Blocked: this user has had as many messages of one of its tags as that tag's cap allows."""
    BUDGET = "budget"
    """Blocked: what a budget of the message or of the team allows within its time is spent."""
    LOWER_TIER = "lower_tier"
    """Blocked: a message of a higher tier may be sent, and goes first."""
    CONTENTION = "contention"
    """Abstained, censored: the user's state kept changing under the decision."""
    FALLBACK = "fallback"
    """Abstained, not recorded: the store or the model was out of reach."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question: which message, or none, for this user now?"""

    user_id: str
    context: Context
    candidates: tuple[str, ...]
    """Ids of messages that passed the hard rules, each in the catalog, none twice."""
    blocked: tuple[tuple[str, Reason], ...] = ()
    barred: Reason | None = None
    """The rule that blocks every message for this user; then there are no candidates."""
    value: float = 1.0
    """Worth of one click of this user, in the unit of every price; 0 or more."""
    free_at: Mapping[str, float] = field(default_factory=dict)
    """Blocked message -> when the rule that blocked it lets it go, where time alone does that."""
    time_zone: str | None = None
    """The user's IANA zone, by which days and quiet hours were judged."""
    arm: Arm = Arm.BANDIT
    """Who decides for this user."""


@dataclass(frozen=True, slots=True)
class UserState:
    """What the engine knows of a user's recent past."""

    burden: float = 0.0
    """Burden at `burden_at`, not yet decayed to now."""
    burden_at: float = 0.0
    last_send_at: float | None = None
    first_seen_at: float | None = None
    """Time of the first decision; a user who never got anything has been left in peace since."""
    mean_value: float | None = None
    """Running mean of what a click of this user is worth; None: what the request says."""


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Columns over a decision's candidates, in their order; each of shape (K,), float64.

    The two probabilities and the propensities hold float32 values; everything else follows from
    them and from the scalars of the decision.
    """

    p_click: Floats
    p_unsubscribe: Floats
    gain: Floats
    unsubscribe: Floats
    """Annoyance, part one: p_unsubscribe times the unsubscribe cost."""
    send_cost: Floats
    scarcity: Floats
    """What the slots of budgets that a send takes were worth to others."""
    net: Floats
    propensity: Floats


@dataclass(frozen=True, slots=True)
class Decision:
    """The full record of one answer; abstentions are decisions too."""

    decision_id: str
    user_id: str
    at: float
    """Seconds since the epoch, UTC."""
    context: Context
    value: float
    burden: float
    """Burden when the decision was made, before the send it may have led to."""
    candidates: tuple[str, ...]
    forecasts: Forecasts
    blocked: tuple[tuple[str, Reason], ...]
    p0: float
    """Probability of the outcome without any send; 0 where outcomes need a send."""
    unsubscribe_cost: float
    price: float
    """Price of patience: annoyance, part two; the same for every candidate."""
    action: str | None
    propensity: float | None
    """Probability with which the action was drawn; null with reasons `contention` and `shadow`."""
    abstain_propensity: float | None
    abstain_reward: float
    reason: Reason
    arm: Arm
    policy: str
    model_version: int
    encoder_version: int
    free_at: Mapping[str, float] = field(default_factory=dict)
    """Blocked message -> when the rule that blocked it lets it go, where time alone does that."""
    time_zone: str | None = None
    """The user's IANA zone, by which days and quiet hours were judged."""
    configuration_version: int = 0
    """Of the catalog, rules and prices that were in force."""

    @property
    def chosen(self) -> int | None:
        """Position of the action among the candidates; None for an abstention."""
        return None if self.action is None else self.candidates.index(self.action)

    @property
    def best(self) -> int | None:
        """Position of the candidate with the largest net; None without candidates."""
        return int(np.argmax(self.forecasts.net)) if self.candidates else None
