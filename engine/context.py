"""A context becomes hashed sparse features, and features become slots of the weight table.

Strings are indicators ("country=DE"). Numbers and booleans are standardised by a running mean and
deviation and clipped to +-3: a raw 10,000 inside a message cross would give an untried message a
prior of thousands of logits, and a flag that is not centred moves with the constant, so that a
learner without covariances follows whichever labels came last. What is missing, and a value never
seen before, are features of their own once their key is known. The whole context is scaled to a
typical squared length of at most `CONTEXT_NORM`, and a message's attributes to one of 1, so the
prior of a cold logit does not depend on how many facts a sender knows.

Everything the encoding depends on (`EncoderState`) is learned by the learner alone and frozen into
each snapshot. Limit: the table has 2^18 slots in three regions, one per block of the prior, and two
features that fall on one slot share a weight; `EncoderState.use` tells how full it is.
"""

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, reduce
from statistics import median
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.decision import Context, Floats
from engine.errors import BadInput

Hashes: TypeAlias = NDArray[np.uint64]
Singles: TypeAlias = NDArray[np.float32]
Slots: TypeAlias = NDArray[np.int64]

ENCODER_VERSION = 4
BITS = 18
SLOTS = 1 << BITS
PAD = SLOTS
"""A slot past the table that scores as nothing: messages with fewer attributes point here."""

COMMON, ATTRIBUTE, MESSAGE = (0, 16), (1 << 16, 16), (1 << 17, 17)
"""Blocks of the table as (first slot, bits): context alone, x message attribute, x message id."""

CONSTANT, BURDEN, BURDEN_LOG = 0, 1, 2
RESERVED = 3
"""The first slots of the common block are these three, never a hash."""

MOST_BURDEN = 12.0
"""Beyond this the heads are flat: nobody was sent to so often by anything that learns."""
CONTEXT_NORM = 4.0
CLIP = 3.0
OUTLIER = 10.0
"""Deviations at which a number stops moving its own scale."""
STRAY = 100.0
"""Distances, of seven in ten from the median, at which one of a number's first values is a stray:
more than normal or exponential numbers ever show.
"""
REMEMBERED = 10_000
"""Values of a number after which older ones fade."""
KNOWN_AFTER = 30
"""Observations of a key before its absence, or a new value of it, means something."""
SCALED_AFTER = 10
"""Observations of a number before its running deviation is worth dividing by."""
MOST_KEYS = 1000
_MOST_STRINGS = 1 << 16
_NO_UNIT = 1e-300
"""Divides any difference into the largest there is, and none into none."""
MOST_NUMBER = 2.0**63
"""Larger numbers are mistakes, and no row could hold them."""

WARN_USE = 0.25

_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_ODD = np.uint64(0x9E3779B97F4A7C15)


@lru_cache(maxsize=1 << 16)
def name_hash(name: str) -> int:
    """64-bit hash of a feature's name: the same in every process and release."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def _mixed(hashes: Hashes) -> Hashes:
    """Every bit of the input moves every bit of the output (the finaliser of splitmix64)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX_1
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _MIX_2
    return hashes ^ (hashes >> np.uint64(31))


def _in_block(hashes: Hashes, block: tuple[int, int]) -> Slots:
    first, bits = block
    return (hashes >> np.uint64(64 - bits)).astype(np.int64) + first


def common_slots(hashes: Hashes) -> Slots:
    """Slots of context features on their own; same shape as `hashes`."""
    slots = _in_block(_mixed(hashes), COMMON)
    return np.maximum(slots, RESERVED)


