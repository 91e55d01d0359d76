"""Requests and states in, decisions out: who is left alone, why, and what was drawn from what."""

import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import chisquare

from engine.catalog import Catalog, Message
from engine.decision import Context, Decision, Reason, Request, UserState
from engine.decision_log import from_row, to_row
from engine.exploration import Explorer, InverseGap, Thompson
from engine.learning import Priors
from engine.patience import ConstantPatience
from engine.policy import CHUNK, Model, Policy, decide
from engine.response import Prior
from engine.snapshot import Snapshot, features
from tests.unit.engine.models import CATALOG, random_context, taught

DAY = 86_400.0
LEARNED = taught(1, 400).snapshot(5)
EVERY = tuple(CATALOG.messages)
MODEL = Model(Policy(), LEARNED, CATALOG)
GRID = 2.0**-22


def ask(
    request: Request,
    state: UserState | None = None,
    *,
    model: Model = MODEL,
    now: float = 0.0,
    seed: int = 0,
) -> Decision:
    """One decision."""
    rng = np.random.default_rng(seed)
    return decide(model, [request], [state or UserState()], ["d1"], now=now, rng=rng)[0].decision


def cold(click: float, **policy: object) -> Model:
    """A model before its first lesson that believes in this click rate."""
    priors = (Prior(base_rate=click), Priors().unsubscribe)
    return Model(replace(Policy(), **policy), Snapshot.cold(priors), CATALOG)  # type: ignore[arg-type]


def test_who_has_unsubscribed_is_left_alone_and_the_record_says_why() -> None:
    got = ask(Request("u", {}, (), barred=Reason.UNSUBSCRIBED))
    assert (None, Reason.UNSUBSCRIBED) == (got.action, got.reason)
    assert (1.0, 1.0) == (got.propensity, got.abstain_propensity)


def test_what_was_blocked_is_on_the_record_with_its_reason() -> None:
    blocked = (("ghost", Reason.UNKNOWN_MESSAGE),)
    assert blocked == ask(Request("u", {}, EVERY, blocked=blocked)).blocked
    nothing = ask(Request("u", {}, (), blocked=blocked))
    assert (Reason.NO_CANDIDATE, None, 1.0) == (nothing.reason, nothing.action, nothing.propensity)


def test_a_batch_without_any_candidate_abstains() -> None:
    requests = [Request(f"u{i}", {}, ()) for i in range(3)]
    rng = np.random.default_rng(0)
    drawn = decide(MODEL, requests, [UserState()] * 3, ["a", "b", "c"], now=0.0, rng=rng)
    assert [Reason.NO_CANDIDATE] * 3 == [each.decision.reason for each in drawn]
    assert [b""] * 3 == [each.teaching for each in drawn]


def test_no_request_is_no_decision() -> None:
    assert [] == decide(MODEL, [], [], [], now=0.0, rng=np.random.default_rng(0))


def test_silence_by_forecast_and_silence_by_draw_have_different_reasons() -> None:
    """A click worth 0.02: against a send cost of 0.5 silence is greedy, against 0.018 explored."""
    free = ConstantPatience(unsubscribe_cost=0.0)
    dear = ask(Request("u", {}, ("plain",)), model=cold(0.02, patience=free, send_cost=0.5))
    assert (None, Reason.ANNOYANCE_OUTWEIGHS_GAIN) == (dear.action, dear.reason)
    cheap = cold(0.02, patience=free, send_cost=0.018)
    got = [ask(Request("u", {}, ("plain",)), model=cheap, seed=seed) for seed in range(60)]
    assert {(None, Reason.EXPLORED_SILENCE), ("plain", Reason.CHOSEN)} == {
        (each.action, each.reason) for each in got
    }


def test_a_user_left_in_peace_for_long_is_tried_again_without_pessimism_or_reward() -> None:
    """Three half-lives of 4 days are less than the least gap of 14 days, which decides."""
    model = cold(0.02, patience=ConstantPatience(unsubscribe_cost=10.0), send_cost=0.01)
    request = Request("u", {}, EVERY)
    recent, long_ago = (
        ask(request, UserState(last_send_at=0.0), model=model, now=days * DAY)
        for days in (14, 14.01)
    )
    assert recent.abstain_reward > 0.0 == long_ago.abstain_reward
    assert np.all(long_ago.forecasts.p_unsubscribe < recent.forecasts.p_unsubscribe)
    base_rate = np.float32(Priors().unsubscribe.base_rate)
    assert np.allclose(base_rate, long_ago.forecasts.p_unsubscribe, rtol=1e-5)
    assert long_ago.abstain_propensity is not None
    assert recent.abstain_propensity is not None
    assert long_ago.abstain_propensity < recent.abstain_propensity


