"""Budgets as they are written, what a message draws on, and what it bids."""

from dataclasses import replace

import numpy as np
import pytest

from engine.allowance import Allowance
from engine.budget import Budget, Charge, message_budgets, parse_team_budgets
from engine.catalog import Catalog, parse_message
from engine.decision import Decision, Forecasts, Reason
from engine.decision_log import contention
from engine.errors import BadInput
from engine.rationing import Rations

DAY = 86_400.0
CATALOG = Catalog(
    1,
    {
        name: parse_message(name, body)
        for name, body in {
            "sale": b'{"budget": "100/1d", "send_cost": 0.5}',
            "digest": b"{}",
            "receipt": b'{"transactional": true}',
        }.items()
    },
)
TEAM = parse_team_budgets("cost:50/7d")
SALE, MONEY = "message sale/sends/86400", "team/cost/604800"
RATIONS = Rations(CATALOG, TEAM, send_cost=0.25, prices={SALE: 0.25, MONEY: 1e-6})


def test_a_budget_counts_sends_or_money_over_a_rolling_period() -> None:
    sends, money = parse_team_budgets("1000/1d cost:250.5/7d")
    assert Budget("team/sends/86400", 1000, DAY) == sends
    assert Budget("team/cost/604800", 250_500_000, 7 * DAY, money=True) == money
    assert (1, 2_000) == (sends.units(0.002), money.units(0.002))
    assert () == message_budgets("sale", "")


def test_money_is_rounded_up_so_that_a_sum_is_never_too_small() -> None:
    """A third of a millionth is one; 0.1 + 0.2 in floating point is three tenths all the same."""
    money = TEAM[0]
    assert (1, 300_000) == (money.units(0.3e-6), money.units(0.1 + 0.2))


@pytest.mark.parametrize(
    "text", ["1000", "0/1d", "1.5/1d", "10/32d", "cost:0/1d", "99999999999/1d"]
)
def test_a_budget_that_cannot_be_kept_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(BadInput, match=r"such as 1000/1d or cost:250\.5/7d: correct it"):
        parse_team_budgets(text)


@pytest.mark.parametrize("text", ["5/1d 10/24h", "cost:5/7d 3/7d cost:6.5/7d"])
def test_of_two_budgets_for_one_time_none_is_passed_over_in_silence(text: str) -> None:
    with pytest.raises(BadInput, match="is the second for the same time; expected one for sends"):
        parse_team_budgets(text)


def test_budgets_whose_times_hardly_differ_are_kept_apart() -> None:
    one, other = parse_team_budgets("5/2678400s 4/2678399s")
    assert ("team/sends/2678400", "team/sends/2678399") == (one.name, other.name)


def test_a_message_lacks_budget_where_any_of_its_budgets_is_short() -> None:
    """0.5 of money and one send for the sale, 0.25 for the digest; a receipt lacks nothing."""
    held = {SALE: Allowance(granted=1), MONEY: Allowance(granted=250_000)}
    assert {"sale"} == RATIONS.short(held, 0.0)
    assert {"sale", "digest"} == RATIONS.short({}, 0.0)
    assert set() == RATIONS.short({**held, MONEY: Allowance(granted=500_000)}, 0.0)


def test_a_decision_is_charged_for_its_action_and_depends_on_its_candidates() -> None:
    both = ("sale", "digest", "receipt")
    assert (Charge(SALE, 1, 0), Charge(MONEY, 500_000, 0)) == RATIONS.charges(both, None)
    assert (Charge(SALE, 1, 0), Charge(MONEY, 500_000, 250_000)) == RATIONS.charges(both, "digest")
    assert (Charge(MONEY, 0, 250_000),) == RATIONS.charges(("receipt",), "receipt")


def test_a_send_pays_the_price_of_all_it_takes_and_a_transactional_one_nothing() -> None:
    """Sale: 0.25 + 500,000 x 1e-6 = 0.75; digest: 250,000 x 1e-6 = 0.25; abstaining: 0."""
    np.testing.assert_allclose([0.75, 0.25, 0.0, 0.0], RATIONS.scarcity)


def decided(*nets: float) -> Decision:
    """A decision between sale and digest of these nets, drawn with 0.2 and 0.3."""
    nothing = np.zeros(2)
    columns = Forecasts(
        p_click=nothing,
        p_unsubscribe=nothing,
        gain=nothing,
        unsubscribe=nothing,
        send_cost=nothing,
        scarcity=nothing,
        net=np.array(nets),
        propensity=np.array([0.2, 0.3]),
    )
    plain = contention("d", "u", {}, 1.0, 0.0)
    return replace(plain, candidates=("sale", "digest"), forecasts=columns)


def test_a_bid_is_what_is_lost_without_the_budget() -> None:
    """For its own slot the sale bids its net without that price above the digest's: 0.1 + 0.25 -
    0.05 = 0.3. For money nothing else is there but silence: (0.1 + 0.5) / 500,000 a unit.
    """
    bids = RATIONS.bids(decided(0.1, 0.05))
    own, money = bids[SALE], bids[MONEY]
    assert own is not None
    assert money is not None
    np.testing.assert_allclose([0.3, 1, 0.2], [own.worth, own.units, own.expected])
    np.testing.assert_allclose(
        [1.2e-6, 500_000, 175_000], [money.worth, money.units, money.expected]
    )


def test_what_was_used_up_got_no_bid() -> None:
    plain = replace(contention("d", "u", {}, 1.0, 0.0), blocked=(("sale", Reason.BUDGET),))
    assert {SALE: None, MONEY: None} == RATIONS.bids(plain)
