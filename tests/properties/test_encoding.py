"""A context becomes features: bounded, the same in any order, blind to nothing it should see."""

import math
from collections.abc import Iterable
from functools import reduce
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog import Catalog, Message
from engine.context import (
    CLIP,
    KNOWN_AFTER,
    REMEMBERED,
    SCALED_AFTER,
    SLOTS,
    WARN_USE,
    EncodedContext,
    EncoderLearner,
    EncoderState,
    Scale,
    check_context,
    common_slots,
    name_hash,
)
from engine.decision import Context, Value
from engine.errors import BadInput
from engine.learning import Priors
from engine.snapshot import Snapshot
from tests.unit.engine.models import cold_deviation, learned_encoder

values = st.one_of(st.booleans(), st.text(max_size=5), st.floats(-1e9, 1e9))
contexts = st.dictionaries(st.sampled_from("abcdefgh"), values, max_size=8)
histories = st.lists(contexts, max_size=50)


def names(encoded: EncodedContext, *candidates: str) -> list[str]:
    """Which of these features an encoding has."""
    return [name for name in candidates if name_hash(name) in encoded.hashes]


def value_of(encoded: EncodedContext, name: str) -> float:
    """Value of a feature; 0 where it is not."""
    return float(encoded.values[encoded.hashes == np.uint64(name_hash(name))].sum())


@settings(max_examples=80, deadline=None)
@given(histories, contexts, st.randoms(use_true_random=False))
def test_the_order_of_the_keys_does_not_change_the_features(
    history: list[Context], context: dict[str, Value], random: Random
) -> None:
    state = learned_encoder(history)
    items = list(context.items())
    random.shuffle(items)
    one, other = state.encode(context), state.encode(dict(items))
    by_hash, by_other = np.argsort(one.hashes), np.argsort(other.hashes)
    assert np.array_equal(one.hashes[by_hash], other.hashes[by_other])
    assert np.allclose(one.values[by_hash], other.values[by_other], rtol=1e-6)


@settings(max_examples=80, deadline=None)
@given(histories, contexts)
def test_every_feature_is_bounded_and_none_is_nought(
    history: list[Context], context: dict[str, Value]
) -> None:
    encoded = learned_encoder(history).encode(context)
    assert encoded.hashes.shape == encoded.values.shape
    assert np.all((0 < np.abs(encoded.values)) & (np.abs(encoded.values) <= CLIP))


def test_a_number_is_measured_in_deviations_from_its_mean_and_clipped() -> None:
    """1, 2, ..., 11: mean 6, deviation sqrt(110 / 10) = 3.32; 8 is 0.60 of them above."""
    scale = Scale()
    for value in range(1, 12):
        scale = scale.with_value(float(value))
    assert math.isclose(2 / math.sqrt(11.0), scale.standardised(8.0))
    assert 0.0 == scale.standardised(6.0)
    assert (CLIP, -CLIP) == (scale.standardised(10_000.0), scale.standardised(-10_000.0))


def test_a_number_says_nothing_before_its_scale_is_known() -> None:
    assert 0 == learned_encoder([{"x": 5.0}] * 9).encode({"x": 10_000.0}).hashes.size


def test_a_flag_is_centred_like_any_number() -> None:
    """True in a quarter of 100 contexts: deviation 0.435, so 1.72 against -0.57."""
    state = learned_encoder([{"vip": i % 4 == 0} for i in range(100)])
    yes, no = (value_of(state.encode({"vip": vip}), "vip#") for vip in (True, False))
    assert (1.72, -0.57) == (round(yes, 2), round(no, 2))


def test_one_absurd_number_does_not_take_a_scale_from_everybody() -> None:
    """Plain Welford would put the deviation at 1e15 / sqrt(1001) = 3e13, everyone else at 0."""
    usual = [{"x": float(i % 21 - 10)} for i in range(1000)]
    state = learned_encoder([*usual, {"x": 1e15}])
    assert value_of(state.encode({"x": 10.0}), "x#") > 1.0


def scale_of(numbers: Iterable[float]) -> Scale:
    return reduce(Scale.with_value, numbers, Scale())


@pytest.mark.parametrize("place", [0, 5, 9, 10])
def test_nor_does_one_among_the_first(place: int) -> None:
    """A stray counts as 100 usual distances, of about a deviation: its square of 100^2 among 10,000
    doubles the variance, so the deviation of 10 is 14 by then; plain Welford's would be 1e10.
    """
    usual = np.random.default_rng(2).normal(50.0, 10.0, 10_000).tolist()
    scale = scale_of([*usual[:place], 1e12, *usual[place:]])
    assert 9.0 < scale.deviation < 17.0
    assert abs(scale.mean - 50.0) < 1.0


