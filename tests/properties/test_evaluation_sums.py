"""The streaming state does not depend on how a log is cut, ordered or spread over machines."""

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.evaluation import estimates
from engine.evaluation.sums import PolicySums, Rows, policy_and_user_sums, policy_sums
from tests.unit.evaluation.logs import Sample, sample


def pieces(made: Sample, cuts: list[int]) -> list[PolicySums]:
    edges = [0, *sorted(set(cuts)), made.action.size]
    return [policy_sums(made.rows(a, b)) for a, b in pairwise(edges) if a < b]


def figures(sums: PolicySums) -> list[float]:
    """Every reported number: points, errors, gamma ends, weights and bins."""
    found = [point(sums, 0) for point in estimates.POINTS.values()]
    gamma = estimates.gamma_interval(sums, 0)
    values = [e.value for e in found] + [estimates.standard_error(sums, e) for e in found]
    bins = sums.weight_bins.sum(axis=2).ravel().tolist()
    return [*values, gamma.lower, gamma.upper, *sums.max_w, *sums.max_wr, *sums.unlogged, *bins]


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(1, 1999), max_size=30), seed=st.integers(0, 5))
def test_figures_do_not_depend_on_the_chunks(cuts: list[int], seed: int) -> None:
    made = sample(2000, seed=seed)
    whole, merged = policy_sums(made.rows()), reduce(add, pieces(made, cuts))
    assert figures(whole) == pytest.approx(figures(merged), rel=1e-12, abs=1e-13)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_figures_do_not_depend_on_the_order_of_rows(seed: int) -> None:
    made = sample(800)
    order = np.random.default_rng(seed).permutation(800)
    rows = made.rows()
    assert rows.qhat is not None
    assert rows.logged is not None
    shuffled = Rows(
        rows.action[order],
        rows.propensity[order],
        rows.reward[order],
        [target[order] for target in rows.targets],
        rows.qhat[order],
        rows.logged[order],
    )
    expected = figures(policy_sums(rows))
    assert expected == pytest.approx(figures(policy_sums(shuffled)), rel=1e-12, abs=1e-13)


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(1, 599), users=st.integers(2, 200))
def test_user_sums_merge_whatever_shard_a_user_is_on(cut: int, users: int) -> None:
    made = sample(600)
    user = np.random.default_rng(users).integers(0, users, 600).astype(np.uint64)
    _, whole = policy_and_user_sums(made.rows(), user)
    _, left = policy_and_user_sums(made.rows(0, cut), user[:cut])
    _, right = policy_and_user_sums(made.rows(cut), user[cut:])
    assert whole.users.tolist() == (left + right).users.tolist()
    assert whole.squares().gram == pytest.approx((left + right).squares().gram, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_dr_with_a_zero_model_is_ips(seed: int) -> None:
    made = sample(300, seed=seed)
    rows = made.rows()
    blank = Rows(rows.action, rows.propensity, rows.reward, rows.targets, 0.0 * made.qhat)
    sums = policy_sums(blank)
    assert estimates.ips(sums, 0).value == pytest.approx(estimates.dr(sums, 0).value, abs=1e-15)
