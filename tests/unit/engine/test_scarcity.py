"""The price of a slot: what it reads off demand, and what it is worth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Generator

from engine.scarcity import SLICES, Bid, Demand

DAY = 86_400.0
NOON = DAY / 2


def asked(demand: Demand, worths: list[float], at: float, price: float = 0.0) -> None:
    """One decision after another, each bidding for one unit and served if it bids more."""
    for worth in worths:
        demand.note(Bid(worth, 1.0, float(worth > price)), price, at)


def after_a_day(worths: list[float]) -> Demand:
    """All of it asked yesterday at noon."""
    demand = Demand.of(DAY, NOON)
    asked(demand, worths, NOON)
    demand.pass_to(NOON + DAY)
    return demand


HUNDRED = [n / 100 for n in range(1, 101)]


def test_nothing_is_known_in_the_first_slices_so_nothing_is_charged() -> None:
    assert 0.0 == Demand.of(DAY, NOON).price(10, 10, NOON)


def test_the_price_is_the_bid_at_which_the_expected_takers_are_the_slots_left() -> None:
    """Bids 0.01 to 1.00, ten slots for a hundred users: the best bid that gets none is 0.90.

    The price is the lower end of that bid's class, 1% wide.
    """
    demand = after_a_day(HUNDRED)
    assert 0.90 / 1.01 < demand.price(10, 10, NOON + DAY) <= 0.90
    assert 0.50 / 1.01 < demand.price(50, 50, NOON + DAY) <= 0.50


def test_a_budget_that_is_enough_for_everybody_costs_nothing() -> None:
    assert 0.0 == after_a_day(HUNDRED).price(100, 100, NOON + DAY)


def test_who_bids_nothing_needs_no_slot() -> None:
    """Eighty of a hundred would rather not: twenty slots are enough."""
    assert 0.0 == after_a_day([-0.1] * 80 + [0.5] * 20).price(20, 20, NOON + DAY)


def test_slots_spent_too_early_make_the_rest_dearer_and_saved_ones_cheaper() -> None:
    """Half have asked: two, five or eight slots for fifty are the best 4, 10 or 16%."""
    prices = []
    for left in (2, 5, 8):
        demand = after_a_day(HUNDRED)
        demand.asked = 50.0
        demand.spent = 10.0 - left
        prices.append(demand.price(10, left, NOON + DAY))
    np.testing.assert_allclose([0.96, 0.90, 0.84], prices, atol=0.015)


def test_equal_bids_are_all_served_as_long_as_slots_last() -> None:
    """No price divides equals: it is just below what they bid."""
    price = after_a_day([0.3] * 100).price(10, 10, NOON + DAY)
    assert 0.29 < price < 0.3


def test_what_exploring_spends_besides_raises_the_price() -> None:
    """Everybody is sent to with 0.4 whatever the price: 40 slots go where 10 bid more than it."""
    demand = Demand.of(DAY, NOON)
    for worth in HUNDRED:
        demand.note(Bid(worth, 1.0, 0.4), 0.9, NOON)
    demand.pass_to(NOON + DAY)
    plain = after_a_day(HUNDRED)
    assert demand.price(20, 20, NOON + DAY) > plain.price(20, 20, NOON + DAY)


def test_slots_that_come_back_soon_are_counted_on() -> None:
    """Steady demand of ten a slice, two units spent in each: a fifth is served though none is left
    this very moment.
    """
    demand = Demand.of(DAY, 0.0)
    for slot in range(SLICES):
        at = slot * DAY / SLICES
        asked(demand, [n / 10 for n in range(1, 11)], at)
        demand.spend(2, at)
    price = demand.price(2 * SLICES, 0, DAY + 1.0)
    assert math.isfinite(price)
    assert 0.79 <= price <= 0.9


def test_who_met_a_spent_budget_counts_as_asking() -> None:
    demand = Demand.of(DAY, NOON)
    asked(demand, HUNDRED[::10], NOON)
    for _ in range(90):
        demand.note(None, 0.0, NOON)
    demand.pass_to(NOON + DAY)
    assert 100 == sum(count or 0 for count in demand.usual)


@settings(max_examples=60)
@given(
    st.lists(st.floats(-1.0, 5.0), min_size=1, max_size=60),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_fewer_slots_never_make_a_slot_cheaper(worths: list[float], one: int, other: int) -> None:
    """Nor is a price ever negative, or above the highest bid."""
    demand = after_a_day(worths)
    fewer, more = sorted((one, other))
    dear, cheap = (demand.price(60, left, NOON + DAY) for left in (fewer, more))
    assert dear >= cheap >= 0.0
    assert dear <= max(0.0, *worths) * (1 + 1e-9)


def days_of(rng: Generator, slots: int, days: int) -> tuple[float, float, list[int]]:
    """Value at the price, value first come first served, and slots used by day; 500 ask a day."""
    demand, priced, plain, used = Demand.of(DAY, 0.0), 0.0, 0.0, []
    for day in range(days):
        left, first = slots, slots
        for n, worth in enumerate(rng.lognormal(0.0, 1.0, 500)):
            at = day * DAY + n * DAY / 500
            price = demand.price(slots, left, at)
            if left:
                taken = worth > price
                demand.note(Bid(worth, 1.0, float(taken)), price, at)
                if taken:
                    left -= 1
                    priced += worth
                    demand.spend(1, at)
            else:
                demand.note(None, price, at)
            if first:
                first -= 1
                plain += worth
        used.append(slots - left)
    return priced, plain, used


@pytest.mark.parametrize("seed", range(3))
def test_a_priced_slot_is_worth_more_than_first_come_and_few_are_left_unused(seed: int) -> None:
    """Log-normal bids, a tenth served: the best tenth is worth 4.0 each on average, anybody 1.65.

    The first day has no price yet. Slots come back at midnight here, of which the price is told
    nothing: it goes by the rolling period.
    """
    priced, plain, used = days_of(np.random.default_rng(seed), 50, 12)
    assert priced > 1.7 * plain
    assert sum(used[2:]) >= 0.85 * 50 * 10
