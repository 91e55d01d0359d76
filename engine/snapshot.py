"""A snapshot: the heads' weights and the encoder's state, frozen, with a version.

Scoring is a gather and one matrix product over four columns (mean and variance of the click head,
mean and variance of the unsubscribe head): no VW, no lock, the same code for one user and for
thousands. It equals VW's own prediction up to float32 rounding.

As bytes a snapshot is also the learner's state: only slots that differ from the prior are written,
with a checksum and a format number; anything that does not add up is refused, never half-loaded.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.context import (
    BURDEN,
    BURDEN_LOG,
    CONSTANT,
    ENCODER_VERSION,
    PAD,
    RESERVED,
    SLOTS,
    EncodedContext,
    EncoderState,
    Hashes,
    Scale,
    Singles,
    Slots,
    burden_features,
    common_slots,
    message_slots,
    message_values,
)
from engine.decision import Floats
from engine.errors import ModelFormatError
from engine.outcome import DelayLaw, DelayLaws
from engine.response import Baseline, Learned, Prior, untaught

FORMAT = 5

_CLICK, _CLICK_VARIANCE, _UNSUBSCRIBE, _UNSUBSCRIBE_VARIANCE = range(4)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Logits of N users with up to K messages each; padding gives a meaningless finite number."""

    click: Floats
    """(N, K) mean."""
    click_shared: Floats
    """(N,) standard deviation common to all messages of a user."""
    click_own: Floats
    """(N, K) standard deviation of what only this message's weights add."""
    unsubscribe: Floats
    """(N, K) mean."""
    unsubscribe_deviation: Floats
    """(N, K) standard deviation."""


@dataclass(frozen=True, slots=True)
class State:
    """All that has been learned, as plain data: what is stored and what is served."""

    click: Learned
    unsubscribe: Learned
    encoder: EncoderState = field(default_factory=EncoderState)
    delays: DelayLaws = field(default_factory=DelayLaws)
    until: float = 0.0
    """Time of the latest lesson that was forgotten up to, seconds."""


@lru_cache(maxsize=2)
def _cold_table(priors: tuple[Prior, Prior]) -> NDArray[np.float32]:
    """(SLOTS + 1, 4) means and variances before the first lesson; the last row is `PAD`'s."""
    table = np.zeros((SLOTS + 1, 4), np.float32)
    for column, prior in zip((_CLICK, _UNSUBSCRIBE), priors, strict=True):
        table[:SLOTS, column] = prior.columns()[:, 0]
        table[:SLOTS, column + 1] = 1.0 / prior.columns()[:, 1]
    return table


