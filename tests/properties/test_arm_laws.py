"""What each arm draws from, through the policy itself: exact, bounded by harm, and on record."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from engine.arms import Arm
from engine.budget import parse_team_budgets
from engine.catalog import Catalog, Message
from engine.decision import Decision, Reason, Request, UserState
from engine.decision_log import from_row, to_row
from engine.learning import Priors
from engine.patience import ConstantPatience
from engine.policy import Drawn, Model, Policy, decide
from engine.rationing import Rations
from engine.response import Prior
from engine.snapshot import Snapshot
from tests.unit.engine.models import CATALOG, random_context

DAY = 86_400.0
EVERY = tuple(CATALOG.messages)
DEAR = Catalog(1, {**CATALOG.messages, "news": Message(id="news", send_cost=0.4)})
GRID = 2.0**-22


def model(**policy: object) -> Model:
    """Before its first lesson; `news` costs 0.4 a send, which is above the bound of harm."""
    priors = (Prior(base_rate=0.02), Priors().unsubscribe)
    return Model(replace(Policy(), **policy), Snapshot.cold(priors), DEAR)  # type: ignore[arg-type]


COLD = model(send_cost=0.01)


def draw(
    request: Request, times: int = 1, *, given: Model = COLD, days: float = 0.0
) -> list[Drawn]:
    """Decisions about one user who had a send at time 0."""
    states = [UserState(last_send_at=0.0)] * times
    rng = np.random.default_rng(3)
    return decide(given, [request] * times, states, ["d"] * times, now=days * DAY, rng=rng)


def one(arm: Arm, candidates: tuple[str, ...] = EVERY, **given: float) -> Decision:
    """One decision in an arm."""
    return draw(Request("u", {}, candidates, arm=arm), **given)[0].decision  # type: ignore[arg-type]


def test_the_random_arm_draws_evenly_among_the_harmless_and_silence() -> None:
    """Three harmless of four and silence: a quarter each; 40,000 draws, chi-squared."""
    drawn = draw(Request("u", {}, EVERY, arm=Arm.RANDOM), 40_000)
    law = drawn[0].decision
    assert [0.25, 0.25, 0.25, 0.0] == law.forecasts.propensity.tolist()
    assert 0.25 == law.abstain_propensity
    assert {0.25} == {each.decision.propensity for each in drawn}
    counts = Counter(each.decision.action for each in drawn)
    assert 0 == counts["news"]
    assert chisquare([counts[name] for name in ("plain", "offer", "rich", None)]).pvalue > 1e-4


def test_a_dear_slot_of_a_budget_takes_nothing_out_of_the_random_arm() -> None:
    """A slot at 1, twenty times the bound of harm: nobody is harmed by what others might want."""
    team = parse_team_budgets("1000/1d")
    rations = Rations(DEAR, team, prices={team[0].name: 1.0})
    got = draw(Request("u", {}, EVERY, arm=Arm.RANDOM), given=replace(COLD, rations=rations))[
        0
    ].decision
    assert [1.0] * 4 == got.forecasts.scarcity.tolist()
    assert [0.25, 0.25, 0.25, 0.0] == got.forecasts.propensity.tolist()


@pytest.mark.parametrize("arm", [Arm.RANDOM, Arm.BANDIT])
@pytest.mark.parametrize("unit", [0.01, 10.0, 1000.0])
def test_the_unit_of_worth_switches_neither_the_random_arm_nor_the_floor_off(
    arm: Arm, unit: float
) -> None:
    """All worth and all costs times `unit`: what harms at 1 harms at 1000, and nothing else.

    In clicks `plain` costs 0.02 and `dear` 0.3, on either side of the bound of 0.05.
    """
    costs = {"plain": 0.02, "dear": 0.3}

    def law(unit: float) -> list[float]:
        messages = {name: Message(id=name, send_cost=c * unit) for name, c in costs.items()}
        patience = ConstantPatience(5.0 * unit)
        given = replace(model(patience=patience), catalog=Catalog(1, messages))
        request = Request("u", {}, tuple(costs), value=unit, arm=arm)
        got = draw(request, given=given)[0].decision
        return [float(each) for each in got.forecasts.propensity]

    plain, dear = law(1.0)
    assert plain > 0.009
    assert 0.0 == dear
    assert [plain, dear] == pytest.approx(law(unit), abs=GRID)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 1.0, 20.0]))
def test_a_random_law_is_even_to_the_grid_and_never_on_what_harms(seed: int, value: float) -> None:
    rng = np.random.default_rng(seed)
    names = tuple(rng.permutation(EVERY)[: rng.integers(0, 5)].tolist())
    patience = ConstantPatience(float(rng.exponential(20.0)))
    request = Request("u", random_context(rng), names, value=value, arm=Arm.RANDOM)
    got = draw(request, given=model(patience=patience))[0].decision
    harm = got.forecasts.unsubscribe + got.price + got.forecasts.send_cost
    harmless = (harm <= Policy().floor_harm * value) & (value > 0)
    expected = harmless / (1 + harmless.sum())
    assert np.allclose(expected, got.forecasts.propensity, atol=GRID)
    assert 1.0 == got.forecasts.propensity.sum() + (got.abstain_propensity or 0.0)


def test_business_as_usual_takes_the_first_candidate_whatever_is_forecast() -> None:
    """Even `news`, whose send costs 20 times what a click brings in."""
    for order in (("news", "plain"), ("plain", "news")):
        got = one(Arm.BUSINESS_AS_USUAL, order)
        assert (order[0], 1.0, 0.0, Reason.CHOSEN) == (
            got.action,
            got.propensity,
            got.abstain_propensity,
            got.reason,
        )
    nothing = one(Arm.BUSINESS_AS_USUAL, ())
    assert (None, 1.0, Reason.NO_CANDIDATE) == (
        nothing.action,
        nothing.propensity,
        nothing.reason,
    )


def test_the_holdout_gets_nothing_even_if_candidates_slip_through() -> None:
    got = [each.decision for each in draw(Request("u", {}, EVERY, arm=Arm.HOLDOUT), 500)]
    assert {(None, 1.0)} == {(each.action, each.propensity) for each in got}


def test_the_shadow_writes_down_the_bandits_law_and_draws_nothing() -> None:
    bandit, shadow = one(Arm.BANDIT), one(Arm.SHADOW)
    assert bandit.forecasts.propensity.tolist() == shadow.forecasts.propensity.tolist()
    assert bandit.abstain_propensity == shadow.abstain_propensity
    assert bandit.abstain_reward == shadow.abstain_reward
    assert (None, None, Reason.SHADOW) == (shadow.action, shadow.propensity, shadow.reason)
    drawn = draw(Request("u", {}, EVERY, arm=Arm.SHADOW), 200, given=model(unprompted=True))
    assert {(None, b"")} == {(each.decision.action, each.teaching) for each in drawn}


def test_a_rule_that_bars_everything_holds_in_every_arm() -> None:
    for arm in Arm:
        request = Request("u", {}, (), barred=Reason.PAUSED, arm=arm)
        got = draw(request)[0].decision
        assert (None, 1.0, Reason.PAUSED) == (got.action, got.propensity, got.reason)


@pytest.mark.parametrize("arm", [Arm.RANDOM, Arm.BUSINESS_AS_USUAL])
def test_trial_and_abstain_reward_are_the_learned_policys_alone(arm: Arm) -> None:
    """At 30 days of silence the bandit tries again; forecasts elsewhere stay pessimistic."""
    dear = model(send_cost=0.04)
    got = draw(Request("u", {}, EVERY, arm=arm), given=dear, days=30)[0].decision
    bandit = draw(Request("u", {}, EVERY), given=dear, days=30)[0].decision
    assert np.all(got.forecasts.p_unsubscribe > bandit.forecasts.p_unsubscribe)
    assert 0.0 == got.abstain_reward
    assert draw(Request("u", {}, EVERY), given=dear)[0].decision.abstain_reward > 0.0
    assert Reason.TRIAL not in {
        each.decision.reason
        for each in draw(Request("u", {}, EVERY, arm=arm), 50, given=dear, days=30)
    }


@pytest.mark.parametrize("arm", [Arm.RANDOM, Arm.BUSINESS_AS_USUAL])
def test_sends_of_every_arm_teach_and_their_terms_are_on_record(arm: Arm) -> None:
    sends = [
        each
        for each in draw(Request("u", {}, EVERY, arm=arm), 40)
        if each.decision.action is not None
    ]
    assert sends
    assert all(each.teaching for each in sends)
    read = from_row(to_row(sends[0].decision))
    assert (arm, arm) == (read.arm, read.policy)
    assert one(Arm.BANDIT).forecasts.gain.tolist() == read.forecasts.gain.tolist()
    assert one(Arm.BANDIT).forecasts.net.tolist() == read.forecasts.net.tolist()


def test_in_a_mixed_batch_everybody_has_the_law_of_their_own_arm() -> None:
    requests = [Request(f"u{n}", {}, EVERY, arm=arm) for n, arm in enumerate(Arm)]
    states = [UserState(last_send_at=0.0)] * len(requests)
    rng = np.random.default_rng(0)
    drawn = decide(COLD, requests, states, ["d"] * len(requests), now=0.0, rng=rng)
    for arm, each in zip(Arm, drawn, strict=True):
        alone, found = one(arm).forecasts.propensity, each.decision.forecasts.propensity
        assert np.allclose(alone, found, atol=2e-3)
        assert arm == each.decision.arm
