"""A snapshot scores as the heads do, and a blob is the state it was made of or it is refused."""

import hashlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from engine.context import (
    CONSTANT,
    RESERVED,
    EncodedContext,
    Hashes,
    Scale,
    Singles,
    message_values,
)
from engine.decision import Floats
from engine.errors import ModelFormatError
from engine.learning import Learner, Lesson, Priors
from engine.response import Baseline, Head, Learned, Prior, untaught
from engine.snapshot import Snapshot, State, features, from_bytes, to_bytes
from tests.unit.engine.models import CATALOG, random_context, random_lesson, taught

PRIORS = Priors()
LEARNED = taught(seed=1, lessons=600)
STATE = LEARNED.state()
SNAPSHOT = LEARNED.snapshot(1)
ALL = CATALOG.hashes(np.arange(len(CATALOG.messages)))
seeds = st.integers(0, 2**32 - 1)


def loaded(prior: Prior, state: State, head: str) -> Head:
    """VW itself, with a head's learned columns."""
    vw = Head(prior)
    vw.load(getattr(state, head))
    return vw


NOTHING = untaught(PRIORS.click)
CLICK = loaded(PRIORS.click, STATE, "click")
UNSUBSCRIBE = loaded(PRIORS.unsubscribe, STATE, "unsubscribe")


def asked(seed: int) -> tuple[EncodedContext, float]:
    """A random context as the model encodes it, and a burden."""
    rng = np.random.default_rng(seed)
    burden = 0.0 if rng.random() < 0.2 else float(rng.exponential(2.0))
    return SNAPSHOT.encoder.encode(random_context(rng)), burden


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_scores_are_those_of_vw_to_float32_rounding(seed: int) -> None:
    """A sum of 60 float32 terms of order 1 is good to about 60 * 6e-8 = 4e-6."""
    context, burden = asked(seed)
    forecast = SNAPSHOT.forecast([context], np.array([burden]), ALL)
    for k, message in enumerate(ALL):
        slots, values = features(context, burden, message)
        assert abs(CLICK.logit(slots, values) - forecast.click[0, k]) < 1e-5
        assert abs(UNSUBSCRIBE.logit(slots, values) - forecast.unsubscribe[0, k]) < 1e-5


def _baseline_variances(baseline: Baseline, values: Singles) -> Floats:
    """(3,) that sum to x' C x."""
    x = values[:RESERVED].astype(float)
    return np.asarray(x * (baseline.covariance @ x))


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_variances_are_sums_of_squared_values_over_precisions(seed: int) -> None:
    """Shared: the common block. Own: attributes and message. Together: every feature.

    But for the first three, whose covariance is known: x' C x.
    """
    context, burden = asked(seed)
    forecast = SNAPSHOT.forecast([context], np.array([burden]), ALL)
    click, unsubscribe = CLICK.columns()[:, 1], UNSUBSCRIBE.columns()[:, 1]
    for k, message in enumerate(ALL):
        slots, values = features(context, burden, message)
        common = RESERVED + context.hashes.size
        parts = values.astype(float) ** 2 / click[slots]
        parts[:RESERVED] = _baseline_variances(STATE.click.baseline, values)
        assert np.isclose(parts[:common].sum(), forecast.click_shared[0] ** 2, rtol=1e-5)
        assert np.isclose(parts[common:].sum(), forecast.click_own[0, k] ** 2, rtol=1e-5)
        parts = values.astype(float) ** 2 / unsubscribe[slots]
        parts[:RESERVED] = _baseline_variances(STATE.unsubscribe.baseline, values)
        whole = parts.sum()
        assert np.isclose(whole, forecast.unsubscribe_deviation[0, k] ** 2, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(seeds, min_size=2, max_size=12), seeds)