def test_a_send_after_long_silence_is_called_a_trial() -> None:
    model = cold(0.2)
    request, quiet = Request("u", {}, EVERY), UserState(last_send_at=0.0)
    reasons = {ask(request, quiet, model=model, now=30 * DAY, seed=s).reason for s in range(40)}
    assert Reason.TRIAL in reasons
    assert Reason.CHOSEN not in reasons


def test_a_user_never_sent_to_is_no_trial() -> None:
    assert Reason.CHOSEN == ask(Request("u", {}, EVERY), model=cold(0.5), now=1e9).reason


@pytest.mark.parametrize("explorer", [Thompson(), InverseGap()])
def test_the_same_seed_gives_the_same_decisions_to_the_byte(explorer: Explorer) -> None:
    model = Model(Policy(explorer=explorer), LEARNED, CATALOG)
    rng = np.random.default_rng(3)
    requests = [Request(f"u{i}", random_context(rng), EVERY[: i % 5]) for i in range(2 * CHUNK + 3)]
    states = [UserState(burden=float(i % 3)) for i in range(len(requests))]
    ids = [f"d{i}" for i in range(len(requests))]

    def rows() -> list[tuple[bytes, bytes]]:
        drawn = decide(model, requests, states, ids, now=5.0, rng=np.random.default_rng(1))
        return [(to_row(each.decision), each.teaching) for each in drawn]

    assert rows() == rows()
    assert ids == [from_row(row).decision_id for row, _ in rows()]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([Thompson(), InverseGap()]),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_every_record_adds_up(seed: int, explorer: Explorer, rho: float) -> None:
    """Law, prices and reward of a record are consistent, whatever was asked."""
    rng = np.random.default_rng(seed)
    names = tuple(rng.permutation(EVERY)[: rng.integers(0, 5)].tolist())
    policy = Policy(
        explorer=explorer,
        rho=rho,
        patience=ConstantPatience(float(rng.exponential(20.0)), float(rng.exponential(0.01))),
        send_cost=float(rng.exponential(0.02)),
        unprompted=bool(rng.random() < 0.3),
    )
    value = float(rng.choice([0.0, 1e-9, 1.0, 1e9]))
    request = Request("u", random_context(rng), names, value=value)
    got = ask(request, UserState(burden=2.0), model=Model(policy, LEARNED, CATALOG), seed=seed)
    columns = got.forecasts
    assert 1.0 == columns.propensity.sum() + (got.abstain_propensity or 0.0)
    if got.chosen is None:
        assert got.propensity == got.abstain_propensity
    else:
        assert got.propensity == columns.propensity[got.chosen] > 0.0
    annoyance = columns.unsubscribe + got.price + columns.send_cost
    assert np.array_equal(columns.net, columns.gain - annoyance)
    assert np.array_equal(columns.gain, value * (columns.p_click - got.p0))
    shortfall = max(0.0, -columns.net.max()) if names else 0.0
    assert rho * shortfall == got.abstain_reward
    if value == 0.0:
        assert got.action is None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_company_in_a_batch_changes_forecasts_by_rounding_alone(seed: int) -> None:
    """A float32 ulp may cross a step of the table of Phi, which moves a law by up to 1e-3."""
    rng = np.random.default_rng(seed)
    requests = [
        Request(f"u{i}", random_context(rng), EVERY[: rng.integers(0, 5)]) for i in range(6)
    ]
    requests.append(requests[0])
    states = [UserState(burden=float(rng.exponential())) for _ in range(6)]
    states.append(states[0])
    drawn = decide(MODEL, requests, states, ["d"] * 7, now=0.0, rng=rng)
    for request, state, each in zip(requests, states, drawn, strict=True):
        alone, joint = ask(request, state).forecasts, each.decision.forecasts
        assert np.allclose(alone.p_click, joint.p_click, rtol=1e-5)
        assert np.allclose(alone.net, joint.net, atol=1e-5)
        assert np.allclose(alone.propensity, joint.propensity, atol=2e-3)
    assert np.array_equal(
        drawn[0].decision.forecasts.propensity, drawn[-1].decision.forecasts.propensity
    )


@pytest.mark.parametrize("explorer", [Thompson(scale=1.0), InverseGap(gamma=300.0)])
def test_actions_come_as_often_as_their_logged_propensities_say(explorer: Explorer) -> None:
    """20,000 draws of one state in batches of 1,000; chi-squared, cells under 5 pooled.

    A right law fails with probability 1e-4, and the seed is fixed.
    """
    model = cold(0.03, explorer=explorer, send_cost=0.03)
    request, state = Request("u", {"country": "DE"}, EVERY), UserState(burden=0.5)
    rng = np.random.default_rng(12)
    counts: Counter[str | None] = Counter()
    for _ in range(20):
        drawn = decide(model, [request] * 1000, [state] * 1000, ["d"] * 1000, now=0.0, rng=rng)
        counts.update(each.decision.action for each in drawn)
    law = drawn[0].decision
    expected = 20_000 * np.append(law.forecasts.propensity, law.abstain_propensity or 0.0)
    actual = np.array([counts[name] for name in (*EVERY, None)])
    large = expected >= 5
    assert 3 <= large.sum()
    pooled = [np.append(each[large], each[~large].sum()) for each in (actual, expected)]
    keep = pooled[1] > 0
    assert 0 == pooled[0][~keep].sum()
    assert chisquare(pooled[0][keep], pooled[1][keep]).pvalue > 1e-4