class Snapshot:
    """An immutable published model."""

    def __init__(self, version: int, state: State, priors: tuple[Prior, Prior]) -> None:
        self.version = version
        self.encoder = state.encoder
        self.delays = state.delays
        self._table = _cold_table(priors).copy()
        for column, head in ((_CLICK, state.click), (_UNSUBSCRIBE, state.unsubscribe)):
            self._table[head.slots, column] = head.columns[:, 0]
            self._table[head.slots, column + 1] = 1.0 / head.columns[:, 1]
            self._table[:RESERVED, column] = head.baseline.mean
            self._table[:RESERVED, column + 1] = 0.0  # what they leave open is `_covariances`
        self._table.setflags(write=False)
        baselines = state.click.baseline, state.unsubscribe.baseline
        self._burden = np.stack([each.mean[1:] for each in baselines])
        self._covariances = np.stack([each.covariance for each in baselines])

    @classmethod
    def cold(cls, priors: tuple[Prior, Prior]) -> "Snapshot":
        """Version 0: the priors, before the first lesson."""
        return cls(0, State(untaught(priors[0]), untaught(priors[1])), priors)

    @property
    def encoder_version(self) -> int:
        """Version of the encoding that this model's weights mean."""
        return ENCODER_VERSION

    def forecast(
        self, contexts: Sequence[EncodedContext], burdens: Floats, messages: Hashes
    ) -> Forecast:
        """Score every user against a list of messages.

        `contexts` has N entries, `burdens` is (N,), `messages` is (K, A + 1), the same for all, or
        (N, K, A + 1).
        """
        hashes, values = _stacked(contexts)
        common = self._common(hashes, values, burdens)
        own = self._crossed(hashes, values, messages)
        total = common[:, :, None, :] + own
        return Forecast(
            click=total[:, 0, :, _CLICK],
            click_shared=np.sqrt(common[:, 1, _CLICK_VARIANCE]),
            click_own=np.sqrt(own[:, 1, :, _CLICK_VARIANCE]),
            unsubscribe=total[:, 0, :, _UNSUBSCRIBE],
            unsubscribe_deviation=np.sqrt(total[:, 1, :, _UNSUBSCRIBE_VARIANCE]),
        )

    def burden_effect(self, burdens: Floats, doubt: float = 0.0) -> Floats:
        """(2, B) what each burden adds to the logits of click and unsubscribe, whoever the user.

        `doubt` is how many standard deviations less than the mean says people are taken to tire of
        clicking and to be driven off.
        """
        features = np.stack(burden_features(burdens))
        variance = np.einsum("fb,hfg,gb->hb", features, self._covariances[:, 1:, 1:], features)
        tireless = np.array([[doubt], [-doubt]])
        return np.asarray(self._burden @ features + tireless * np.sqrt(variance))

    def effect(self, contexts: Sequence[EncodedContext], messages: Hashes) -> Floats:
        """(2, N, K) what these features add to the logits of click and unsubscribe.

        `messages` as in `forecast`. Neither the constant nor the burden nor what a message adds by
        itself is in it: logits are sums, so the effects of a context's parts add up.
        """
        hashes, values = _stacked(contexts)
        slots = common_slots(hashes)
        alone = np.matmul(values[:, None], self._table.take(slots, axis=0))[:, 0]
        n, k, columns = len(contexts), messages.shape[-2], messages.shape[-1]
        crossed = message_slots(hashes, messages if messages.ndim == 2 else messages[:, None])
        weights = self._table.take(crossed[:, 1:].reshape(n, values.shape[1], k * columns), axis=0)
        own = np.matmul(values[:, None], weights.reshape(n, values.shape[1], k * columns * 4))
        factors = message_values(messages)[..., None, :]
        both = np.matmul(factors, own.reshape(n, k, columns, 4))[:, :, 0] + alone[:, None]
        return np.asarray(both[..., [_CLICK, _UNSUBSCRIBE]].transpose(2, 0, 1), np.float64)

    def _common(self, hashes: Hashes, values: Singles, burdens: Floats) -> Floats:
        """(N, 2, 4): sums of the common block; row 0 over values, row 1 over squared values."""
        more, bend = burden_features(burdens)
        extra = np.stack([np.ones_like(burdens), more, bend], axis=1)
        powers = np.concatenate([extra.astype(np.float32), values], axis=1)
        fixed = np.broadcast_to(np.array([CONSTANT, BURDEN, BURDEN_LOG]), (len(values), 3))
        slots = np.concatenate([fixed, common_slots(hashes)], axis=1)
        weights = self._table.take(slots, axis=0)
        sums = np.matmul(np.stack([powers, powers**2], axis=1), weights).astype(np.float64)
        variances = np.einsum("nf,hfg,ng->nh", extra, self._covariances, extra)
        sums[:, 1, [_CLICK_VARIANCE, _UNSUBSCRIBE_VARIANCE]] += variances
        return np.asarray(sums)

    def _crossed(self, hashes: Hashes, values: Singles, messages: Hashes) -> Floats:
        """(N, 2, K, 4): sums of the attribute and message blocks."""
        slots = message_slots(hashes, messages if messages.ndim == 2 else messages[:, None])
        n, rows, k, columns = slots.shape
        weights = self._table.take(slots.reshape(n, rows, -1), axis=0)
        powers = np.concatenate([np.ones((n, 1), np.float32), values], axis=1)
        sums = np.matmul(
            np.stack([powers, powers**2], axis=1), weights.reshape(n, rows, k * columns * 4)
        )
        own = message_values(messages)
        factors = np.stack([own, own**2], axis=-3)[..., None, :]
        sums = np.matmul(factors, sums.reshape(n, 2, k, columns, 4))[..., 0, :]
        return np.asarray(sums, np.float64)


def _stacked(contexts: Sequence[EncodedContext]) -> tuple[Hashes, Singles]:
    """(N, C) hashes and values; shorter contexts are padded with features of value 0."""
    if len(contexts) == 1:
        return contexts[0].hashes[None], contexts[0].values[None]
    width = max((context.hashes.size for context in contexts), default=0)
    hashes = np.zeros((len(contexts), width), np.uint64)
    values = np.zeros((len(contexts), width), np.float32)
    for row, context in enumerate(contexts):
        hashes[row, : context.hashes.size] = context.hashes
        values[row, : context.values.size] = context.values
    return hashes, values