def test_a_stray_after_a_constant_fades() -> None:
    """1e6 after 20 zeros, then 10 to either side of 50: no distance told it from a new scale.

    After 10,000 values it makes a variance of 1e12 / 1e4 = 1e8; 140,000 later e^-14 of that is
    left: 83, beside the 100 of the stream. Plain Welford's deviation would be 2,600 by then.
    """
    rng = np.random.default_rng(3)
    scale = scale_of([*[0.0] * 20, 1e6, *rng.normal(50.0, 10.0, 150_000).tolist()])
    assert 9.0 < scale.deviation < 20.0
    assert abs(scale.mean - 50.0) < 2.0


def welford(values: list[float]) -> tuple[float, float]:
    """Mean and deviation, values clipped at 10 deviations from the eleventh on; written anew."""
    mean = squares = deviation = 0.0
    for count, value in enumerate(values, start=1):
        reach = 10.0 * deviation if deviation else math.inf
        clipped = max(mean - reach, min(mean + reach, value))
        before, mean = mean, mean + (clipped - mean) / count
        squares += (clipped - before) * (clipped - mean)
        deviation = math.sqrt(squares / (count - 1)) if count >= SCALED_AFTER else 0.0
    return mean, deviation


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([9, 10, 11, 500, REMEMBERED]))
def test_strays_and_fading_cost_ordinary_streams_nothing(seed: int, size: int) -> None:
    """Normal, even, skewed and yes-or-no numbers: to the last bit what plain Welford makes."""
    rng = np.random.default_rng(seed)
    streams = (
        rng.normal(50.0, 10.0, size),
        rng.uniform(-1.0, 1.0, size),
        rng.exponential(30.0, size),
        (rng.random(size) < 0.1).astype(float),
    )
    for stream in streams:
        scale = scale_of(stream.tolist())
        assert welford(stream.tolist()) == (scale.mean, scale.deviation)


def test_what_is_missing_is_a_feature_once_its_key_is_known() -> None:
    before = learned_encoder([{"x": 1.0}] * (KNOWN_AFTER - 1))
    after = learned_encoder([{"x": 1.0}] * KNOWN_AFTER)
    assert [] == names(before.encode({}), "x?missing")
    assert ["x?missing"] == names(after.encode({}), "x?missing")
    assert [] == names(after.encode({"x": 1.0}), "x?missing")


def test_a_key_that_hardly_anybody_has_is_not_missed() -> None:
    state = learned_encoder([{"rare": 1.0}] * 40 + [{"x": 1.0}] * 400)
    assert [] == names(state.encode({"x": 1.0}), "rare?missing")


def test_an_unseen_value_is_a_feature_once_its_key_is_known() -> None:
    seen = ("DE", "FR")
    before = learned_encoder([{"country": seen[i % 2]} for i in range(KNOWN_AFTER - 1)])
    after = learned_encoder([{"country": seen[i % 2]} for i in range(KNOWN_AFTER)])
    assert [] == names(before.encode({"country": "IT"}), "country?unseen")
    assert ["country?unseen"] == names(after.encode({"country": "IT"}), "country?unseen")
    assert [] == names(after.encode({"country": "FR"}), "country?unseen")


