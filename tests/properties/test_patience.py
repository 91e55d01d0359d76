"""What must hold of the decision process whatever the user is like."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from engine.burden_process import Offers, Pace, between, choice, process, worth_of
from engine.context import MOST_BURDEN
from engine.decision import Floats

DAY = 86400.0

paces = st.builds(
    lambda gap, rest, half_life, horizon: Pace(gap, max(gap, rest), half_life, horizon),
    st.floats(0.1, 7.0).map(lambda days: days * DAY),
    st.floats(0.0, 7.0).map(lambda days: days * DAY),
    st.floats(0.5, 30.0).map(lambda days: days * DAY),
    st.floats(10.0, 200.0).map(lambda days: days * DAY),
)
slopes = st.floats(0.0, 2.0)


@st.composite
def users(draw: st.DrawFn) -> tuple[Pace, Offers]:
    """One user, two messages, three moments; clicks fall and hazards rise with burden."""
    pace = draw(paces)
    grid = process(pace).grid[None, :, None, None]
    moments = np.array([-1.0, 0.0, 1.0])[None, None, :, None] * draw(st.floats(0.0, 1.5))
    clicks = np.array(draw(st.lists(st.floats(-6.0, 1.0), min_size=2, max_size=2)))
    leaves = np.array(draw(st.lists(st.floats(-14.0, -2.0), min_size=2, max_size=2)))
    worth = expit(clicks - draw(slopes) * grid + moments) - draw(st.floats(0.0, 0.05))
    stays = expit(-(leaves + draw(slopes) * grid)) + 0.0 * moments
    return pace, Offers(worth, stays, np.full(3, 1 / 3))


def solved(pace: Pace, offers: Offers) -> list[Floats]:
    """(1, G) V after each round."""
    of = process(pace)
    rounds = [np.zeros((1, of.grid.size))]
    for _ in range(12):
        rounds.append(worth_of(*choice(rounds[-1], offers, of), offers, of))
    return rounds[1:]


@settings(max_examples=80, deadline=None)
@given(users())
def test_every_round_is_no_worse_than_the_one_before(user: tuple[Pace, Offers]) -> None:
    rounds = solved(*user)
    for before, after in pairwise(rounds):
        assert (after >= before - 1e-7 * (1 + np.abs(before))).all()


@settings(max_examples=80, deadline=None)
@given(users(), st.floats(0.0, 20.0))
def test_the_future_is_worth_something_and_burden_never_makes_it_better(
    user: tuple[Pace, Offers], burden: float
) -> None:
    """So the price W - S is 0 or more, and no more than all that waiting is worth."""
    pace, offers = user
    values = solved(pace, offers)[-1]
    assert (values >= -1e-9).all()
    assert (np.diff(values) <= 1e-7 * (1 + values[:, :-1])).all()
    waiting, sending = process(pace).at(np.array([burden]), values)
    assert -1e-7 <= waiting[0] - sending[0] <= waiting[0] + 1e-9


@settings(max_examples=80, deadline=None)
@given(paces, st.lists(st.floats(0.0, 40.0), min_size=1, max_size=5))
def test_reading_between_points_is_exact_for_straight_lines(
    pace: Pace, burdens: list[float]
) -> None:
    """Within the grid: 3 - 2 b comes back; weights sum to 1 everywhere."""
    grid = process(pace).grid
    weights = between(grid, np.array(burdens))
    assert np.allclose(1.0, weights.sum(axis=1))
    assert np.allclose(3.0 - 2.0 * np.minimum(burdens, grid[-1]), weights @ (3.0 - 2.0 * grid))
    assert grid[-1] <= MOST_BURDEN
