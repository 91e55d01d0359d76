"""Messages and the catalog that holds them all.

A message is known to the model by its attributes and its id, so a new message starts from what is
known of others that share its attributes. The catalog is immutable; a change makes a new one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Annotated

import msgspec
import numpy as np

from engine import windows
from engine.budget import message_budgets
from engine.condition import Condition, complaint
from engine.context import Hashes, Slots, name_hash
from engine.decision import ABSTAIN, Floats, Value
from engine.errors import BadInput
from engine.history import LONGEST_WINDOW_S
from engine.rules import TAG_ALONE
from engine.windows import Window

LONGEST_ID = 128
MOST_MESSAGES = 10_000
"""Of one catalog: each worker holds it whole."""
MOST_ATTRIBUTES = 16
MOST_CONDITIONS = 16
MOST_TAGS = 8
DEFAULT_CHANNEL = "push"
MOST_WINDOWS = 50
HIGHEST_TIER = 100


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An action the sender could take."""

    id: str
    attributes: Mapping[str, Value] = {}
    """Facts that other messages share: category, tone, discount band. Numbers act as labels."""
    channel: Annotated[str, msgspec.Meta(pattern=TAG_ALONE)] = DEFAULT_CHANNEL
    """How it reaches a user, who may leave each channel by itself."""
    send_cost: float | None = None
    """Cost of one send, in the unit of value; None takes the configured one."""
    tags: tuple[Annotated[str, msgspec.Meta(pattern=TAG_ALONE)], ...] = ()
    """What the team's tag caps count by."""
    paused: bool = False
    starts: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """Not sent before this time."""
    ends: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """Not sent at this time or later."""
    windows: tuple[Window, ...] = ()
    """Where there are any, sent only within one of them; `starts` and `ends` hold besides."""
    when: Mapping[str, Condition] = {}
    """What the context must say of a user: attribute -> value, values, or {"min", "max"}."""
    cooldown_s: float = 0.0
    """Least time between two sends of this message to one user, in seconds."""
    budget: str = ""
    """Most sends of it to everybody in any such time, or most money for them: "1000/1d"."""
    transactional: bool = False
    """Passes days, quiet hours, gap, caps, budgets, never an unsubscribe; counts as any other."""
    tier: int = 0
    """Where messages of several tiers may be sent, only those of the highest are candidates."""

    @property
    def has_rules(self) -> bool:
        """Whether anything about the message itself can forbid sending it, or another."""
        windows = self.paused or self.starts or self.ends or self.windows
        return bool(windows or self.when or self.cooldown_s or self.tier)

    def to_json(self) -> bytes:
        """The message as stored and as answered."""
        return msgspec.json.encode(self)

    @property
    def features(self) -> list[str]:
        """Names of the message's own features, attributes in a fixed order, then its id."""
        facts = [f"{key}:{self.attributes[key]}" for key in sorted(self.attributes)]
        return [*facts, f"id:{self.id}"]


_FIELDS = tuple(name for name in Message.__struct_fields__ if name != "id")


