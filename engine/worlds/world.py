"""The contract of a world: a simulated population whose truth is known.

A world knows, for every user, message, burden and moment, the exact probability of a click and of
an unsubscribe; so regret and the exact optimum are computable. Time runs in steps: at each step
some users have a decision to be made, and a policy answers for all of them at once. Times are in
days since the start.

What a policy may see is in `Batch` and `Events`; the probabilities are for oracles and for judges.
The burden of a batch is the true one: its dynamics (up by one with each send, halved every
`half_life` days) are the engine's own bookkeeping and no secret.

A user who unsubscribes leaves at once: nothing reaches him, nothing more is charged. Only the news
may travel late, and until it arrives the policy goes on deciding for somebody who has left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Column: TypeAlias = NDArray[Any]

ABSTAIN_INDEX = -1
"""Where actions are positions in `World.messages`, this one sends nothing."""

CLICK, UNSUBSCRIBE = 0, 1
"""The kinds of an event."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a world's catalog; attributes are what a model may know of it."""

    id: str
    attributes: Mapping[str, float | str | bool]


@dataclass(frozen=True, slots=True)
class Delay:
    """A log-normal delay between a decision and the news of its outcome; median 0 is no delay."""

    median: float = 0.0
    """Days."""
    spread: float = 0.0
    """Standard deviation of the logarithm: at 2.0 one delay in twenty is 27 medians or longer."""

    def days(self, uniform: Floats) -> Floats:
        """Delays by inversion. Shape: (n,) in (0, 1) -> (n,) days."""
        return self.median * np.exp(self.spread * np.asarray(ndtri(uniform), dtype=np.float64))


AT_ONCE = Delay()


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's decisions: everything a policy may know of n users who are asked about now."""

    step: int
    at: float
    """Days since the start."""
    users: Ints  # (n,)
    context: Mapping[str, Column]
    """Key -> (n,) numbers, strings or booleans; the lasting keys first, then the moment's."""
    burden: Floats  # (n,) before this step's send
    values: Floats  # (n,) worth of one click
    available: Bools  # (K,) messages that may be sent now
    moment: Floats  # (n, M) the moment keys once more, as numbers in their order

    def contexts(self) -> list[dict[str, float | str | bool]]:
        """The context of each user by himself, in plain Python values: n maps."""
        columns = [column.tolist() for column in self.context.values()]
        return [dict(zip(self.context, row, strict=True)) for row in zip(*columns, strict=True)]


@dataclass(frozen=True, slots=True)
class Events:
    """The clicks and unsubscribes that became known since the last call, in order of arrival."""

    kind: Ints  # (e,) CLICK or UNSUBSCRIBE
    user: Ints  # (e,)
    step: Ints  # (e,) of the decision that led to it
    at: Floats  # (e,) days, of arrival


class World(Protocol):
    """A population with known truth. K messages, S steps, M moment keys."""

    @property
    def name(self) -> str:
        """The world's file is called so."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The catalog; actions are positions in it."""

    @property
    def n_users(self) -> int:
        """Users are numbered from 0."""

    @property
    def values(self) -> Floats:
        """Worth of one click of each user, (n_users,)."""

    @property
    def times(self) -> Floats:
        """Days at which decisions are made, increasing, (S,)."""

    @property
    def horizon(self) -> float:
        """Days after which nothing counts any more."""

    @property
    def half_life(self) -> float:
        """Days in which burden halves."""

    @property
    def send_cost(self) -> float:
        """What one send costs, in the unit of the values."""

    @property
    def daily_sends(self) -> int | None:
        """How many sends all users together may get per day; None: as many as one likes."""

    @property
    def click_delay(self) -> Delay:
        """Between a send and the news of its click."""

    @property
    def unsubscribe_delay(self) -> Delay:
        """Between a send and the news that its user has left."""

    @property
    def user_keys(self) -> tuple[str, ...]:
        """Context keys that last."""

    @property
    def moment_keys(self) -> tuple[str, ...]:
        """Context keys that are drawn afresh for every decision."""

    @property
    def presence(self) -> Floats:
        """Probability that a decision is asked for at any one step, per user: (n_users,)."""

    def moments(self, seed: int, users: Ints, step: int) -> Floats:
        """The moments of these users' decisions: (n, M)."""

    def moment_nodes(self) -> tuple[Floats, Floats]:
        """Moments (Q, M) and weights (Q,) that stand for the law of a moment in an expectation."""

    def context(self, users: Ints, moments: Floats) -> dict[str, Column]:
        """What is known of these users now: key -> (n,)."""

    def regime(self, step: int) -> int:
        """Steps of equal regime share their probabilities and their messages."""

    def available(self, step: int) -> Bools:
        """Messages that may be sent at this step: (K,)."""

    def click_probability(self, users: Ints, burden: Floats, step: int, moments: Floats) -> Floats:
        """Exact, for every message: users (n,), burden (n,), moments (n, M) -> (n, K)."""

    def unsubscribe_probability(
        self, users: Ints, burden: Floats, step: int, moments: Floats
    ) -> Floats:
        """Exact, for every message: users (n,), burden (n,), moments (n, M) -> (n, K)."""


class Policy(Protocol):
    """Anything that decides; it may learn from what it is told."""

    def act(self, batch: Batch) -> Ints:
        """Position of the message to send to each user, or ABSTAIN_INDEX: (n,)."""

    def observe(self, events: Events, until: float) -> None:
        """Called after each step with all events that arrive before `until` (days)."""
