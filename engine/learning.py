"""Learning: lessons in, one after the other, a state out. No clock, no order of its own.

A lesson carries everything it needs (hashed features, burden, label, weight), so a catalog edit or
an expired decision cannot change what a replay learns. The same lessons in the same order give the
same weights, to the bit.

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

from engine.context import EncodedContext, EncoderLearner, Hashes
from engine.decision import Context
from engine.outcome import DelayLaw, DelayLaws, HeadName
from engine.response import Head, Prior
from engine.snapshot import Snapshot, State, features


@dataclass(frozen=True, slots=True)
class Priors:
    """What both heads believe before their first lesson, and how fast outcomes come."""

    click: Prior = Prior(base_rate=0.02)
    unsubscribe: Prior = Prior(base_rate=0.002, attribute=40.0, message=160.0)
    delays: DelayLaws = DelayLaws()


class _Teaching(msgspec.Struct, array_like=True):
    """What a decision can teach; written when it is made, read when its outcome is known."""

    hashes: bytes
    values: bytes
    message: bytes
    burden: float
    numbers: dict[str, float]
    indicators: list[str]


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


def teaching(encoded: EncodedContext, context: Context, burden: float, message: Hashes) -> bytes:
    """What a decision can teach, self-contained; `message` is (A + 1,)."""
    numbers = {key: float(value) for key, value in context.items() if not isinstance(value, str)}
    return _ENCODE(
        _Teaching(
            encoded.hashes.tobytes(),
            encoded.values.tobytes(),
            message.tobytes(),
            burden,
            numbers,
            [key for key in context if key not in numbers],
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
        if state:
            self._heads["click"].load(*state.click)
            self._heads["unsubscribe"].load(*state.unsubscribe)
            self._delays = {
                "click": state.delays.click,
                "unsubscribe": state.delays.unsubscribe,
            }

    def learn(self, lesson: Lesson) -> None:
        """Apply one lesson."""
        told = _DECODE(lesson.teaching)
        context = EncodedContext(
            np.frombuffer(told.hashes, np.uint64), np.frombuffer(told.values, np.float32)
        )
        slots, values = features(context, told.burden, np.frombuffer(told.message, np.uint64))
        head = self._heads[lesson.head]
        weight = lesson.weight
        if lesson.label and lesson.taught:
            weight *= 1.0 + lesson.taught * min(1.0, math.exp(min(0.0, head.logit(slots, values))))
        head.learn(slots, values, lesson.label, weight)
        self._encoder.learn_slots(slots)
        if lesson.first:
            self._encoder.learn_context(told.numbers, told.indicators)
        if lesson.label:
            self._delays[lesson.head] = self._delays[lesson.head].with_delay(lesson.delay)

    def state(self) -> State:
        """A copy of all that has been learned so far."""
        return State(
            click=self._heads["click"].changed(),
            unsubscribe=self._heads["unsubscribe"].changed(),
            encoder=self._encoder.state(),
            delays=DelayLaws(self._delays["click"], self._delays["unsubscribe"]),
        )

    def snapshot(self, version: int) -> Snapshot:
        """What has been learned so far, frozen."""
        return Snapshot(version, self.state(), (self.priors.click, self.priors.unsubscribe))
