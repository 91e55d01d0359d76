"""Burden halves every half-life and rises by one with each send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.burden import decayed, without_send

DAY = 86_400.0


def test_burden_halves_every_half_life() -> None:
    assert 0.75 == decayed(3.0, 0.0, 8 * DAY, 4 * DAY)


def test_a_clock_that_steps_back_decays_nothing() -> None:
    assert 3.0 == decayed(3.0, 10.0, 5.0, DAY)


@given(st.floats(0.0, 100.0), st.floats(0.0, 1e8), st.floats(0.0, 1e8))
def test_decaying_twice_is_decaying_once(burden: float, first: float, second: float) -> None:
    stepwise = decayed(decayed(burden, 0.0, first, DAY), first, first + second, DAY)
    assert stepwise == pytest.approx(decayed(burden, 0.0, first + second, DAY), abs=1e-12)


@given(st.floats(0.0, 50.0), st.floats(0.0, 10 * DAY), st.floats(0.0, 10 * DAY))
def test_a_send_taken_back_leaves_what_there_would_have_been_without_it(
    before: float, wait: float, later: float
) -> None:
    sent, now = wait, wait + later
    with_it = decayed(before, 0.0, sent, DAY) + 1.0
    assert without_send(with_it, sent, sent, now, DAY) == pytest.approx(
        decayed(before, 0.0, now, DAY), abs=1e-9
    )


def test_nothing_is_taken_back_below_nought() -> None:
    assert 0.0 == without_send(0.2, 0.0, 0.0, 0.0, DAY)


@pytest.mark.parametrize("now", [1e12, 1e15])
def test_an_age_without_sends_leaves_no_burden_and_no_error(now: float) -> None:
    assert 0.0 == decayed(5.0, 0.0, now, 60.0)
