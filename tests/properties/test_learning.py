"""What is learned does not depend on which outcome is reported sooner."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Generator
from scipy.special import expit, ndtri

from engine.context import CONSTANT, EncoderLearner, EncoderState, texts
from engine.decision import Floats
from engine.learning import Learner, Lesson, Priors, teaching
from engine.outcome import (
    MASSES,
    TRUSTED_AFTER,
    DelayLaw,
    Slice,
    Windows,
    slices,
    waits,
)
from engine.response import Prior
from engine.snapshot import to_bytes
from tests.unit.engine.models import random_context, random_lesson, taught


def after(law: DelayLaw, delays: Floats) -> DelayLaw:
    """The law after these outcomes."""
    for delay in delays:
        law = law.with_delay(float(delay))
    return law


WINDOWS = Windows()
LAW = DelayLaw()
MEASURED = after(LAW, LAW.median * np.exp(LAW.spread * ndtri((np.arange(1000) + 0.5) / 1000)))
"""1,000 outcomes have come as `LAW` believes."""
NOBODY = np.zeros((1, 1), np.uint64)
"""One message without attribute or id."""
NOTHING = teaching(EncoderState().encode({}), {}, 0.0, NOBODY[0])
"""Teaches the constant alone: a Bernoulli outcome, which the head then averages."""


def rate(learner: Learner) -> float:
    """The click probability that the taught decision now has."""
    snapshot = learner.snapshot(1)
    context = snapshot.encoder.encode({})
    forecast = snapshot.forecast([context], np.zeros(1), NOBODY)
    return float(expit(forecast.click[0, 0]))


def outcomes(p: float, size: int, rng: Generator) -> Floats:
    """(size,) delay of each decision's click, infinite for none; exactly p * size clicks.

    Log-normal delays inside the window, as `LAW` believes: the clicks that can come in time.
    """
    delays = np.full(size, np.inf)
    clicks = round(p * size)
    drawn = LAW.median * np.exp(LAW.spread * rng.standard_normal(4 * clicks))
    delays[:clicks] = drawn[drawn < WINDOWS.click][:clicks]
    return rng.permutation(delays)


def lessons_in_slices(
    pieces: Sequence[Slice], delays: Floats, apart: float, *, told: bool = True
) -> list[Lesson]:
    """Of decisions `apart` seconds from each other, in order of time.

    A click is taught with the next of its slices, as the engine has it. `told`: whether its lesson
    says what was taught of its negative before it.
    """
    lessons: list[tuple[float, int, float, float]] = []
    for number, delay in enumerate(delays):
        at = apart * number
        before = [piece for piece in pieces if piece.due <= delay]
        lessons += [(at + piece.due, 0, piece.mass, 0.0) for piece in before]
        if delay < np.inf:
            mass = sum(piece.mass for piece in before)
            due = pieces[len(before)].due if waits(pieces, delay) else float(delay)
            lessons.append((at + due, 1, 1.0, mass if told else 0.0))
    return [
        Lesson("click", label, weight, mass, 0.0, first=False, teaching=NOTHING)
        for _, label, weight, mass in sorted(lessons, key=lambda lesson: lesson[0])
    ]


def learned_in_slices(p: float, size: int, *, told: bool = True) -> float:
    """Rate learned from `size` decisions, one a minute, exactly p of which bring a click."""
    learner = Learner(Priors(click=Prior(base_rate=p, common=1.0, message=1.0)))
    delays = outcomes(p, size, np.random.default_rng(7))
    pieces = slices(0.0, "click", MEASURED, WINDOWS)
    for lesson in lessons_in_slices(pieces, delays, 60.0, told=told):
        learner.learn(lesson)
    return rate(learner)


@pytest.mark.parametrize(("p", "size"), [(0.3, 4000), (0.05, 8000), (0.005, 16_000)])
def test_negatives_in_slices_leave_the_rate_unbiased(p: float, size: int) -> None:
    """1,200, 400 and 80 clicks, exactly p of the decisions: what is left is not chance.

    The last day's silences are taught out, so nothing is pending either.
    """
    assert abs(learned_in_slices(p, size) / p - 1.0) < 0.03


def test_without_the_correction_slices_bias_a_frequent_outcome_down() -> None:
    """A click has met 0.5 of its negative with probability 0.3, 0.8 with 0.15, 0.95 with 0.05.

    That is 0.32 on average, so 0.3 becomes 0.3 / (1 + 0.3 * 0.32) = 0.274, 9% too low.
    """
    assert 0.06 < 1.0 - learned_in_slices(0.3, 4000, told=False) / 0.3 < 0.12


@pytest.mark.parametrize(("law", "least", "most"), [(LAW, 0.25, 0.35), (MEASURED, 0.4, 1.0)])
def test_a_first_batch_is_not_misread_when_its_clicks_are_slow(
    law: DelayLaw, least: float, most: float
) -> None:
    """300 sends of one moment, 90 clicks evenly over the day; by a law of two hours they come late.

    A law that was measured elsewhere misreads them: its early slices are all silence, taught while
    the forecast is low and silence says little. A law that is only believed must not.
    """
    delays = np.full(300, np.inf)
    delays[:90] = np.linspace(0.0, WINDOWS.click, 92)[1:-1]
    delays = np.random.default_rng(7).permutation(delays)
    learner = Learner(Priors())
    for lesson in lessons_in_slices(slices(0.0, "click", law, WINDOWS), delays, 0.0):
        learner.learn(lesson)
    assert least < rate(learner) < most


def test_a_late_click_outweighs_what_was_taught_against_it() -> None:
    """Weight 1 + 0.8 p / (1 - p) = 1.2 at p = 0.2, so 1.2 p (1 - p) = 0.192 joins the precision."""
    learner = Learner(Priors(click=Prior(base_rate=0.2)))
    learner.learn(Lesson("click", 1, 1.0, 0.8, 0.0, first=False, teaching=NOTHING))
    variance = learner.state().click.baseline.covariance[CONSTANT, CONSTANT]
    assert pytest.approx(1.0 + 1.2 * 0.16) == 1.0 / variance


def test_nothing_taught_before_leaves_a_click_its_plain_weight() -> None:
    """1 + 0.16, as above."""
    learner = Learner(Priors(click=Prior(base_rate=0.2)))
    learner.learn(Lesson("click", 1, 1.0, 0.0, 0.0, first=False, teaching=NOTHING))
    variance = learner.state().click.baseline.covariance[CONSTANT, CONSTANT]
    assert pytest.approx(1.0 + 0.16) == 1.0 / variance


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_lessons_in_the_same_order_give_the_same_bits(seed: int) -> None:
    one, other = (to_bytes(taught(seed, 200).state()) for _ in range(2))
    assert one == other


def test_a_lesson_for_one_head_leaves_the_other_alone() -> None:
    learner = Learner(Priors())
    learner.learn(Lesson("unsubscribe", 1, 1.0, 0.0, 60.0, first=True, teaching=NOTHING))
    state, before = learner.state(), Learner(Priors()).state()
    assert np.array_equal(before.click.baseline.mean, state.click.baseline.mean)
    assert not np.array_equal(before.unsubscribe.baseline.mean, state.unsubscribe.baseline.mean)
    assert (0, 1) == (sum(state.delays.click.counts), sum(state.delays.unsubscribe.counts))


def test_a_context_is_counted_with_its_first_lesson_alone() -> None:
    learner = Learner(Priors())
    for first in (True, False, False):
        learner.learn(Lesson("click", 0, 0.5, 0.0, 60.0, first=first, teaching=NOTHING))
    assert 1 == learner.state().encoder.contexts


def test_a_state_taken_is_not_changed_by_later_lessons() -> None:
    learner = taught(4, 50)
    before = learner.state()
    blob = to_bytes(before)
    learner.learn(Lesson("click", 1, 1.0, 0.0, 60.0, first=True, teaching=NOTHING))
    assert blob == to_bytes(before) != to_bytes(learner.state())


def test_delays_are_believed_before_they_are_counted() -> None:
    """Prior: half within 2 h, 84.1% (one deviation) within 2 h * e^1.5 = 8.96 h."""
    law = after(LAW, np.full(TRUSTED_AFTER - 1, 60.0))
    assert abs(7200.0 - law.quantile(0.5)) < 1e-6
    assert abs(7200.0 * np.exp(1.5) - law.quantile(0.8413447)) < 1.0


def test_delays_are_counted_once_there_are_enough() -> None:
    """100 after a minute, 80 after an hour, 20 after a day; bins are 28% wide."""
    law = after(LAW, np.repeat([60.0, 3600.0, 86_400.0], [100, 80, 20]))
    for share, delay in ((0.5, 60.0), (0.8, 3600.0), (0.95, 86_400.0)):
        assert delay <= law.quantile(share) <= 1.29 * delay


@given(st.floats(0.0, 1e9))
def test_any_delay_is_counted_somewhere(delay: float) -> None:
    law = LAW.with_delay(delay)
    assert 1 == sum(law.counts)
    assert law == DelayLaw.from_json(law.to_json())


laws = st.one_of(
    st.builds(DelayLaw, st.floats(1.0, 1e7), st.floats(0.0, 4.0)),
    st.lists(st.floats(1.0, 1e7), min_size=1, max_size=5).map(
        lambda delays: after(LAW, np.repeat(delays, TRUSTED_AFTER))
    ),
)
windows = st.builds(Windows, st.floats(600.0, 1e6), st.floats(600.0, 1e6), st.floats(0.0, 600.0))


@settings(max_examples=200)
@given(laws, windows, st.sampled_from(["click", "unsubscribe"]), st.floats(0.0, 2e9))
def test_slices_are_a_whole_negative_between_the_grace_and_the_window_in_order(
    law: DelayLaw, windows: Windows, head: str, at: float
) -> None:
    pieces = slices(at, "click" if head == "click" else "unsubscribe", law, windows)
    due = [piece.due for piece in pieces]
    assert abs(1.0 - sum(piece.mass for piece in pieces)) < 1e-12
    assert due == sorted(set(due))
    assert due[0] >= at + windows.grace
    assert due[-1] == at + (windows.click if head == "click" else windows.unsubscribe)
    assert len(pieces) <= len(MASSES)


def test_a_click_and_its_silence_wait_for_each_other_until_the_law_is_measured() -> None:
    """95% of all clicks within 2 h * e^(1.645 * 1.5) = 23.6 h. An unsubscribe never waits."""
    pieces = slices(0.0, "click", LAW, WINDOWS)
    assert np.allclose([0.95, 0.05], [piece.mass for piece in pieces])
    assert abs(23.6 - pieces[0].due / 3600.0) < 0.1
    assert len(slices(0.0, "click", MEASURED, WINDOWS)) > len(pieces)
    assert len(MASSES) == len(slices(0.0, "unsubscribe", LAW, WINDOWS))


def test_slices_that_fall_due_together_are_one() -> None:
    """All come within ten seconds: every quantile falls in the grace of 600 s."""
    law = after(LAW, np.full(TRUSTED_AFTER, 10.0))
    pieces = slices(0.0, "click", law, Windows(click=86_400.0, grace=600.0))
    assert [600.0, 86_400.0] == [piece.due for piece in pieces]
    assert np.allclose([0.95, 0.05], [piece.mass for piece in pieces])


def test_the_first_batch_teaches_what_its_numbers_say() -> None:
    """400 decisions made before any scale was known; who has a 1 clicks, who has a 0 does not."""
    cold, learner = EncoderState(), Learner(Priors())
    for i in range(400):
        context = {"keen": float(i % 2)}
        told = teaching(cold.encode(context), context, 0.0, NOBODY[0])
        learner.learn(Lesson("click", i % 2, 1.0, 0.0, 0.0, first=True, teaching=told))
    snapshot = learner.snapshot(1)
    contexts = [snapshot.encoder.encode({"keen": keen}) for keen in (0.0, 1.0)]
    forecast = expit(snapshot.forecast(contexts, np.zeros(2), NOBODY).click[:, 0])
    assert forecast[0] < 0.1
    assert forecast[1] > 0.9


def test_a_lesson_is_encoded_as_its_context_is_scored_next() -> None:
    """Strings, numbers, flags and what is missing: the same features with the same values."""
    rng = np.random.default_rng(5)
    learner = Learner(Priors())
    for _ in range(300):
        learner.learn(random_lesson(rng, learner.state().encoder))
    state = learner.state().encoder
    for _ in range(50):
        context = random_context(rng)
        numbers = {k: float(v) for k, v in context.items() if not isinstance(v, str)}
        scored = state.encode(context)
        learned = EncoderLearner(state).encode(texts(scored, numbers), numbers)
        by_hash = dict(zip(learned.hashes.tolist(), learned.values.tolist(), strict=True))
        assert by_hash == pytest.approx(
            dict(zip(scored.hashes.tolist(), scored.values.tolist(), strict=True)), rel=1e-5
        )


def test_a_baseline_means_the_same_however_tired_the_users_of_later_lessons() -> None:
    """What is said of a burden hangs on weights alone, not on what burdens were met since."""
    learner = Learner(Priors())
    rng = np.random.default_rng(6)
    for i in range(200):
        told = teaching(EncoderState().encode({}), {}, float(i % 3), NOBODY[0])
        label = int(rng.random() < 0.4 / (1 + i % 3))
        learner.learn(Lesson("click", label, 1.0, 0.0, 0.0, first=True, teaching=told))
    tired = np.array([0.0, 1.0, 2.0])
    before = learner.snapshot(1).burden_effect(tired)
    told = teaching(EncoderState().encode({}), {}, 12.0, NOBODY[0])
    learner.learn(Lesson("unsubscribe", 0, 1e-9, 0.0, 0.0, first=True, teaching=told))
    assert np.allclose(before, learner.snapshot(2).burden_effect(tired), atol=1e-7)