@pytest.mark.parametrize("size", [3, 30, 90])
@pytest.mark.parametrize("trained", [0, 1000])
def test_a_cold_logit_has_the_same_deviation_whatever_a_sender_knows(
    size: int, trained: int
) -> None:
    """An untried message, over contexts of few and many facts: between 0.7 and 1.8 logits.

    A single context may lie further out, by the clip: 9 times the typical squared length of 4
    gives sqrt((1 + 36) (1 common + 1 attribute + 1 message) / 10) = 3.33.
    """
    rng = np.random.default_rng(size)

    def context() -> Context:
        numbers = {f"n{i}": float(rng.normal(50.0, 20.0)) for i in range(size // 3)}
        flags = {f"b{i}": bool(rng.random() < 0.2) for i in range(size // 3)}
        labels = {f"s{i}": f"v{rng.integers(5)}" for i in range(size - 2 * (size // 3))}
        return {**numbers, **flags, **labels}

    state = learned_encoder([context() for _ in range(trained)])
    deviations = np.array([cold_deviation(state, context()) for _ in range(50)])
    assert 0.7 < np.sqrt(np.mean(deviations**2)) < 1.8
    assert np.all((0.5 < deviations) & (deviations < 3.34))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0, 32),
    st.integers(0, 16),
    st.sampled_from([0, 300]),
    st.floats(0.0, 1.0),
    st.floats(0.5, 1.0),
)
def test_a_cold_logit_is_as_wide_however_much_is_known_of_users_and_messages(
    facts: int, attributes: int, trained: int, numbers: float, present: float
) -> None:
    """A typical user, a message nobody was sent: between 0.8 and 1.6 logits, as designed.

    Nothing known: 1 for the constant, 1/64 for the id: sqrt(1.016) = 1.01. Contexts at their full
    squared length of 4, any attributes: sqrt(1 + 4/4 + (1 + 4)/16 + (1 + 4)/64) = 1.55.
    """
    rng = np.random.default_rng([facts, attributes, trained])
    kinds = rng.random(facts) < numbers

    def context() -> Context:
        return {
            f"f{i}": float(rng.normal(50.0, 20.0)) if number else f"v{rng.integers(3)}"
            for i, number in enumerate(kinds.tolist())
            if rng.random() < present
        }

    state = learned_encoder([context() for _ in range(trained)])
    prior = Priors().click
    labels = {f"a{j}": "x" for j in range(attributes)}
    message = Catalog(1, {"new": Message(id="new", attributes=labels)}).hashes(np.zeros(1, int))
    users = [state.encode(context()) for _ in range(200)]
    forecast = Snapshot.cold((prior, prior)).forecast(users, np.zeros(200), message)
    variance = forecast.click_shared**2 + forecast.click_own[:, 0] ** 2
    assert 0.8 < np.sqrt(variance.mean()) < 1.6


@pytest.mark.parametrize("size", [1, 30, 90])
def test_a_raw_ten_thousand_does_not_flood_an_untried_message(size: int) -> None:
    """Unscaled, one such number in a cross would be a prior of 10,000 / sqrt(10) = 3,162 logits."""
    rng = np.random.default_rng(size)
    keys = [f"n{i}" for i in range(size)]
    state = learned_encoder([{key: float(rng.normal()) for key in keys} for _ in range(300)])
    for wild in (10_000.0, -1e15):
        assert 0.7 < cold_deviation(state, dict.fromkeys(keys, wild)) < 3.34
        assert 0.5 < cold_deviation(EncoderState(), dict.fromkeys(keys, wild)) < 1.8


def test_a_thousand_keys_that_few_have_do_not_flood_either() -> None:
    """Each key in 1 of 100 contexts: 999 absences, as features, are sqrt(3 * 1000 / 10) = 17."""
    history = [{f"k{100 * j + i % 100}": "x" for j in range(10)} for i in range(4000)]
    assert 0.5 < cold_deviation(learned_encoder(history), {"k5": "x"}) < 1.8


@given(st.integers(0, 300))
def test_use_is_the_share_of_slots_that_lessons_touched(touched: int) -> None:
    learner = EncoderLearner()
    learner.learn_slots(np.arange(touched))
    learner.learn_slots(np.array([0, SLOTS]) if touched else np.array([SLOTS]))
    assert touched / SLOTS == learner.state().use


def test_the_warning_comes_at_a_quarter() -> None:
    learner = EncoderLearner()
    learner.learn_slots(np.arange(SLOTS // 4))
    assert WARN_USE == learner.state().use


def test_a_hashed_feature_never_falls_on_the_constant_or_the_burden() -> None:
    slots = common_slots(np.random.default_rng(0).integers(0, 2**63, 500_000, np.uint64))
    assert 3 == slots.min()


@given(contexts)
def test_numbers_strings_and_booleans_are_a_context(context: dict[str, Value]) -> None:
    check_context(context)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, None, [1.0], {"a": 1}, b"x", 10**400, 1e300],
    ids=["nan", "inf", "-inf", "none", "list", "object", "bytes", "whole", "huge"],
)
def test_anything_else_is_refused_with_one_sentence_that_names_the_key(value: object) -> None:
    with pytest.raises(BadInput, match=r"context key 'tenure' .*; expected .*leave") as refusal:
        check_context({"ok": 1.0, "tenure": value})
    assert len(str(refusal.value)) < 250