def many(size: int) -> Model:
    """A cold model with so many messages."""
    names = [f"m{k}" for k in range(size)]
    catalog = Catalog(1, {name: Message(id=name) for name in names})
    return replace(cold(0.02, send_cost=0.002), catalog=catalog)


def test_memory_does_not_grow_with_the_users_of_a_batch_of_many_messages() -> None:
    """2,000 messages: 2 users and 16 users need the same arrays, but for what is on record."""
    model = many(2000)
    names = tuple(model.catalog.messages)

    def peak(users: int) -> int:
        tracemalloc.start()
        try:
            requests = [Request(f"u{i}", {}, names) for i in range(users)]
            states, ids = [UserState()] * users, ["d"] * users
            decide(model, requests, states, ids, now=0.0, rng=np.random.default_rng(0))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    assert peak(16) < 1.5 * peak(2)


def test_one_user_with_many_messages_takes_no_answer_from_the_others() -> None:
    """Before, between and after him: in order, and each from their own law."""
    model = many(5000)
    names = tuple(model.catalog.messages)
    wanted = [names[:3], names[:2], names, names[4:5], (), names[:3]]
    requests = [Request(f"u{i}", {}, each) for i, each in enumerate(wanted)]
    states, ids = [UserState()] * len(wanted), [f"d{i}" for i in range(len(wanted))]
    drawn = decide(model, requests, states, ids, now=0.0, rng=np.random.default_rng(0))
    assert [r.user_id for r in requests] == [each.decision.user_id for each in drawn]
    assert ids == [each.decision.decision_id for each in drawn]
    for request, each in zip(requests, drawn, strict=True):
        alone, found = ask(request, model=model).forecasts, each.decision.forecasts
        assert np.allclose(alone.propensity, found.propensity, rtol=0.0, atol=2 * GRID)


def test_harmless_candidates_keep_a_floor_and_harmful_ones_do_not() -> None:
    """A floor of 0.01 over three of four; the fourth's own send cost makes it harmful."""
    dear = Catalog(1, {**CATALOG.messages, "news": Message(id="news", send_cost=0.4)})
    model = replace(cold(0.01, send_cost=0.02), catalog=dear)
    propensity = ask(Request("u", {}, EVERY), model=model).forecasts.propensity
    assert 0.0 == propensity[3]
    assert np.all(propensity[:3] >= 0.01 / 3 - GRID)


def test_a_send_dearer_than_a_click_is_worth_is_not_made() -> None:
    """Even a certain click, worth 1, does not pay for a send at 1.5; the floor does not lift it."""
    got = ask(Request("u", {}, EVERY), model=cold(0.9, send_cost=1.5))
    assert 0.0 == got.forecasts.propensity[:3].sum()


def test_where_outcomes_happen_unprompted_only_the_increment_is_a_gain() -> None:
    """Before any lesson a push adds nothing, so nothing but its cost is left of it.

    And its silence can teach: what abstaining brings is asked of the same head.
    """
    model = cold(0.3, unprompted=True)
    drawn = decide(
        model,
        [Request("u", {}, EVERY)],
        [UserState()],
        ["d"],
        now=0.0,
        rng=np.random.default_rng(0),
    )[0]
    assert np.allclose(0.3, drawn.decision.p0, rtol=1e-5)
    assert np.allclose(0.0, drawn.decision.forecasts.gain, atol=1e-6)
    assert drawn.teaching


def test_burden_on_the_record_is_the_one_before_the_send() -> None:
    """2 at time 0, a half-life of 4 days, asked after 8: 0.5."""
    assert 0.5 == ask(Request("u", {}, EVERY), UserState(burden=2.0), now=8 * DAY).burden


def test_what_a_decision_teaches_is_what_it_was_scored_with() -> None:
    """The lesson's features, scored by the snapshot's own columns, give the logged forecast."""
    context: Context = {"country": "DE", "tenure": 120.0}
    got = ask(Request("u", context, EVERY), UserState(burden=1.0))
    slots, values = features(
        LEARNED.encoder.encode(context),
        got.burden,
        CATALOG.hashes(np.array([2]))[0],
    )
    logit = float(LEARNED._table[slots, 0] @ values)
    assert np.isclose(expit(logit), got.forecasts.p_click[2], rtol=1e-5)
