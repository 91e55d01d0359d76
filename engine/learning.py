"""Learning: lessons in, one after the other, a state out. No clock, no order of its own.

A lesson carries everything it needs (hashed strings, raw numbers, burden, label, weight), so a
catalog edit or an expired decision cannot change what a replay learns. The same lessons in the same
order give the same weights, to the bit.

A positive that arrives after part of its negative was taught has to outweigh that part. At the
truth p a step must be nought in expectation, which holds when the positive counts

    1 + taught * p / (1 - p)

times (`taught`: mass of its negative slices so far; p: what the head predicts just before). The
excess is small for rare outcomes and is capped at `taught` itself (p = 1/2).
"""

import math
from dataclasses import dataclass

import msgspec
import numpy as np

from engine.context import EncodedContext, EncoderLearner, Hashes, Singles, Slots, texts
from engine.decision import Context
from engine.outcome import DelayLaw, DelayLaws, HeadName
from engine.response import Head, Prior
from engine.snapshot import Snapshot, State, features


@dataclass(frozen=True, slots=True)
class Priors:
    """What both heads believe before their first lesson, and how fast outcomes come."""

    click: Prior = Prior(base_rate=0.02)
    unsubscribe: Prior = Prior(base_rate=0.002, burden=4.0)
    """Surer of the burden's slope than of clicks: whole batches share their burden, and five who
    happen to leave in one of them must not pass for a law by which all others are left in peace.
    """
    delays: DelayLaws = DelayLaws()
    memory: float = math.inf
    """Seconds after which half of what was learned counts as forgotten."""


class _Teaching(msgspec.Struct, array_like=True):
    """What a decision can teach; written when it is made, read when its outcome is known."""

    texts: bytes
    """Hashes of the context's strings and of what it lacks."""
    numbers: dict[str, float]
    """The context's, raw: they are scaled when the outcome is known."""
    message: bytes
    burden: float
    indicators: list[str]
    at: float = 0.0
    """When the decision was made, seconds; nothing is forgotten where nobody says."""


FORGET_EVERY_S = 3600.0
"""Time taught between two rounds of forgetting: a round touches every weight."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One head, one label, for one decision."""

    head: HeadName
    label: int
    weight: float
    taught: float
    """Mass of negative slices taught for this head and decision before."""
    delay: float
    """Seconds from the decision to this label."""
    first: bool
    """The first lesson of its decision: its context has not been counted."""
    teaching: bytes


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(_Teaching).decode


def teaching(
    encoded: EncodedContext, context: Context, burden: float, message: Hashes, at: float = 0.0
) -> bytes:
    """What a decision made at `at` can teach, self-contained; `message` is (A + 1,)."""
    numbers = {key: float(value) for key, value in context.items() if not isinstance(value, str)}
    return _ENCODE(
        _Teaching(
            texts(encoded, numbers).tobytes(),
            numbers,
            message.tobytes(),
            burden,
            [key for key in context if key not in numbers],
            at,
        )
    )


class Learner:
    """The one writer of the heads and of the encoder's state."""

    def __init__(self, priors: Priors, state: State | None = None) -> None:
        self.priors = priors
        self._heads: dict[HeadName, Head] = {
            "click": Head(priors.click),
            "unsubscribe": Head(priors.unsubscribe),
        }
        self._delays: dict[HeadName, DelayLaw] = {
            "click": priors.delays.click,
            "unsubscribe": priors.delays.unsubscribe,
        }
        self._encoder = EncoderLearner(state.encoder if state else None)
        self._until = state.until if state else 0.0
        if state:
            self._heads["click"].load(state.click)
            self._heads["unsubscribe"].load(state.unsubscribe)
            self._delays = {
                "click": state.delays.click,
                "unsubscribe": state.delays.unsubscribe,
            }

    def loss(self, lesson: Lesson) -> float:
        """Log loss of a lesson's label as forecast before it is learned."""
        logit = self._heads[lesson.head].logit(*self.features(lesson))
        return float(np.logaddexp(0.0, -logit if lesson.label else logit))

    def features(self, lesson: Lesson) -> tuple[Slots, Singles]:
        """Slots and values that the lesson teaches, as its context is encoded by now."""
        return self._features(_DECODE(lesson.teaching))

    def _features(self, told: _Teaching) -> tuple[Slots, Singles]:
        context = self._encoder.encode(np.frombuffer(told.texts, np.uint64), told.numbers)
        return features(context, told.burden, np.frombuffer(told.message, np.uint64))

    def learn(self, lesson: Lesson) -> None:
        """Apply one lesson."""
        told = _DECODE(lesson.teaching)
        self._forget(told.at + lesson.delay)
        slots, values = self._features(told)
        head = self._heads[lesson.head]
        weight = lesson.weight
        if lesson.label and lesson.taught:
            weight *= 1.0 + lesson.taught * min(1.0, math.exp(min(0.0, head.logit(slots, values))))
        head.learn(slots, values, lesson.label, weight)
        self._encoder.learn_slots(slots)
        if lesson.first:
            self._encoder.learn_context(told.numbers, told.indicators)
        if lesson.label:
            self._delays[lesson.head] = self._delays[lesson.head].with_delay(
                lesson.delay, lesson.weight
            )

    def _forget(self, at: float) -> None:
        """Let the time pass up to a lesson's, which is its own: a replay forgets alike."""
        if not self._until:
            self._until = at
        elapsed = at - self._until
        if elapsed >= FORGET_EVERY_S:
            for head in self._heads.values():
                head.forget(2.0 ** (-elapsed / self.priors.memory))
            self._until = at

    def state(self) -> State:
        """A copy of all that has been learned so far."""
        return State(
            click=self._heads["click"].learned(),
            unsubscribe=self._heads["unsubscribe"].learned(),
            encoder=self._encoder.state(),
            delays=DelayLaws(self._delays["click"], self._delays["unsubscribe"]),
            until=self._until,
        )

    def snapshot(self, version: int) -> Snapshot:
        """What has been learned so far, frozen."""
        return Snapshot(version, self.state(), (self.priors.click, self.priors.unsubscribe))
