"""The law an action is drawn with: a law, the right one, and one that respects silence."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, ndtr

from engine.exploration import (
    SMALLEST,
    Explorer,
    InverseGap,
    Options,
    Thompson,
    as_logged,
    rounded,
    with_floor,
)
from tests.unit.engine.offers import as_drawn, offer, offers, permuted, together, with_rho
from tests.unit.engine.reference import by_monte_carlo, by_quadrature, noise, total_variation

FULL = Thompson(scale=1.0, haste=None)
GRID = 2.0**-22
explorers = st.sampled_from([FULL, Thompson(), InverseGap(), InverseGap(gamma=2000.0)])


def laws(size: int) -> st.SearchStrategy[list[float]]:
    """Probabilities of `size` messages; what is missing from 1 is silence's."""
    weight = st.one_of(st.just(0.0), st.floats(0.0, 0.01), st.floats(0.0, 1.0))
    weights = st.lists(weight, min_size=size + 1, max_size=size + 1)
    return weights.filter(lambda w: sum(w) > 1e-6).map(lambda w: [x / sum(w) for x in w[:size]])


@settings(max_examples=150, deadline=None)
@given(offers(), explorers)
def test_what_is_drawn_from_is_a_law_that_sums_to_one_without_rounding(
    options: Options, explorer: Explorer
) -> None:
    """Multiples of 2^-22 add up exactly, in float64 and as the float32 that is logged."""
    law, silence = as_drawn(explorer, options)
    whole = np.append(law[0], silence[0])
    assert np.all(whole >= 0.0)
    assert 1.0 == whole.sum() == whole[::-1].sum()
    assert np.array_equal(whole, np.round(whole / GRID) * GRID)
    assert np.array_equal(whole, whole.astype(np.float32))


@settings(max_examples=80, deadline=None)
@given(offers(least=1, most=12))
def test_thompsons_law_is_that_of_the_stated_model_within_a_hundredth(options: Options) -> None:
    """The reference is out by up to 3e-3 itself (250 quantiles per candidate)."""
    law = FULL.probabilities(options)[0]
    assert total_variation(law, by_quadrature(options)) < 1e-2 + 3e-3


def test_thompsons_law_is_out_by_less_than_a_thousandth_at_the_median() -> None:
    rng = np.random.default_rng(5)
    gaps = []
    for _ in range(40):
        size = int(rng.integers(2, 13))
        own = np.exp(rng.uniform(np.log(0.1), np.log(1.0), size))
        options = offer(
            rng.normal(-3.5, 0.7, size).tolist(),
            own.tolist(),
            (0.03 * np.exp(rng.normal(0.0, 0.5, size))).tolist(),
            shared=own.min() / rng.uniform(0.3, 2.0),
        )
        gaps.append(total_variation(FULL.probabilities(options)[0], by_quadrature(options)))
    assert np.median(gaps) < 1e-3


KNOWN = [
    pytest.param(offer([-3.5] * 20, [0.3] * 20, [0.03] * 20, shared=0.5), id="alike"),
    pytest.param(
        offer(
            [-3.4 - 0.05 * k for k in range(20)],
            [0.4, 0.8] * 10,
            [0.002 * k for k in range(20)],
            shared=1.2,
        ),
        id="a-third-of-the-deviation-their-own",
    ),
    pytest.param(
        offer([-4.0] + [-3.5] * 19, [1.5] + [0.05] * 19, [0.025] * 20), id="one-new-message-in-20"
    ),
    pytest.param(offer([-3.0, -2.0, -2.5], [0.0, 0.0, 0.7], [0.0, 0.09, 0.05]), id="steps"),
    pytest.param(offer([-2.0], [0.6], [0.2], shared=0.5, rho=0.5), id="alone"),
    pytest.param(
        offer([-2.0, -3.0], [0.6, 0.2], [0.03, 0.0], shared=0.3, p0=0.08), id="unprompted"
    ),
]


@pytest.mark.parametrize("options", KNOWN)
def test_thompsons_law_is_what_draws_from_the_model_show(options: Options) -> None:
    """400,000 draws are themselves out by `noise`, 3 times that at the very most."""
    drawn = by_monte_carlo(options, np.random.default_rng(1), 400_000)
    law = FULL.probabilities(options)[0]
    assert total_variation(law, drawn) < 1e-2 / 4 + 3 * noise(drawn, 400_000)