def message_slots(context: Hashes, message: Hashes) -> Slots:
    """Slots of a context crossed with messages.

    `context` is (..., C); `message` is (K, A + 1), attributes first and the id last, 0 for "no
    such attribute". Returns (..., C + 1, K, A + 1): row 0 is the message's feature on its own.
    """
    alone = np.zeros((*context.shape[:-1], 1), np.uint64)
    context = np.concatenate([alone, context], axis=-1)
    mixed = _mixed(context[..., None, None] + message * _ODD)
    slots = np.empty(mixed.shape, np.int64)
    slots[..., :-1] = _in_block(mixed[..., :-1], ATTRIBUTE)
    slots[..., -1] = _in_block(mixed[..., -1], MESSAGE)
    np.putmask(slots, np.broadcast_to(message == 0, slots.shape), PAD)
    return slots


def message_values(message: Hashes) -> Singles:
    """Values of a message's own features, of the shape of `message`, (..., A + 1).

    The attributes a message has share one unit of squared length, as a context's facts share
    `CONTEXT_NORM`: else the prior of an untried message grows with each fact its team writes down,
    and so do the steps that many features take together.
    """
    values = np.ones(message.shape, np.float32)
    if message.shape[-1] > 2:  # a single attribute shares with nobody, and every call counts
        attributes = np.count_nonzero(message[..., :-1], axis=-1)
        values[..., :-1] = (1.0 / np.sqrt(np.maximum(attributes, 1)))[..., None]
    return values


def burden_features(burdens: Floats) -> tuple[Floats, Floats]:
    """Burden as the heads see it, any shape: straight, and what a bend adds to that.

    Both are 0 where nobody is tired. The bend (of log(1 + b), beyond its tangent) is small where
    burdens are.
    """
    inside = np.minimum(burdens, MOST_BURDEN)
    return inside, np.log1p(inside) - inside


@dataclass(frozen=True, slots=True)
class Scale:
    """Running mean and deviation of one number (Welford), which no outlier carries off for good.

    A value moves a known scale by `OUTLIER` deviations at most. The first values have none yet:
    there the usual distance from the median says what a stray is, and what counts of it has shrunk
    to less than the deviation by the 10,000th value. Where most of the first values are alike there
    is no such distance, and after a constant any other value is a whole new scale: such a one fades
    as all values do, beside the last `REMEMBERED`, by half in 6,900. A million times the deviation
    takes some 190,000 values to fade to it. Up to `REMEMBERED` values nothing else is forgotten.
    """

    count: int = 0
    """Of the values remembered."""
    mean: float = 0.0
    squares: float = 0.0
    first: tuple[float, ...] = ()
    """The values so far, while they are fewer than `SCALED_AFTER`."""

    @property
    def deviation(self) -> float:
        """Sample standard deviation; 0 of a number that never varied, or hardly known yet."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count >= SCALED_AFTER else 0.0

    def with_value(self, value: float) -> "Scale":
        """The scale after one more value."""
        reach = OUTLIER * self.deviation
        if reach:
            value = max(self.mean - reach, min(self.mean + reach, value))
        if self.count >= SCALED_AFTER:
            return self._moved(value)
        first = (*self.first, value)
        if len(first) < SCALED_AFTER:
            return self._moved(value, first)
        return reduce(Scale._moved, _without_strays(first), Scale())

    def _moved(self, value: float, first: tuple[float, ...] = ()) -> "Scale":
        """One step of Welford's, with nothing clipped."""
        count = self.count + 1
        mean = self.mean + (value - self.mean) / count
        squares = self.squares + (value - self.mean) * (value - mean)
        if count > REMEMBERED:
            count, squares = REMEMBERED, squares * REMEMBERED / count
        return Scale(count, mean, squares, first)

    def standardised(self, value: float) -> float:
        """Deviations from the mean, within +-3; 0 while too little is known to say."""
        offset = value - self.mean
        if self.count < SCALED_AFTER or offset == 0.0:
            return 0.0
        deviation = self.deviation
        return max(-CLIP, min(CLIP, offset / (deviation or _NO_UNIT)))