def test_a_ragged_batch_is_scored_like_its_users_one_by_one(several: list[int], seed: int) -> None:
    users = [asked(each) for each in several]
    rows = np.random.default_rng(seed).integers(0, len(ALL), (len(users), 5))
    burdens = np.array([burden for _, burden in users])
    together = SNAPSHOT.forecast([context for context, _ in users], burdens, CATALOG.hashes(rows))
    for i, (context, burden) in enumerate(users):
        alone = SNAPSHOT.forecast([context], np.array([burden]), CATALOG.hashes(rows[i]))
        for name in ("click", "click_shared", "click_own", "unsubscribe", "unsubscribe_deviation"):
            expected, actual = getattr(alone, name)[0], getattr(together, name)[i]
            assert np.allclose(expected, actual, rtol=0.0, atol=1e-5)


def test_a_batch_that_shares_its_messages_may_name_them_once() -> None:
    users = [asked(seed) for seed in range(4)]
    contexts, burdens = [context for context, _ in users], np.array([b for _, b in users])
    once = SNAPSHOT.forecast(contexts, burdens, ALL)
    each = SNAPSHOT.forecast(contexts, burdens, np.repeat(ALL[None], 4, axis=0))
    assert np.allclose(once.click, each.click, atol=1e-6)
    assert np.allclose(once.click_own, each.click_own, atol=1e-6)


def test_nobody_known_and_nothing_offered_are_scored_too() -> None:
    empty = SNAPSHOT.encoder.encode({})
    assert (1, 0) == SNAPSHOT.forecast([empty], np.zeros(1), ALL[:0]).click.shape
    assert (2, 4) == SNAPSHOT.forecast([empty, empty], np.zeros(2), ALL).click.shape


def test_before_the_first_lesson_everything_is_the_base_rate() -> None:
    """Sigmoid of the constant alone: 2% clicks, 0.2% unsubscribes."""
    cold = Snapshot.cold((PRIORS.click, PRIORS.unsubscribe))
    forecast = cold.forecast([cold.encoder.encode({"country": "DE"})], np.ones(1), ALL)
    assert np.allclose(0.02, expit(forecast.click), rtol=1e-5)
    assert np.allclose(0.002, expit(forecast.unsubscribe), rtol=1e-5)


def test_a_snapshot_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        SNAPSHOT._table[0, 0] = 1.0


@settings(max_examples=30, deadline=None)
@given(
    seeds,
    st.sampled_from([0, 1]),
    st.sampled_from([PRIORS.click, Prior(0.1, attribute=0.0, message=0.0)]),
)
def test_features_of_value_nought_are_harmless(seed: int, label: int, prior: Prior) -> None:
    """Where the precision is 0 as well, VW's step would be 0 / 0, and the prediction no number."""
    context, burden = asked(seed)
    slots, values = features(context, burden, ALL[2])
    noughts = np.random.default_rng(seed).integers(0, 2**18, 5)
    with_noughts = (np.append(slots, noughts), np.append(values, np.zeros(5, np.float32)))
    plain, padded = Head(prior), Head(prior)
    plain.learn(slots, values, label, 1.0)
    padded.learn(*with_noughts, label, 1.0)
    assert np.array_equal(plain.columns(), padded.columns())
    assert plain.logit(slots, values) == padded.logit(*with_noughts)


def test_the_constant_takes_steps_that_float32_cannot_add() -> None:
    """Precision 10,000, as after 5 million lessons at a rate of 0.002: a silence is a step of
    p / G = 2e-7 where float32 numbers near -6.2 lie 4.8e-7 apart. A thousand silences move the
    weight by 1000 p / G = 2e-4, to a part in a thousand: p is nearly the same throughout.
    """
    prior = Prior(base_rate=0.002)
    head = Head(prior)
    covariance = np.diag([1.0 / 10_000.0, 1.0, 1.0])
    nothing = untaught(prior)
    head.load(replace(nothing, baseline=replace(nothing.baseline, covariance=covariance)))
    fixed, constant = np.arange(RESERVED), np.array([1.0, 0.0, 0.0], np.float32)
    for _ in range(1000):
        head.learn(fixed, constant, 0, 1.0)
    moved = prior.logit - head.learned().baseline.mean[CONSTANT]
    assert pytest.approx(1000 * 0.002 / 10_000, rel=1e-3) == moved


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_learned_is_every_slot_that_differs_from_the_prior(seed: int) -> None:
    """By comparing all 2^18 rows; forgetting everything leaves only weights behind."""
    head = loaded(PRIORS.click, taught(seed, 100).state(), "click")
    for kept in (1.0, 0.0):
        head.forget(kept)
        expected = np.flatnonzero((head.columns() != PRIORS.click.columns()).any(axis=1))
        learned = head.learned()
        assert np.array_equal(expected, learned.slots)
        assert np.array_equal(head.columns()[expected], learned.columns)
    assert np.array_equal(PRIORS.click.columns()[:, 1], head.columns()[:, 1])


