"""Messages and the catalog that holds them all.

A message is known to the model by its attributes and its id, so a new message starts from what is
known of others that share its attributes. The catalog is immutable; a change makes a new one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
import numpy as np

from engine.context import Hashes, Slots, name_hash
from engine.decision import ABSTAIN, Floats, Value
from engine.errors import BadInput

LONGEST_ID = 128
MOST_ATTRIBUTES = 16


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An action the sender could take."""

    id: str
    attributes: Mapping[str, Value] = {}
    """Facts that other messages share: category, tone, discount band. Numbers act as labels."""
    channel: str = "push"
    send_cost: float | None = None
    """Cost of one send, in the unit of value; None takes the configured one."""

    def to_json(self) -> bytes:
        """The message as stored and as answered."""
        return msgspec.json.encode(self)

    @property
    def features(self) -> list[str]:
        """Names of the message's own features, attributes in a fixed order, then its id."""
        facts = [f"{key}:{self.attributes[key]}" for key in sorted(self.attributes)]
        return [*facts, f"id:{self.id}"]


def parse_message(message_id: str, body: bytes) -> Message:
    """A message from its JSON body (the id comes from outside and must not contradict it)."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, object])
        message = msgspec.convert({"id": message_id, **fields}, Message)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadInput(
            f"message {message_id!r} cannot be read ({error}); expected a JSON object with "
            "attributes, channel and send_cost, all optional"
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


@dataclass(frozen=True)
class Catalog:
    """Every message there is, ready for scoring."""

    version: int = 0
    messages: Mapping[str, Message] = field(default_factory=dict)

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
