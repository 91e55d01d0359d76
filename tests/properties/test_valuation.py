"""What a send is worth, and what silence earns."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from engine.decision import Floats
from engine.valuation import MOST_PESSIMISM, abstain_reward, pessimistic, probability, terms

# Rounded: a product of two numbers near 1e-200 is nought, and no price is that small.
nets = st.lists(st.floats(-10.0, 10.0).map(lambda net: round(net, 9)), min_size=1, max_size=20)
rhos = st.floats(0.0, 1.0).map(lambda rho: round(rho, 9))


def reward(net: list[float], rho: float) -> float:
    """One user's abstain reward, every candidate offered."""
    return float(abstain_reward(np.array([net]), np.ones((1, len(net)), np.bool_), rho)[0])


@given(nets, rhos)
def test_silence_earns_exactly_where_annoyance_outweighs_gain(net: list[float], rho: float) -> None:
    assert (rho > 0 and max(net) < 0) == (reward(net, rho) > 0)


@given(nets, rhos)
def test_the_abstain_reward_never_changes_the_greedy_action(net: list[float], rho: float) -> None:
    """Silence is worth 0 without it and r0 with it: the best message beats both or neither."""
    assert (max(net) > 0.0) == (max(net) > reward(net, rho))


@given(nets, rhos, st.floats(0.0, 1.0))
def test_the_abstain_reward_is_linear_in_rho(net: list[float], rho: float, part: float) -> None:
    assert_allclose(part * reward(net, rho), reward(net, part * rho), atol=1e-12)


def test_the_abstain_reward_is_the_shortfall_of_the_best() -> None:
    """Best of -0.3 and -0.1 falls short by 0.1; half of it at rho = 0.5."""
    assert_allclose(0.05, reward([-0.3, -0.1], 0.5))


def test_no_candidate_earns_no_reward() -> None:
    """Nor does padding: the only offered net is positive, the other is nobody's."""
    assert 0.0 == abstain_reward(np.zeros((1, 0)), np.zeros((1, 0), np.bool_), 0.0)[0]
    assert 0.0 == abstain_reward(np.array([[-5.0]]), np.zeros((1, 1), np.bool_), 1.0)[0]
    offered = np.array([[False, True]])
    assert_allclose(0.2, abstain_reward(np.array([[3.0, -0.2]]), offered, 1.0)[0])


def priced(p_click: float, p_unsubscribe: float, **prices: float) -> dict[str, float]:
    """One candidate's terms."""
    column = {name: np.array([price]) for name, price in prices.items()}
    column["send_cost"] = column["send_cost"][None]
    column["scarcity"] = np.array([[prices.get("scarcity", 0.0)]])
    got = terms(np.array([[p_click]]), np.array([[p_unsubscribe]]), **column)
    return {name: float(getattr(got, name)[0, 0]) for name in ("gain", "annoyance", "net")}


def test_gain_and_annoyance_by_hand() -> None:
    """Gain 2 (0.10 - 0.04) = 0.12; annoyance 0.002 * 5 + 0.01 + 0.03 = 0.05; net 0.07."""
    prices = {"value": 2.0, "p0": 0.04, "unsubscribe_cost": 5.0, "price": 0.01, "send_cost": 0.03}
    got = priced(0.10, 0.002, **prices)
    assert_allclose([0.12, 0.05, 0.07], list(got.values()))


def test_scarcity_is_a_part_of_annoyance() -> None:
    """Gain 0.10; annoyance 0.002 * 5 + 0.01 + 0.03 + 0.02 = 0.07; net 0.03."""
    prices = {"value": 1.0, "p0": 0.0, "unsubscribe_cost": 5.0, "price": 0.01, "send_cost": 0.03}
    got = priced(0.10, 0.002, **prices, scarcity=0.02)
    assert_allclose([0.10, 0.07, 0.03], list(got.values()))


def test_a_message_that_keeps_people_from_acting_unprompted_has_a_negative_gain() -> None:
    """Gain 1 (0.02 - 0.05) = -0.03, before any annoyance."""
    prices = {"value": 1.0, "p0": 0.05, "unsubscribe_cost": 0.0, "price": 0.0, "send_cost": 0.0}
    assert_allclose(-0.03, priced(0.02, 0.001, **prices)["net"])


@given(st.lists(st.floats(-80.0, 80.0), min_size=1, max_size=5))
def test_a_probability_is_what_a_row_can_hold(logits: list[float]) -> None:
    p = probability(np.array(logits))
    assert np.all((0.0 <= p) & (p <= 1.0))
    assert np.array_equal(p, p.astype(np.float32))


@settings(max_examples=60)
@given(st.floats(-10.0, 0.0), st.floats(0.0, 50.0), st.floats(0.0, 3.0))
def test_pessimism_raises_a_hazard_and_at_most_doubles_it(
    logit: float, deviation: float, pessimism: float
) -> None:
    """Odds grow by e^0.7 = 2.014 at most, a probability by less."""
    shifted: Floats = pessimistic(
        np.array([[logit]]), np.array([[deviation]]), np.array([pessimism])
    )
    assert logit <= shifted[0, 0] <= logit + MOST_PESSIMISM
    assert_allclose(shifted[0, 0] - logit, min(pessimism * deviation, 0.7), atol=1e-12)