def test_a_state_comes_back_from_its_bytes_as_it_was() -> None:
    back = from_bytes(to_bytes(STATE))
    for one, other in ((STATE.click, back.click), (STATE.unsubscribe, back.unsubscribe)):
        assert np.array_equal(one.slots, other.slots)
        assert np.array_equal(one.columns, other.columns)
        assert np.array_equal(one.baseline.mean, other.baseline.mean)
        assert np.array_equal(one.baseline.covariance, other.baseline.covariance)
    assert np.array_equal(STATE.encoder.seen, back.encoder.seen)
    assert STATE.encoder.use == back.encoder.use > 0
    for name in ("scales", "keys", "contexts", "squared_length"):
        assert getattr(STATE.encoder, name) == getattr(back.encoder, name)
    assert STATE.delays == back.delays
    assert to_bytes(STATE) == to_bytes(back)


def test_the_first_values_of_a_number_come_back_so_that_strays_among_them_are_found() -> None:
    """Stopped after 4 of 10 values, one of them a stray: the scale goes on as if it were not."""
    straight, first = Scale(), Scale()
    for value in (1.0, 1e12, 3.0, 4.0):
        straight, first = straight.with_value(value), first.with_value(value)
    encoder = replace(STATE.encoder, scales={"x": first})
    reloaded = from_bytes(to_bytes(replace(STATE, encoder=encoder))).encoder.scales["x"]
    for value in range(5, 30):
        straight, reloaded = straight.with_value(value), reloaded.with_value(value)
    assert straight == reloaded
    assert reloaded.deviation < 1000.0


def test_an_empty_state_comes_back_too() -> None:
    back = from_bytes(to_bytes(State(NOTHING, NOTHING)))
    assert (0, PRIORS.click.logit) == (back.click.slots.size, back.click.baseline.mean[CONSTANT])


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_reload_then_learn_equals_learn_without_reload_to_the_bit(seed: int) -> None:
    """200 lessons, then 200 more straight on, or in a new process that has only the bytes."""
    straight = taught(seed, 200)
    reloaded = Learner(PRIORS, from_bytes(to_bytes(straight.state())))
    rng = np.random.default_rng(seed + 100)
    encoder = straight.state().encoder
    for _ in range(200):
        lesson: Lesson = random_lesson(rng, encoder)
        straight.learn(lesson)
        reloaded.learn(lesson)
    assert to_bytes(straight.state()) == to_bytes(reloaded.state())


def small_blob() -> bytes:
    """The bytes of a state after one lesson."""
    return to_bytes(taught(9, 1).state())


BLOB = small_blob()


def refused(blob: bytes) -> str:
    """The sentence a blob is refused with."""
    with pytest.raises(ModelFormatError) as refusal:
        from_bytes(blob)
    sentence = str(refusal.value)
    assert "\n" not in sentence
    assert 20 < len(sentence) < 300
    return sentence


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
def test_a_blob_with_one_byte_changed_is_refused(place: int, flip: int) -> None:
    damaged = bytearray(BLOB)
    damaged[place] ^= flip
    assert "does not match its checksum" in refused(bytes(damaged))


@pytest.mark.parametrize("length", [0, 1, 4, 31, 32, 33, 36, 39, 40, 100, len(BLOB) - 1])
def test_a_blob_cut_short_is_refused(length: int) -> None:
    refused(BLOB[:length])


def sealed(body: bytes) -> bytes:
    """Bytes with a checksum that is right."""
    return body + hashlib.sha256(body).digest()