def _without_strays(values: Sequence[float]) -> list[float]:
    """The values, none further from their median than `STRAY` times what seven of ten are."""
    middle = median(values)
    distances = sorted(abs(value - middle) for value in values)
    reach = STRAY * distances[7 * len(values) // 10 - 1]
    if not reach:
        return list(values)
    return [max(middle - reach, min(middle + reach, value)) for value in values]


def _missed(count: int, contexts: int) -> bool:
    """Whether a key that `count` of so many contexts had is missed where it is absent.

    Everybody lacks a rare key: its absence says next to nothing, and a thousand such absences
    would drown what a sender does say.
    """
    return count >= KNOWN_AFTER and 10 * count >= contexts


@dataclass(frozen=True, slots=True)
class EncodedContext:
    """A context as hashed features, without the constant and the burden."""

    hashes: Hashes
    """(C,)"""
    values: Singles
    """(C,), never 0."""


@dataclass(frozen=True)
class EncoderState:
    """All that an encoding depends on besides the context; an `EncoderLearner` makes them."""

    scales: Mapping[str, Scale] = field(default_factory=dict)
    keys: Mapping[str, int] = field(default_factory=dict)
    """How often each context key was seen."""
    contexts: int = 0
    squared_length: float = 0.0
    """Sum of the squared lengths of the contexts seen, before scaling."""
    seen: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(SLOTS + 1, np.bool_))
    """Slots that some lesson has touched."""

    @property
    def use(self) -> float:
        """Fraction of the slots in use; from `WARN_USE` on, collisions blur what is learned."""
        return float(np.count_nonzero(self.seen[:SLOTS])) / SLOTS

    @cached_property
    def _numbers(self) -> dict[str, tuple[int, float, float]]:
        """Key -> (hash, mean, unit) of every number known well enough to scale."""
        return {
            # A number that never varied has no unit: any other value is as far as it gets.
            key: (name_hash(f"{key}#"), scale.mean, scale.deviation or _NO_UNIT)
            for key, scale in self.scales.items()
            if scale.count >= SCALED_AFTER
        }

    @cached_property
    def _missing(self) -> list[tuple[str, int]]:
        """(key, hash) of every key whose absence means something."""
        return [
            (key, name_hash(f"{key}?missing"))
            for key, count in self.keys.items()
            if _missed(count, self.contexts)
        ]

    @cached_property
    def _strings(self) -> dict[tuple[str, str], tuple[int, ...]]:
        """(key, value) -> hashes, remembered as they come."""
        return {}

    def _string(self, key: str, value: str) -> tuple[int, ...]:
        """Hashes of one string: its own, and a mark where a known key has a value never seen."""
        name = name_hash(f"{key}={value}")
        slot = common_slots(np.array([name], np.uint64))[0]
        unseen = self.keys.get(key, 0) >= KNOWN_AFTER and not self.seen[slot]
        found = (name, name_hash(f"{key}?unseen")) if unseen else (name,)
        if len(self._strings) >= _MOST_STRINGS:
            self._strings.clear()
        self._strings[key, value] = found
        return found

    def encode(self, context: Context, only: Collection[str] | None = None) -> EncodedContext:
        """Hashed features of a context that `check_context` has passed, or of some of its keys."""
        numbers, strings = self._numbers, self._strings
        hashes: list[int] = []
        values: list[float] = []
        if only is not None:
            context = {key: context[key] for key in sorted(only) if key in context}
        for key, value in context.items():
            if isinstance(value, str):
                found = strings.get((key, value)) or self._string(key, value)
                hashes += found
                values += (1.0,) * len(found)
            elif key in numbers:
                name, mean, unit = numbers[key]
                scaled = (value - mean) / unit
                if scaled:
                    hashes.append(name)
                    values.append(max(-CLIP, min(CLIP, scaled)))
        for key, name in self._missing:
            if key not in context and (only is None or key in only):
                hashes.append(name)
                values.append(1.0)
        return _shrunk(hashes, values, self.squared_length, self.contexts)