def features(context: EncodedContext, burden: float, message: Hashes) -> tuple[Slots, Singles]:
    """Slots and values of one context, burden and message: what a head learns from.

    `message` is (A + 1,). First come the constant and the burden's two, the order of the rest is of
    no consequence; the set is exactly what is scored.
    """
    crossed = message_slots(context.hashes, message[None])[:, 0, :]
    values = np.concatenate([np.ones(1, np.float32), context.values])
    spread = values[:, None] * message_values(message)
    real = crossed != PAD
    fixed = np.array([CONSTANT, BURDEN, BURDEN_LOG])
    first = np.array([1.0, *burden_features(np.array(burden))], np.float32)
    slots = np.concatenate([fixed, common_slots(context.hashes), crossed[real]])
    return slots, np.concatenate([first, context.values, spread[real]])


def to_bytes(state: State) -> bytes:
    """A state as an immutable blob: header, arrays, checksum."""
    header = {
        "format": FORMAT,
        "encoder_version": ENCODER_VERSION,
        "scales": {
            k: [s.count, s.mean, s.squares, *s.first] for k, s in state.encoder.scales.items()
        },
        "keys": dict(state.encoder.keys),
        "contexts": state.encoder.contexts,
        "squared_length": state.encoder.squared_length,
        "delays": [state.delays.click.to_json(), state.delays.unsubscribe.to_json()],
        "until": state.until,
        "baselines": [
            [head.baseline.mean.tolist(), head.baseline.covariance.tolist()]
            for head in (state.click, state.unsubscribe)
        ],
        "slots": [state.click.slots.size, state.unsubscribe.slots.size],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    parts = [len(text).to_bytes(4, "little"), text, np.packbits(state.encoder.seen).tobytes()]
    for head in (state.click, state.unsubscribe):
        parts += [head.slots.astype("<i4").tobytes(), head.columns.astype("<f4").tobytes()]
    body = b"".join(parts)
    return body + hashlib.sha256(body).digest()


def from_bytes(blob: bytes) -> State:
    """The state in a blob; `ModelFormatError` when it is damaged or of another format."""
    body, digest = blob[:-32], blob[-32:]
    if hashlib.sha256(body).digest() != digest:
        raise ModelFormatError(
            f"a model of {len(blob)} bytes does not match its checksum; "
            "expected it unchanged since it was written: publish it again"
        )
    size = int.from_bytes(body[:4], "little")
    try:
        header = json.loads(body[4 : 4 + size])
        found = header["format"], header["encoder_version"]
        if found == (FORMAT, ENCODER_VERSION):
            return _parsed(header, body[4 + size :])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFormatError(
            f"{len(blob)} bytes are sound but no model ({type(error).__name__}: {error}); "
            f"expected one of format {FORMAT}: give the blob of a published model"
        ) from error
    raise ModelFormatError(
        f"a model has format {found[0]}, encoder {found[1]}; this release reads format {FORMAT}, "
        f"encoder {ENCODER_VERSION}: use the release that wrote it, or start with an empty data "
        "directory"
    )


def _parsed(header: dict[str, Any], rest: bytes) -> State:
    mask = (SLOTS + 8) // 8
    seen = np.unpackbits(np.frombuffer(rest[:mask], np.uint8), count=SLOTS + 1).astype(np.bool_)
    heads, start = [], mask
    for size, baseline in zip(header["slots"], header["baselines"], strict=True):
        mean = np.array(baseline[0], np.float64).reshape(RESERVED)
        covariance = np.array(baseline[1], np.float64).reshape(RESERVED, RESERVED)
        slots = np.frombuffer(rest, "<i4", size, start).astype(np.int64)
        columns = np.frombuffer(rest, "<f4", 2 * size, start + 4 * size).reshape(size, 2)
        inside = ((slots >= 0) & (slots < SLOTS)).all()
        finite = all(np.isfinite(part).all() for part in (mean, covariance, columns))
        positive = (columns[:, 1] > 0).all() and (np.diag(covariance) > 0).all()
        if not (inside and finite and positive):
            raise ModelFormatError(
                "a model holds weights that are not finite, precisions that are not positive or "
                "slots outside the table; nothing was loaded: go back to the version before it"
            )
        heads.append(Learned(slots, columns.astype(np.float32), Baseline(mean, covariance)))
        start += 12 * size
    scales = {
        key: Scale(count, mean, squares, tuple(first))
        for key, (count, mean, squares, *first) in header["scales"].items()
    }
    encoder = EncoderState(
        scales,
        header["keys"],
        header["contexts"],
        header["squared_length"],
        seen,
    )
    delays = DelayLaws(*(DelayLaw.from_json(law) for law in header["delays"]))
    return State(heads[0], heads[1], encoder, delays, header["until"])
