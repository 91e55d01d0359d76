"""The wire format: what may be sent and what is answered.

Requests are decoded straight into these records, so every limit written here is enforced by the
decoder and appears in the published schema. Times are RFC 3339 with an offset.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from engine.catalog import Message
from engine.condition import Condition
from engine.rules import TAG_ALONE
from engine.windows import Window
from service.store.protocol import EventStatus, EventType

MOST_ITEMS = 1000
MOST_FEATURES = 200
MOST_CANDIDATES = 500
LARGEST_NUMBER = 1e15
"""Of a context: larger ones lose their unit digit, and their squares overflow a running mean."""
LARGEST_WORTH = 1e9

Text: TypeAlias = Annotated[str, Meta(max_length=256)]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
Number: TypeAlias = Annotated[float, Meta(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
Features: TypeAlias = Annotated[dict[Name, Number | Text | bool], Meta(max_length=MOST_FEATURES)]
UserId: TypeAlias = Annotated[Name, Meta(examples=["u42"])]
Candidates: TypeAlias = Annotated[
    list[Name], Meta(max_length=MOST_CANDIDATES, examples=[["spring_sale", "digest"]])
]
Channel: TypeAlias = Annotated[str, Meta(pattern=TAG_ALONE, examples=["push"])]
CapText: TypeAlias = Annotated[str, Meta(max_length=24, examples=["2/7d"])]
ZoneName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_+\-/]{1,64}$")]
Time: TypeAlias = Annotated[datetime, Meta(tz=True, examples=["2026-11-22T10:00:00Z"])]


class DecisionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The question: which message, or none, for this user now."""

    user_id: UserId
    context: Annotated[Features, Meta(examples=[{"country": "DE", "tenure_days": 12}])]
    """What is known of the user: name -> number, string or boolean; null is not a value."""
    value: Annotated[float, Meta(ge=0, le=LARGEST_WORTH)] | None = None
    """Worth of one click of this user; the configured one if left out."""
    time_zone: ZoneName | None = None
    """The user's IANA time zone, e.g. Europe/Berlin: quiet hours are in it."""
    messages: Candidates | None = None
    """Ids to choose among; the whole catalog if left out, nothing (abstain) if empty."""
    deferred: bool = False
    """The send counts only once a `sent` event confirms it."""
    at: Time | None = None
    """When the sender asked. Only a simulated clock is moved by it."""
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    """A request repeated with this key gets the first answer again, for 24 hours unless
    the deployment keeps answers for another time."""


class DecisionBatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 requests; each is answered in its place, a bad one by a problem object."""

    decisions: Annotated[list[Raw], Meta(max_length=MOST_ITEMS)]


class SupposedSend(Struct, frozen=True, forbid_unknown_fields=True):
    """A send the user is supposed to have had."""

    at: Time
    message: Name | None = None
    """Null: somebody else's."""


class SupposedState(Struct, frozen=True, forbid_unknown_fields=True):
    """What a user is supposed to have behind him."""

    sends: Annotated[list[SupposedSend], Meta(max_length=MOST_ITEMS)] = []
    burden: Annotated[float, Meta(ge=0, le=LARGEST_WORTH)] | None = None
    """At the time asked about; the one that follows from `sends` if left out."""
    unsubscribed: bool | list[Channel] = False
    """From every channel, or from these."""
    tolerance: CapText | None = None
    """Most sends the user himself wants, e.g. 2/7d."""


class ExplainRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What would be answered, and why? Nothing is recorded, counted or reserved."""

    context: Annotated[Features, Meta(examples=[{"country": "DE", "tenure_days": 12}])]
    user_id: Name | None = None
    """A real user, as he stands now; without him and `state`, one never seen."""
    state: SupposedState | None = None
    """Instead of what is stored of the user."""
    value: Annotated[float, Meta(ge=0, le=LARGEST_WORTH)] | None = None
    """Worth of one click of this user; the configured one if left out."""
    time_zone: ZoneName | None = None
    """The user's IANA time zone, e.g. Europe/Berlin: quiet hours are in it."""
    messages: Candidates | None = None
    """Ids to choose among; the whole catalog if left out."""
    at: Time | None = None
    """Any time, past or to come; now if left out."""


class EventRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """One piece of feedback."""

    event_id: Name
    """Chosen by the sender; the same id of the same type and user counts once."""
    type: EventType
    user_id: UserId
    decision_id: Name | None = None
    """Which decision it belongs to; click, sent and not_sent say nothing without it."""
    at: Time | None = None
    """When it happened. Windows close by the service's clock at arrival, whatever this says."""
    value: Number | None = None
    channel: Channel | None = None
    """Of an unsubscribe or subscribe: the one left or joined. Without it, the channel of the named
    decision's message; where none is named, every channel.
    """
    tolerance: CapText | None = None
    """Of a tolerance event: most sends the user himself wants, e.g. 2/7d; null: any number."""


class EventBatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 events, each with its own status."""

    events: Annotated[list[Raw], Meta(max_length=MOST_ITEMS)]


class EventResult(Struct, frozen=True):
    """What became of one event."""

    event_id: str | None
    status: EventStatus
    detail: str | UnsetType = UNSET
    """Only with status invalid: what was wrong with it."""


class EventResults(Struct, frozen=True):
    """What became of each event, in the order given."""

    results: list[EventResult]


class Annoyance(Struct, frozen=True):
    """Expected harm of a send, by part; the unit is that of `value`."""

    unsubscribe: float
    patience: float
    send_cost: float
    scarcity: float
    """What the slots of budgets that the send takes are worth to others; 0 where none is scarce."""
    total: float


class DecisionAnswer(Struct, frozen=True):
    """The message to send now; action null means send nothing."""

    decision_id: str | None
    user_id: str
    at: str
    action: str | None
    propensity: float | None
    abstain_propensity: float | None
    reason: str
    gain: float | None
    annoyance: Annoyance | None
    net: float | None
    abstain_reward: float | None
    burden: float | None
    arm: str
    model_version: int | None


class ProblemObject(Struct, frozen=True):
    """RFC 9457: one sentence says what was given, what was expected, what to do."""

    type: str
    title: str
    status: int
    detail: str
    faults: list[str] | UnsetType = UNSET
    """Of a configuration: a sentence for each fault, with its line."""


class MessageBody(Struct, frozen=True):
    """A message as it is written: all fields optional."""

    attributes: dict[str, float | str | bool] = {}
    """Facts that other messages share: category, tone, discount band."""
    channel: str = "push"
    send_cost: float | None = None
    tags: list[str] = []
    """What the team's tag caps count by."""
    paused: bool = False
    starts: Time | None = None
    """Not sent before this time."""
    ends: Time | None = None
    """Not sent at this time or later."""
    windows: list[Window] = []
    """Where there are any, sent only within one of them: one after the other, in order."""
    when: dict[str, Condition] = {}
    """What the context must say of a user: attribute -> value, values, or {"min", "max"}."""
    cooldown_s: float = 0.0
    """Least time between two sends of this message to one user, in seconds."""
    budget: str = ""
    """Most sends of it to everybody in any such time, or most money: 1000/1d cost:50/7d."""
    transactional: bool = False
    """Passes days, quiet hours, gap, caps, budgets, never an unsubscribe; counts as any other."""
    tier: int = 0
    """Where messages of several tiers may be sent, only those of the highest are candidates."""


class CatalogAnswer(Struct, frozen=True):
    """Every message, and the version that rises with every change."""

    version: int
    messages: list[Message]


class ReportedEvent(Struct, frozen=True):
    """An event taken for a decision, and when it arrived."""

    type: str
    at: str


class Labels(Struct, frozen=True):
    """1, 0, a share of one, or null while open or where there is none."""

    click: float | None
    unsubscribe: float | None


class DecisionRecord(Struct, frozen=True):
    """The full record: why this action, why not the others, and what came of it."""

    decision: dict[str, Any]
    labels: Labels
    status: Literal["open", "resolved", "censored"]
    events: list[ReportedEvent]


class Explanation(Struct, frozen=True):
    """The record of a decision that was not made; its action is the best, by net, of this model."""

    decision: dict[str, Any]


class UserAnswer(Struct, frozen=True):
    """A user's state; a user never seen has the state every user starts with."""

    user_id: str
    burden: float
    """Decayed to now."""
    unsubscribed: bool
    """Whether any channel was left."""
    consent: dict[str, bool]
    """By channel, where it differs from what holds for all `others`."""
    tolerance: str | None
    """Most sends the user himself wants."""
    decisions: int
    sends: int
    clicks: int
    first_seen_at: str | None
    last_send_at: str | None


class UserExport(Struct, frozen=True):
    """Everything that is stored about one user."""

    user_id: str
    at: str
    state: dict[str, Any]
    decisions: list[dict[str, Any]]
    """With candidates, blocked messages and labels, as they are in an exported log."""
    events: list[dict[str, Any]]
    open_decisions: list[str]
    """Ids of decisions that events can still refer to."""
    event_ids: list[str]
    """Known, so that a repetition is a duplicate."""
    idempotency_records: list[str]
    """Names, which are hashes."""


class Erasure(Struct, frozen=True):
    """What was deleted, counted by kind."""

    erased: dict[str, int]


class ModelAnswer(Struct, frozen=True):
    """How far learning and serving have come."""

    version: int
    """Of the snapshot this worker decides with; 0 before the first."""
    published: int
    """Of the newest snapshot the learner has published."""
    applied: int
    """Lessons learned so far, in all."""
    lag: int
    """Lessons stored but not yet learned."""
    positions: list[str]
    """Last lesson applied, by shard of the event stream."""


class ConfigurationFile(Struct, frozen=True):
    """The file that the configuration is taken from whenever it changes."""

    name: str
    faults: list[str]
    """What is wrong with it now; while there is anything, it is not taken up."""


class ConfigurationAnswer(Struct, frozen=True):
    """The configuration in force, in the form in which it can be put back."""

    version: int
    """Raised by every change of any part."""
    configuration: dict[str, Any]
    """Rules, prices and messages as far as they are said; the rest is as the environment has it."""
    paused: bool
    """Whether the kill switch is on; see /v1/pause."""
    file: ConfigurationFile | None


class AuditChange(Struct, frozen=True):
    """A part of the configuration before and after; null where there was or is none."""

    part: str
    """A section such as rules, "message/" and an id, "pause", or "file" with its hash."""
    before: Any
    after: Any


class AuditRecord(Struct, frozen=True):
    """One change: all of it came into force together."""

    version: int
    """That it led to."""
    at: str
    by: str
    """The id of the API key, or "file"."""
    changes: list[AuditChange]


class AuditAnswer(Struct, frozen=True):
    """Changes of the configuration, newest first."""

    entries: list[AuditRecord]
    next: int | None
    """`before` of the next page; null when this was the last."""


class PauseAnswer(Struct, frozen=True):
    """Whether the kill switch is on."""

    paused: bool


class Status(Struct, frozen=True):
    """A one-word answer."""

    status: str