def _shrunk(
    hashes: list[int], values: list[float], squared_length: float, contexts: int
) -> EncodedContext:
    """Features scaled so that a typical context has `CONTEXT_NORM`; a few first ones stand alone.

    `squared_length` is the sum over the contexts seen, before scaling.
    """
    own = sum(value * value for value in values)
    typical = (squared_length + KNOWN_AFTER * own) / (contexts + KNOWN_AFTER)
    shrink = min(1.0, math.sqrt(CONTEXT_NORM / typical)) if typical else 1.0
    return EncodedContext(
        np.array(hashes, np.uint64), np.array(values, np.float32) * np.float32(shrink)
    )


def texts(encoded: EncodedContext, numbers: Collection[str]) -> Hashes:
    """Hashes of the features that are not these numbers: strings, and marks of what is missing."""
    # `numpy.isin` takes three times as long for so few.
    scaled = {name_hash(f"{key}#") for key in numbers}
    return np.array([name for name in encoded.hashes.tolist() if name not in scaled], np.uint64)


class EncoderLearner:
    """The one writer of an encoder's state; the learner feeds it each context once."""

    def __init__(self, state: EncoderState | None = None) -> None:
        state = state or EncoderState()
        self._scales = dict(state.scales)
        self._keys = dict(state.keys)
        self._contexts = state.contexts
        self._squared_length = state.squared_length
        self._seen = state.seen.copy()

    def encode(self, texts: Hashes, numbers: Mapping[str, float]) -> EncodedContext:
        """A context that was encoded before, with its raw numbers as they are scaled by now.

        A lesson thus says what its context will be scored as. Under the scales of its decision, a
        first batch, for which there were none, would teach nothing of any number.
        """
        hashes, values = texts.tolist(), [1.0] * len(texts)
        for key, value in numbers.items():
            scale = self._scales.get(key)
            scaled = scale.standardised(value) if scale else 0.0
            if scaled:
                hashes.append(name_hash(f"{key}#"))
                values.append(scaled)
        return _shrunk(hashes, values, self._squared_length, self._contexts)

    def learn_context(self, numbers: Mapping[str, float], indicators: list[str]) -> None:
        """Count a context: its raw numbers (booleans as 0 and 1) and the keys of its strings."""
        present = {*numbers, *indicators}
        squared = float(len(indicators))
        for key, count in self._keys.items():
            squared += key not in present and _missed(count, self._contexts)
        for key, value in numbers.items():
            scale = self._scales.get(key) or Scale()
            squared += scale.standardised(value) ** 2
            if key in self._scales or len(self._scales) < MOST_KEYS:
                self._scales[key] = scale.with_value(value)
        for key in present:
            if key in self._keys or len(self._keys) < MOST_KEYS:
                self._keys[key] = self._keys.get(key, 0) + 1
        self._contexts += 1
        self._squared_length += squared

    def learn_slots(self, slots: Slots) -> None:
        """Mark slots as touched by a lesson."""
        self._seen[slots] = True
        self._seen[PAD] = False

    def state(self) -> EncoderState:
        """A frozen copy of what has been learned so far."""
        return EncoderState(
            dict(self._scales),
            dict(self._keys),
            self._contexts,
            self._squared_length,
            self._seen.copy(),
        )


def check_context(context: Mapping[str, object]) -> None:
    """Raise `BadInput` unless every value is a finite number, a string or a boolean."""
    for key, value in context.items():
        if isinstance(value, (str, bool)):
            continue
        if not isinstance(value, (int, float)):
            raise BadInput(
                f"context key {key!r} has a value of type {type(value).__name__}; "
                "expected a number, a string or true/false: flatten it or leave it out"
            )
        if not -MOST_NUMBER <= value <= MOST_NUMBER:
            raise BadInput(
                f"context key {key!r} is {str(value)[:40]}; expected a finite number of at most "
                f"{MOST_NUMBER:g} either way: leave the key out where the value is not known"
            )