def parse_message(message_id: str, body: bytes) -> Message:
    """A message from its JSON body (the id comes from outside and must not contradict it)."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, object])
        message = msgspec.convert({"id": message_id, **fields}, Message)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadInput(
            f"message {message_id!r} cannot be read ({error}); expected a JSON object with "
            f"any of {', '.join(_FIELDS)}: correct it"
        ) from error
    _check(message, message_id)
    return message


def _check(message: Message, message_id: str) -> None:
    if message.id != message_id:
        raise BadInput(
            f"the body says id {message.id!r}, the address {message_id!r}; "
            "leave the id out of the body or make them equal"
        )
    if not 1 <= len(message_id) <= LONGEST_ID or message_id == ABSTAIN:
        raise BadInput(
            f"message id {message_id[:40]!r} cannot be used; expected 1 to {LONGEST_ID} "
            f"characters and not {ABSTAIN!r}, which means sending nothing: choose another id"
        )
    if len(message.attributes) > MOST_ATTRIBUTES:
        raise BadInput(
            f"message {message_id!r} has {len(message.attributes)} attributes; expected at most "
            f"{MOST_ATTRIBUTES}: keep those that other messages share"
        )
    cost = message.send_cost
    if cost is not None and not (math.isfinite(cost) and cost >= 0):
        raise BadInput(
            f"message {message_id!r} has send_cost {cost}; expected a finite number of 0 or more: "
            "leave it out to use the configured cost"
        )
    _check_times(message)
    _check_rules(message)


def _check_times(message: Message) -> None:
    name = f"message {message.id!r}"
    starts, ends = message.starts, message.ends
    if starts and ends and starts >= ends:
        raise BadInput(
            f"{name} starts at {starts.isoformat()} and ends at {ends.isoformat()}; expected an "
            "end after the start: correct one of them"
        )
    if len(message.windows) > MOST_WINDOWS:
        raise BadInput(
            f"{name} has {len(message.windows)} windows; expected at most {MOST_WINDOWS}: leave "
            "out those that have passed"
        )
    if wrong := windows.complaint(message.windows):
        raise BadInput(f"{name} has {wrong}")


def _check_rules(message: Message) -> None:
    name = f"message {message.id!r}"
    if not 0 <= message.cooldown_s <= LONGEST_WINDOW_S:
        raise BadInput(
            f"{name} has cooldown_s {message.cooldown_s:g}; expected seconds from 0 to "
            f"{LONGEST_WINDOW_S:.0f}, which is 31 days: correct it"
        )
    if abs(message.tier) > HIGHEST_TIER:
        raise BadInput(
            f"{name} has tier {message.tier}; expected a whole number from {-HIGHEST_TIER} to "
            f"{HIGHEST_TIER}, 0 for an ordinary message: correct it"
        )
    if len(set(message.tags)) != len(message.tags) or len(message.tags) > MOST_TAGS:
        raise BadInput(
            f"{name} has {len(message.tags)} tags, or one of them twice; expected at most "
            f"{MOST_TAGS}, each once: leave out the others"
        )
    if len(message.when) > MOST_CONDITIONS:
        raise BadInput(
            f"{name} has {len(message.when)} conditions; expected at most {MOST_CONDITIONS}: "
            "leave out those that exclude nobody"
        )
    try:
        message_budgets(message.id, message.budget)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    for key, condition in message.when.items():
        if wrong := complaint(condition):
            raise BadInput(
                f"{name} asks for {wrong} of {key[:80]!r}, which nobody has; expected a value, a "
                'list of values, or {"min", "max"}: correct it'
            )


@dataclass(frozen=True)
class Catalog:
    """Every message there is, ready for scoring."""

    version: int = 0
    messages: Mapping[str, Message] = field(default_factory=dict)
    paused: bool = False
    """The kill switch is on: nothing may be sent now."""

    @cached_property
    def ruled(self) -> bool:
        """Whether any message has a rule of its own; most catalogs have none to be looked at."""
        return any(message.has_rules for message in self.messages.values())

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {message_id: row for row, message_id in enumerate(self.messages)}

    @cached_property
    def _hashes(self) -> Hashes:
        """(messages + 1, A + 1): attribute hashes, 0 where there is none, and the id's last.

        The last row is `abstain` itself, asked about where an outcome may happen unprompted.
        """
        width = max((len(m.attributes) for m in self.messages.values()), default=0) + 1
        table = np.zeros((len(self.messages) + 1, width), np.uint64)
        for row, message in enumerate(self.messages.values()):
            *facts, own = message.features
            table[row, : len(facts)] = [name_hash(fact) for fact in facts]
            table[row, -1] = name_hash(own)
        table[-1, -1] = name_hash(ABSTAIN)
        return table

    @cached_property
    def _send_costs(self) -> Floats:
        """(messages + 1,) what each says a send costs, NaN where it says nothing, as abstain."""
        given = [*(m.send_cost for m in self.messages.values()), None]
        return np.array([math.nan if cost is None else cost for cost in given])

    def rows(self, message_ids: Sequence[str]) -> Slots:
        """Rows of messages in the hash table; every id must be in the catalog."""
        rows = self._rows
        return np.array([rows[message_id] for message_id in message_ids], np.int64)

    @property
    def abstain_row(self) -> int:
        """The row that stands for sending nothing."""
        return len(self.messages)

    def hashes(self, rows: Slots) -> Hashes:
        """(..., A + 1) hashes of the given rows, themselves of any shape."""
        return self._hashes[rows]

    def send_costs(self, rows: Slots, default: float) -> Floats:
        """Cost of sending each, of the shape of `rows`; `default` where a message has none."""
        costs = self._send_costs[rows]
        return np.where(np.isnan(costs), default, costs)
