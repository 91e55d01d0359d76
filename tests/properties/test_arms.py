"""Changed shares move as few users as a fixed layout can, whatever the shares are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arms import RANDOM_STARTS, Arm, Experiment, Shares, arm_at, assignment_key

ARMS = ("holdout", "random", "business_as_usual")
USERS = 20_000


@st.composite
def shares(draw: st.DrawFn) -> Shares:
    """Any shares; half the time ones that leave the bandit nothing."""
    parts = draw(st.tuples(*[st.integers(0, 1000)] * 3))
    whole = max(sum(parts) if draw(st.booleans()) else 1000, sum(parts), 1)
    return Shares(*(part / whole for part in parts))


def differences(first: Shares, second: Shares) -> list[float]:
    """Of the three configured shares."""
    return [getattr(second, arm) - getattr(first, arm) for arm in ARMS]


def edges(one: Shares) -> set[float]:
    """Every place at which the arm can change."""
    starts = min(RANDOM_STARTS, 1 - one.random)
    rest = [one.holdout, 1 - one.random - one.business_as_usual]
    found = {0.0, 1.0, starts, starts + one.random, *rest, *(edge + one.random for edge in rest)}
    return {edge for edge in found if 0 <= edge <= 1}


def share_of(arm: Arm, one: Shares) -> float:
    """The length of all that an arm owns."""
    places = sorted(edges(one))
    return sum(b - a for a, b in pairwise(places) if arm_at((a + b) / 2, one) is arm)


def moved(first: Shares, second: Shares) -> float:
    """The length of all places whose arm is another."""
    places = sorted(edges(first) | edges(second))
    return sum(
        b - a
        for a, b in pairwise(places)
        if b - a > 1e-12 and arm_at((a + b) / 2, first) is not arm_at((a + b) / 2, second)
    )


@given(shares())
def test_every_arm_owns_its_share(one: Shares) -> None:
    for arm, share in one.by_arm().items():
        assert pytest.approx(share, abs=1e-9) == share_of(arm, one)


@given(shares(), shares())
def test_no_change_moves_more_than_the_bound(first: Shares, second: Shares) -> None:
    holdout, random, usual = map(abs, differences(first, second))
    assert moved(first, second) <= holdout + usual + 2 * random + 1e-9


FRACTION = st.floats(0, 1)


@given(st.tuples(*[FRACTION] * 3), st.tuples(*[FRACTION] * 3))
def test_shares_raised_together_move_half_the_l1_distance(
    high: tuple[float, ...], low: tuple[float, ...]
) -> None:
    """Where no range reaches another's start: holdout <= 1/4, the other two <= 3/4 in all."""
    holdout, usual = RANDOM_STARTS * high[0], (1 - RANDOM_STARTS) * high[1]
    random = (1 - RANDOM_STARTS - usual) * high[2]
    higher = Shares(holdout, random, usual)
    lower = Shares(holdout * low[0], random * low[1], usual * low[2])
    change = differences(lower, higher)
    distance = sum(map(abs, change)) + abs(sum(change))
    assert pytest.approx(distance / 2, abs=1e-9) == moved(lower, higher)
    assert pytest.approx(distance / 2, abs=1e-9) == moved(higher, lower)


@given(shares(), st.sampled_from(["holdout", "business_as_usual"]), st.floats(0, 1))
def test_holdout_or_usual_alone_always_move_the_least(one: Shares, arm: str, up: float) -> None:
    """Also where ranges meet: their order of places does not depend on each other."""
    old = {name: getattr(one, name) for name in ARMS}
    more = Shares(**(old | {arm: old[arm] + up * one.bandit}))
    assert pytest.approx(up * one.bandit, abs=1e-9) == moved(one, more)


def test_users_move_as_the_layout_says() -> None:
    """From 5/1/10% to 8/3/30%: 3 + 2 + 20 = 25% of users, 5,000 of 20,000, deviation 61."""
    key = assignment_key(b"secret", "forbear")
    before = Experiment(Shares(0.05, 0.01, 0.1), key)
    after = Experiment(Shares(0.08, 0.03, 0.3), key)
    users = [f"user-{n}" for n in range(USERS)]
    changed = [(before.arm_of(u), after.arm_of(u)) for u in users]
    different = [pair for pair in changed if pair[0] is not pair[1]]
    assert pytest.approx(5000, abs=250) == len(different)
    assert {Arm.BANDIT} == {old for old, _ in different}