@pytest.mark.parametrize("options", KNOWN)
def test_the_reference_agrees_with_draws_from_the_model(options: Options) -> None:
    drawn = by_monte_carlo(options, np.random.default_rng(2), 400_000)
    assert total_variation(by_quadrature(options), drawn) < 1e-3 + 3 * noise(drawn, 400_000)


def test_one_wide_forecast_among_narrow_ones_gets_its_due() -> None:
    """Equally spaced levels give the newcomer 0.986: they step over the 19 narrow ones.

    By hand: it wins when its e exceeds the best of 19 close to -3.5 + 0.05 * 1.84 = -3.41 (the mean
    of the largest of 19 normals is 1.84), that is (-3.41 + 3.5) / 1.5 = 0.06: P = 0.475.
    """
    law = FULL.probabilities(offer([-3.5] * 20, [1.5] + [0.05] * 19, [0.0] * 20))[0]
    assert abs(0.475 - law[0]) < 0.005


@pytest.mark.parametrize(
    ("shared", "bounds"), [(0.0, (0.75, 1.0)), (0.5, (0.41, 0.72)), (0.8, (0.24, 0.38))]
)
def test_a_cloned_message_does_not_buy_sends_without_end(
    shared: float, bounds: tuple[float, float]
) -> None:
    """P(send) of 20 and of 200 clones of deviation 1, breaking even 1.5 deviations up.

    Independent: 1 - Phi(1.5)^20 = 0.75 and 1 - Phi(1.5)^200 = 1.00. With a part s of the variance
    in common, 1 - E_z Phi((1.5 - sqrt(s) z) / sqrt(1 - s))^K.
    """

    def send(clones: int) -> float:
        own = [float(np.sqrt(1 - shared))] * clones
        cost = [float(expit(-3.0 + 1.5))] * clones
        options = offer([-3.0] * clones, own, cost, shared=float(np.sqrt(shared)), rho=0.0)
        return float(FULL.probabilities(options).sum())

    assert abs(1 - ndtr(1.5) - send(1)) < 2e-3
    assert np.allclose(bounds, [send(20), send(200)], atol=0.012)


@settings(max_examples=40, deadline=None)
@given(offers(least=1, most=6))
def test_two_hundred_clones_of_a_message_buy_no_send(options: Options) -> None:
    """Whether to send hangs on the best forecast alone, and a clone is no better (p0 = 0)."""
    options = replace(options, p0=0 * options.p0)
    clones = np.append(np.arange(options.mean.shape[1]), np.zeros(200, np.int64))
    more = replace(
        options,
        mean=options.mean[:, clones],
        own=options.own[:, clones],
        cost=options.cost[:, clones],
        net=options.net[:, clones],
        offered=options.offered[:, clones],
    )
    one, many = (Thompson().probabilities(each).sum() for each in (options, more))
    assert abs(many - one) < 1e-9


def test_whether_to_send_is_drawn_from_the_best_forecast_with_less_noise() -> None:
    """At scale 0.5 and haste 0.2 a deviation of 1 counts 0.1; 0.05 of a logit short: Phi(-0.5)."""
    cost = float(expit(-2.0 + 0.05))
    options = offer([-2.0, -3.0], [1.0, 1.0], [cost, cost], rho=0.0)
    law = Thompson(scale=0.5, haste=0.2).probabilities(options)[0]
    assert abs(ndtr(-0.5) - law.sum()) < 1e-9
    wide = Thompson(scale=0.5, haste=None).probabilities(options)[0]
    assert np.allclose(wide / wide.sum(), law / law.sum())


def test_who_was_left_in_peace_for_long_is_tried_by_thompsons_law() -> None:
    options = replace(offer([-3.0] * 3, [1.0] * 3, [0.07] * 3), tried=np.array([True]))
    tried = Thompson(scale=0.5).probabilities(options)
    assert np.array_equal(Thompson(scale=0.5, haste=None).probabilities(options), tried)
    assert Thompson(scale=0.5).probabilities(replace(options, tried=None)).sum() < tried.sum()