def with_header(**changes: object) -> bytes:
    """The small blob with other words in its header."""
    size = int.from_bytes(BLOB[:4], "little")
    header = {**json.loads(BLOB[4 : 4 + size]), **changes}
    text = json.dumps({k: v for k, v in header.items() if v is not None}).encode()
    return sealed(len(text).to_bytes(4, "little") + text + BLOB[4 + size : -32])


def with_weights(slot: int, weight: float, precision: float) -> bytes:
    """A sound blob whose one weight is this."""
    column = (np.array([slot]), np.array([[weight, precision]], np.float32))
    return to_bytes(State(Learned(*column, NOTHING.baseline), NOTHING))


def with_baseline(constant: float, variance: float) -> bytes:
    """A sound blob whose constant is this."""
    baseline = Baseline(np.array([constant, 0.0, 0.0]), np.diag([variance, 1.0, 1.0]))
    return to_bytes(State(replace(NOTHING, baseline=baseline), NOTHING))


@pytest.mark.parametrize(
    ("blob", "because"),
    [
        (sealed(b""), "no model"),
        (sealed(b"\x02\x00\x00\x00{}"), "no model"),
        (sealed(b"\xff\xff\xff\xff" + bytes(range(256))), "no model"),
        (with_header(format=2), "has format 2"),
        (with_header(encoder_version=7), "encoder 7"),
        (with_header(delays=None), "no model"),
        (with_header(slots=[10**6, 0]), "no model"),
        (with_header(baselines=[[0.0, 1.0]]), "no model"),
        (with_header(scales={"x": 1}), "no model"),
        (with_weights(5, float("nan"), 1.0), "not finite"),
        (with_baseline(math.inf, 1.0), "not finite"),
        (with_baseline(0.0, 0.0), "not positive"),
        (with_weights(5, 0.0, 0.0), "not positive"),
        (with_weights(2**18, 0.0, 1.0), "outside the table"),
        (with_weights(-1, 0.0, 1.0), "outside the table"),
    ],
)
def test_sound_bytes_that_are_no_model_of_this_format_are_refused(
    blob: bytes, because: str
) -> None:
    assert because in refused(blob)


def test_a_message_teaches_exactly_the_features_that_score_it() -> None:
    """Constant, burden twice, C of context, then (C + 1) for each attribute and the id."""
    context, burden = asked(11)
    rich: Hashes = ALL[2]
    slots, values = features(context, burden, rich)
    size = context.hashes.size
    assert 3 + size + 4 * (size + 1) == slots.size == values.size
    plain, _ = features(context, burden, ALL[0])
    assert 3 + size + (size + 1) == plain.size


def test_the_attributes_of_a_message_share_one_unit_of_squared_length() -> None:
    """Three attributes are 1 / sqrt(3) each, one is 1, and the id is 1 whatever they are."""
    third = 1.0 / np.sqrt(3.0)
    expected = [[1, 1, 1, 1], [1, 1, 1, 1], [third, third, third, 1], [1, 1, 1, 1]]
    real = ALL != 0
    assert np.allclose(np.array(expected)[real], message_values(ALL)[real])
    slots, values = features(EncodedContext(ALL[0, :0], np.zeros(0, np.float32)), 0.0, ALL[2])
    assert np.allclose([third, third, third, 1.0], values[3:])
    assert 7 == slots.size


@pytest.mark.parametrize("shared", [True, False])
def test_an_effect_is_what_its_features_add_to_the_logits(*, shared: bool) -> None:
    """Two contexts' forecasts differ by the difference of their effects."""
    users = [asked(seed)[0] for seed in (1, 2, 3)]
    messages = ALL if shared else np.repeat(ALL[None], 3, axis=0)
    forecast = SNAPSHOT.forecast(users, np.ones(3), messages)
    effect = SNAPSHOT.effect(users, messages)
    for head, logit in enumerate((forecast.click, forecast.unsubscribe)):
        assert np.allclose(logit[0] - logit[1:], effect[head, 0] - effect[head, 1:], atol=1e-5)