def test_an_outcome_that_also_happens_unprompted_is_drawn_by_the_law_with_more_noise() -> None:
    """Two forecasts are unsure instead of one: 0.2 x 2.5 of a deviation, and no haste."""
    options = replace(offer([-2.0, -2.5], [1.0, 0.5], [0.05, 0.02], rho=0.0), p0=np.array([0.1]))
    shifted = replace(options, cost=options.cost + 0.1, p0=0 * options.p0)
    expected = Thompson(scale=0.5, haste=None).probabilities(shifted)
    assert np.allclose(expected, Thompson(0.2, unprompted=2.5).probabilities(options), atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(offers(least=2), explorers, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_changes_nobodys_chance(
    options: Options, explorer: Explorer, random: Random
) -> None:
    order = list(range(options.mean.shape[1]))
    random.shuffle(order)
    law = explorer.probabilities(options)[0]
    assert np.allclose(law[order], explorer.probabilities(permuted(options, order))[0], atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(offers(least=1), explorers, st.sampled_from([1e-6, 0.01, 100.0, 1e9]))
def test_the_unit_of_worth_changes_no_law(
    options: Options, explorer: Explorer, unit: float
) -> None:
    """Cents or euros: value, cost, net and the abstain reward all times the same number."""
    other = replace(
        options,
        value=options.value * unit,
        cost=options.cost * unit,
        net=options.net * unit,
        abstain_reward=options.abstain_reward * unit,
    )
    law = explorer.probabilities(options)
    # An offer exactly as good as silence may fall on either side of it by rounding.
    assert np.allclose(law, explorer.probabilities(other), atol=2e-3)


@settings(max_examples=60, deadline=None)
@given(offers(least=1), explorers)
def test_a_click_worth_nothing_is_never_sent_for(options: Options, explorer: Explorer) -> None:
    worthless = replace(options, value=np.zeros(1))
    law, silence = as_drawn(explorer, worthless)
    assert 0.0 == law.sum()
    assert 1.0 == silence[0]


@settings(max_examples=120, deadline=None)
@given(offers(least=1), explorers, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_raising_rho_never_makes_a_send_likelier(
    options: Options, explorer: Explorer, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    before = explorer.probabilities(with_rho(options, low)).sum()
    after = explorer.probabilities(with_rho(options, high)).sum()
    assert after <= before + 1e-12


@settings(max_examples=120, deadline=None)
@given(offers(least=1), explorers, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_nor_does_it_once_rounded_lifted_and_logged(
    options: Options, explorer: Explorer, one: float, other: float
) -> None:
    """The grid may move each of K entries by one step of 2^-22."""
    low, high = sorted((one, other))
    before = as_drawn(explorer, with_rho(options, low))[0].sum()
    after = as_drawn(explorer, with_rho(options, high))[0].sum()
    assert after <= before + options.mean.shape[1] * GRID


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 20).flatmap(laws))
def test_rounding_keeps_the_probability_of_sending(law: list[float]) -> None:
    """Up to where all of sending, or all of silence, is too small to keep."""
    before = sum(law)
    after = rounded(np.array([law]))[0]
    expected = 0.0 if before < SMALLEST else 1.0 if before > 1 - SMALLEST else before
    assert abs(expected - after.sum()) < 1e-12
    assert np.count_nonzero(after) == 0 or after[after > 0].min() >= min(SMALLEST, max(law) / 2)


@pytest.mark.parametrize("size", [*range(18, 130), 501])
@pytest.mark.parametrize("cost", [0.02, 0.0575])
def test_clones_are_drawn_alike_however_many_there_are(size: int, cost: float) -> None:
    """A click of 0.0474 at a cost of 0.02 is always sent; at 0.0575, 3 in 100: under 0.002 each.

    The grid takes up to one step of 2^-22 from each, and gives them to one where silence is out.
    """
    options = offer([-3.0] * size, [0.1] * size, [cost] * size, shared=2.0)
    law = as_drawn(Thompson(), options, floor=0.0)[0][0]
    assert law.min() > 0.0
    assert law.max() - law.min() <= size * GRID


@settings(max_examples=60, deadline=None)
@given(offers(least=2, most=60), explorers, st.randoms())
def test_the_order_of_candidates_changes_no_law_that_is_drawn_from(
    options: Options, explorer: Explorer, random: Random
) -> None:
    """Up to the grid: one step of 2^-22 for each message, given to one of them."""
    size = options.mean.shape[1]
    order = random.sample(range(size), size)
    law, silence = as_drawn(explorer, options)
    other, other_silence = as_drawn(explorer, permuted(options, order))
    assert np.allclose(law[:, order], other, rtol=0.0, atol=size * GRID)
    assert np.allclose(silence, other_silence, rtol=0.0, atol=size * GRID)


@settings(max_examples=120, deadline=None)
@given(
    st.integers(1, 20).flatmap(
        lambda k: st.tuples(laws(k), st.lists(st.booleans(), min_size=k, max_size=k))
    )
)
def test_the_floor_lifts_every_harmless_message_and_no_harmful_one(
    drawn: tuple[list[float], list[bool]],
) -> None:
    law, harmless = np.array([drawn[0]]), np.array([drawn[1]])
    lifted = with_floor(law, harmless, 0.01)
    assert np.all(lifted[~harmless] <= law[~harmless])
    if harmless.any():
        assert np.all(lifted[harmless] >= 0.01 / harmless.sum() * (1 - 1e-12))
    else:
        assert np.array_equal(law, lifted)
    assert lifted.sum() <= 1.0 + 1e-12


@pytest.mark.parametrize("explorer", [FULL, InverseGap()])
def test_nothing_to_choose_from_is_silence(explorer: Explorer) -> None:
    law, silence = as_drawn(explorer, offer([], [], []))
    assert (1, 0) == law.shape
    assert [1.0] == silence.tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(offers(), min_size=1, max_size=12), explorers)
def test_company_in_a_batch_changes_no_law(batch: list[Options], explorer: Explorer) -> None:
    """Ragged lists, empty ones and the same user twice: each gets the law it gets alone."""
    batch = [*batch, batch[0]]
    joint = explorer.probabilities(together(batch))
    for row, options in enumerate(batch):
        alone = explorer.probabilities(options)[0]
        assert np.allclose(alone, joint[row, : alone.size], rtol=0.0, atol=1e-12)
        assert 0.0 == joint[row, alone.size :].sum()
    assert np.array_equal(joint[0], joint[-1])


def test_padding_takes_no_part_in_a_law() -> None:
    """Break even is 2 shared deviations up, logit(0.2) = -3 + 2 * 0.8: P(send) = 0.02.

    Padding merely 18 of its own deviations out of reach would be reached from z = 1.4 on, at 12.5
    own deviations to a shared one: as good as a rival that sends with P(z > 1.4) = 0.08.
    """
    options = offer([-3.0], [0.05], [0.2], shared=0.8, rho=0.0)
    alone = FULL.probabilities(options)[0, 0]
    longer = offer([-3.0] * 3, [0.05] * 3, [0.2] * 3, shared=0.8, rho=0.0)
    joint = FULL.probabilities(together([options, longer]))[0, 0]
    assert abs(alone - joint) < 1e-12
    assert abs(0.022 - alone) < 2e-3


def test_inverse_gap_weighs_by_the_distance_from_the_best() -> None:
    """Three actions, gamma 10, nets 0.2 and 0.1 against silence at 0.

    P(second) = 1 / (3 + 10 * 0.1) = 0.25; P(silence) = 1 / (3 + 10 * 0.2) = 0.2; the best has 0.55.
    """
    options = replace(offer([-1.0, -1.0], [0.1, 0.1], [0.0, 0.0]), net=np.array([[0.2, 0.1]]))
    law = InverseGap(gamma=10.0).probabilities(options)[0]
    assert np.allclose([0.55, 0.25], law)


def test_inverse_gap_does_not_choose_by_the_order_of_the_catalog() -> None:
    """Two untried messages forecast alike; with silence at gap 0.1 and gamma 10, A = 3.

    P(silence) = 1 / (3 + 10 * 0.1) = 0.25, and the two share 0.75.
    """
    options = replace(offer([-1.0, -1.0], [0.1, 0.1], [0.0, 0.0]), net=np.array([[0.1, 0.1]]))
    assert np.allclose([0.375, 0.375], InverseGap(gamma=10.0).probabilities(options)[0])


def test_a_law_that_always_sends_never_falls_silent_by_rounding() -> None:
    law, silence = as_logged(np.full((1, 3), 1 / 3))
    assert 0.0 == silence[0]
    assert 1.0 == law.sum()


def test_a_smaller_scale_explores_less() -> None:
    options = offer([-3.0, -2.6], [0.8, 0.8], [0.0, 0.0], shared=0.3)
    second = [Thompson(scale=s).probabilities(options)[0, 0] for s in (1.0, 0.5, 0.1)]
    assert second == sorted(second, reverse=True)
    assert second[-1] < 0.01
