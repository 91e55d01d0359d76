"""The price of patience against cases that can be worked out, and against a fine grid."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from engine.burden_process import Offers, Pace, choice, process, worth_of
from engine.catalog import Catalog, Message
from engine.context import EncoderState
from engine.decision import Context, Decision, Floats, Request, UserState
from engine.learning import Learner, Lesson, Priors, teaching
from engine.moments import ENOUGH, Moments
from engine.patience import DAY, ConstantPatience, LearnedPatience, Patience
from engine.policy import Model, Policy, decide
from engine.snapshot import Snapshot

CATALOG = Catalog(1, {name: Message(id=name) for name in ("a", "b")})
HOUR = 3600.0
EMPTY = EncoderState().encode({})
HASHES = CATALOG.hashes(np.array([0]))[0]


def solved(
    worth: Floats, stays: Floats, pace: Pace, points: int, rounds: int = 30
) -> tuple[Floats, Offers]:
    """(1, G) V of one user with one message; worth and stays are functions of the grid, (G,)."""
    of = process(pace, points)
    offers = Offers(worth[None, :, None, None], stays[None, :, None, None], np.ones(1))
    values = np.zeros((1, points))
    for _ in range(rounds):
        values = worth_of(*choice(values, offers, of), offers, of)
    return values, offers


def price_at(pace: Pace, burdens: Floats, points: int, click: float, leave: float) -> Floats:
    """Prices of a user whose click logit falls, and whose unsubscribe logit rises, with burden."""
    of = process(pace, points)
    worth = expit(click - of.grid) - 0.002
    values, _ = solved(worth, expit(-(leave + 0.8 * of.grid)), pace, points)
    waiting, sending = of.at(burdens, np.repeat(values, burdens.size, axis=0))
    return waiting - sending


def test_without_fatigue_the_future_is_a_geometric_sum() -> None:
    """At p = 0.2, hazard 0.01, discount d = exp(-1/60): V = 0.2 / (1 - 0.99 d), price 0."""
    pace = Pace(DAY, DAY, 4 * DAY, 60 * DAY)
    of = process(pace)
    values, _ = solved(np.full(16, 0.2), np.full(16, 0.99), pace, 16)
    discount = np.exp(-1 / 60)
    assert np.allclose(0.2 / (1 - 0.99 * discount), values)
    waiting, sending = of.at(np.array([0.0, 3.0]), np.repeat(values, 2, axis=0))
    assert np.allclose(0.0, waiting - sending, atol=1e-9)
    assert np.allclose(discount * values[0, 0], sending)


@pytest.mark.parametrize("gap", [4 * HOUR, DAY])
@pytest.mark.parametrize("half_life", [2 * DAY, 5 * DAY, 8 * DAY])
def test_the_grid_gives_the_price_within_5_percent_of_100_points(
    gap: float, half_life: float
) -> None:
    """Error in parts of the largest price, at burdens that a sender visits. The future's worth is
    further off: at 4 hours up to a quarter too high.
    """
    burdens = np.array([0.0, 0.5, 1.0, 2.0, 3.0])
    for click, leave in ((-1.0, -7.0), (0.0, -8.0), (-3.0, -7.0), (-4.0, -6.0)):
        pace = Pace(gap, gap, half_life, 60 * DAY)
        fine = price_at(pace, burdens, 100, click, leave)
        assert np.abs(price_at(pace, burdens, 16, click, leave) - fine).max() < 0.05 * fine.max()


def test_every_round_of_policy_iteration_is_no_worse_than_the_one_before() -> None:
    pace = Pace(DAY, DAY, 5 * DAY, 60 * DAY)
    of = process(pace)
    worth, stays = expit(-1.0 - of.grid), expit(7.0 - 0.8 * of.grid)
    before, _ = solved(worth, stays, pace, 16, rounds=1)
    for rounds in range(2, 8):
        after, _ = solved(worth, stays, pace, 16, rounds=rounds)
        assert (after >= before - 1e-9).all()
        before = after


def taught(clicks_fall: bool, leave: float = 0.0) -> Learner:
    """A learner that has seen 6,000 sends; clicks 0.3, or falling with burden."""
    rng = np.random.default_rng(1)
    learner = Learner(Priors())
    for _ in range(6000):
        burden = float(rng.uniform(0, 4))
        lesson = teaching(EMPTY, {}, burden, HASHES)
        p = expit(-0.5 - burden) if clicks_fall else 0.3
        learner.learn(Lesson("click", int(rng.random() < p), 1.0, 0.0, 0.0, True, lesson))
        learner.learn(
            Lesson("unsubscribe", int(rng.random() < leave), 1.0, 0.0, 0.0, False, lesson)
        )
    return learner


TIRING = taught(clicks_fall=True).snapshot(1)
TOUCHY = taught(clicks_fall=True, leave=0.01).snapshot(1)
STEADY = taught(clicks_fall=False).snapshot(1)


def asked(
    patience: Patience,
    snapshot: Snapshot = TIRING,
    burden: float = 1.0,
    value: float = 1.0,
    context: Context | None = None,
    pessimism: float = 0.5,
    send_cost: float = 0.0,
) -> Decision:
    policy = Policy(patience=patience, pessimism=pessimism, send_cost=send_cost, half_life=4 * DAY)
    request = Request("u", context or {}, ("a",), value=value)
    state = UserState(burden=burden, burden_at=0.0, last_send_at=0.0)
    rng = np.random.default_rng(0)
    model = Model(policy, snapshot, CATALOG)
    return decide(model, [request], [state], ["d"], now=0.0, rng=rng)[0].decision


def test_tiring_clicks_give_a_price_and_steady_ones_next_to_none() -> None:
    assert asked(LearnedPatience()).price > 0.05
    assert asked(LearnedPatience(), STEADY).price < 0.02


def test_where_burden_does_nothing_losing_a_user_costs_the_same_at_any_burden() -> None:
    """Before the first lesson people are taken to tire by 0, not by what is doubted of it."""
    cold = Learner(Priors()).snapshot(0)
    costs = [asked(LearnedPatience(), cold, burden=b).unsubscribe_cost for b in (0.0, 1.0, 3.0)]
    assert costs[0] > 0.5
    assert np.allclose(costs[0], costs)


def test_what_comes_anyway_is_not_lost_with_the_user() -> None:
    """Nothing was learned of any message: each has the rate of silence, and a send adds nothing."""
    requests, states = [Request("u", {}, ("a",))], [UserState(burden=1.0)]
    cost = {}
    for unprompted in (False, True):
        policy = Policy(patience=LearnedPatience(), unprompted=unprompted)
        model = Model(policy, Learner(Priors()).snapshot(0), CATALOG)
        rng = np.random.default_rng(0)
        drawn = decide(model, requests, states, ["d"], now=0.0, rng=rng)
        cost[unprompted] = drawn[0].decision.unsubscribe_cost
    assert cost[False] > 0.5
    assert cost[True] < 1e-3


def test_a_price_does_not_depend_on_who_was_asked_before() -> None:
    """Users worth a tenth to ten times the mean, at a send cost that silences some of them."""
    rng = np.random.default_rng(3)
    values, burdens = np.exp(rng.normal(0.0, 1.0, 60)), rng.gamma(1.0, 2.0, 60)

    def cost(patience: Patience, i: int) -> float:
        got = asked(patience, TOUCHY, float(burdens[i]), float(values[i]), send_cost=0.05)
        return got.unsubscribe_cost / float(values[i])

    shared = LearnedPatience()
    for _ in range(2):
        together = [cost(shared, i) for i in range(60)]
    alone = [cost(LearnedPatience(), i) for i in range(60)]
    assert np.allclose(alone, together, rtol=0.02, atol=1e-4)


def test_both_parts_of_the_annoyance_are_in_the_record() -> None:
    """In all: p_unsubscribe L + price + send cost, each part by itself."""
    got = asked(LearnedPatience(), send_cost=0.002)
    assert got.unsubscribe_cost > 0
    assert np.isclose(
        got.forecasts.gain[0] - got.forecasts.net[0],
        got.forecasts.p_unsubscribe[0] * got.unsubscribe_cost + got.price + 0.002,
    )


def test_costs_scale_with_the_value_of_the_user() -> None:
    one, ten = asked(LearnedPatience()), asked(LearnedPatience(), value=10.0)
    assert np.isclose(10 * one.price, ten.price, rtol=1e-6)
    assert np.isclose(10 * one.unsubscribe_cost, ten.unsubscribe_cost, rtol=1e-6)


def test_the_price_is_capped() -> None:
    assert asked(LearnedPatience(most_price=0.01), value=3.0).price == pytest.approx(0.03)


def test_strength_counts_an_unsubscribe_several_times() -> None:
    """Three times the hazard in the future as well: leaving costs more than once, less than 3."""
    one, three = asked(LearnedPatience(), TOUCHY), asked(LearnedPatience(strength=3.0), TOUCHY)
    assert one.unsubscribe_cost < three.unsubscribe_cost < 3 * one.unsubscribe_cost


def test_pessimism_moves_the_decision_and_not_the_future() -> None:
    """The price is the same; the hazard that is paid for now is not."""
    calm, afraid = asked(LearnedPatience(), pessimism=0.0), asked(LearnedPatience(), pessimism=2.0)
    assert calm.price == afraid.price
    assert calm.unsubscribe_cost == afraid.unsubscribe_cost
    assert calm.forecasts.p_unsubscribe[0] < afraid.forecasts.p_unsubscribe[0]


def test_the_switch_is_the_other_patience() -> None:
    got = asked(ConstantPatience(5.0, 0.1))
    assert (5.0, 0.1) == (got.unsubscribe_cost, got.price)


def test_no_candidate_costs_nothing() -> None:
    model = Model(Policy(patience=LearnedPatience()), TIRING, CATALOG)
    requests = [Request("u", {}, ()), Request("v", {}, ("a", "b"))]
    rng = np.random.default_rng(0)
    none, some = decide(model, requests, [UserState()] * 2, ["d", "e"], now=0.0, rng=rng)
    assert (0.0, 0.0) == (none.decision.unsubscribe_cost, none.decision.price)
    assert some.decision.unsubscribe_cost > 0


def test_a_batch_is_priced_like_its_users_one_by_one() -> None:
    """Starts differ, so the iteration ends elsewhere by a little."""
    requests = [Request(f"u{i}", {}, ("a", "b")) for i in range(8)]
    states = [UserState(burden=0.4 * i) for i in range(8)]
    model = Model(Policy(patience=LearnedPatience()), TIRING, CATALOG)
    names = [f"d{i}" for i in range(8)]
    rng = np.random.default_rng(0)
    together = decide(model, requests, states, names, now=0.0, rng=rng)
    for i, one in enumerate(together):
        alone = decide(model, requests[i : i + 1], states[i : i + 1], ["d"], now=0.0, rng=rng)
        assert alone[0].decision.price == pytest.approx(one.decision.price, rel=0.01, abs=1e-4)


def meetings(moments: Moments, lasting: str, passing: str) -> None:
    """300 users met three times each."""
    rng = np.random.default_rng(0)
    tenure = rng.normal(size=300)
    for _ in range(3):
        for user in range(300):
            context = {lasting: float(tenure[user]), passing: float(rng.normal())}
            moments.meet([Request(f"u{user}", context, ())])


def test_what_changes_from_decision_to_decision_is_guessed_to_be_a_moment() -> None:
    moments = Moments()
    with pytest.warns(UserWarning, match="'hour' changes from decision to decision"):
        meetings(moments, "tenure", "hour")
    assert frozenset({"hour"}) == moments.keys
    assert ENOUGH <= 600


def test_what_is_declared_is_not_guessed() -> None:
    moments = Moments({"tenure": "user", "hour": "user"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        meetings(moments, "tenure", "hour")
    assert frozenset() == moments.keys


def some(rng: np.random.Generator, *keys: str) -> Context:
    """Each of these keys with one of two values, by a coin."""
    return {key: str(rng.choice(["yes", "no"])) for key in keys}


@pytest.mark.filterwarnings("ignore:context key")
def test_a_key_found_to_pass_is_in_the_moments_from_then_on() -> None:
    """Under the same snapshot: what stood for them before lacks it, in features and effects."""
    moments, rng = Moments(), np.random.default_rng(0)
    snapshot, rows = Snapshot.cold((Priors().click, Priors().unsubscribe)), np.zeros(1, np.int64)
    for turn in range(900):
        moments.meet([Request(f"u{turn % 300}", some(rng, "open"), ())])
    assert frozenset({"open"}) == moments.keys
    assert 2 == len(np.unique(np.concatenate([n.hashes for n in moments.nodes(snapshot)])))
    assert 6 == moments.effects(snapshot, CATALOG, rows).shape[1]
    turn = 0
    while "rain" not in moments.keys:
        moments.meet([Request(f"u{turn % 300}", some(rng, "open", "rain"), ())])
        turn += 1
    assert ["open", "rain"] == sorted(moments.keys)
    (node,) = moments.nodes(snapshot)
    assert 2 == node.hashes.size
    assert 1 == moments.effects(snapshot, CATALOG, rows).shape[1]


def test_before_any_moment_was_met_one_without_effect_stands_for_them() -> None:
    moments = Moments({"hour": "moment"})
    assert not moments.met
    (node,) = moments.nodes(TIRING)
    assert 0 == node.hashes.size
    effects = moments.effects(TIRING, CATALOG, np.zeros(1, np.int64))
    assert [0.0, 0.0] == effects.ravel().tolist()
    moments.meet([Request("u", {"hour": 3.0}, ())])
    assert moments.met


def test_a_supposed_user_can_be_priced_before_anybody_was_met() -> None:
    """The hour at hand counts as lasting while no other is known, as if none were declared."""
    prices = []
    for keys in (None, {"hour": "moment"}):
        patience = LearnedPatience(keys=keys)  # type: ignore[arg-type]
        model = Model(Policy(patience=patience), TIRING, CATALOG)
        request, state = Request("u", {"hour": 3.0}, ("a", "b")), UserState(burden=1.0)
        rng = np.random.default_rng(0)
        (drawn,) = decide(model, [request], [state], ["d"], now=0.0, rng=rng, supposed=True)
        prices.append(drawn.decision.price)
    assert prices[0] == prices[1] > 0.0


def test_moments_stand_for_the_pool_in_equal_parts() -> None:
    """Six means of a normal number: their mean is 0, their spread nearly that of the pool."""
    moments = Moments({"hour": "moment"})
    rng = np.random.default_rng(0)
    learner = Learner(Priors())
    hours: list[Context] = [{"hour": float(hour)} for hour in rng.normal(size=256)]
    for hour in hours:
        moments.meet([Request("u", hour, ())])
        lesson = teaching(EMPTY, hour, 0.0, HASHES)
        learner.learn(Lesson("click", 0, 1.0, 0.0, 0.0, first=True, teaching=lesson))
    scaled = learner.snapshot(1).encoder
    for hour in hours:
        lesson = teaching(scaled.encode(hour), hour, 0.0, HASHES)
        good = int(float(hour["hour"]) > 0)
        learner.learn(Lesson("click", good, 1.0, 0.0, 0.0, first=False, teaching=lesson))
    nodes = moments.nodes(learner.snapshot(2))
    values = [float(node.values.sum()) for node in nodes]
    assert 6 == len(nodes)
    assert values == sorted(values)
    assert abs(np.mean(values)) < 0.1
    assert 0.85 < np.std(values) < 1.0


def test_a_passing_moment_moves_the_gain_and_not_the_price() -> None:
    """A good and a bad hour of the same user: the future is the same."""
    snapshot = TIRING
    patience = LearnedPatience(keys={"hour": "moment"})
    prices = [asked(patience, snapshot, context={"hour": hour}).price for hour in (-2.0, 2.0)]
    assert prices[0] == pytest.approx(prices[1], rel=0.02)


def test_a_user_who_never_got_anything_is_tried_again_too() -> None:
    """First seen 60 days ago and never sent to: no pessimism, no reward for silence."""
    state = UserState(first_seen_at=0.0)
    model = Model(Policy(patience=ConstantPatience(5.0, 0.9)), STEADY, CATALOG)
    rng = np.random.default_rng(0)
    request = Request("u", {}, ("a",))
    new = replace(state, first_seen_at=60 * DAY)
    old_one = decide(model, [request], [state], ["d"], now=60 * DAY, rng=rng)[0].decision
    new_one = decide(model, [request], [new], ["d"], now=60 * DAY, rng=rng)[0].decision
    assert 0.0 == old_one.abstain_reward < new_one.abstain_reward


@pytest.mark.parametrize("number", [1, 3])
def test_users_without_a_candidate_cost_nothing(number: int) -> None:
    asked = [Request(f"u{i}", {"country": "DE"}, ()) for i in range(number)]
    policy = Policy(patience=LearnedPatience())
    model = Model(policy, Learner(Priors()).snapshot(0), Catalog())
    drawn = decide(
        model,
        asked,
        [UserState()] * number,
        ["00-x"] * number,
        now=0.0,
        rng=np.random.default_rng(0),
    )
    assert [None] * number == [one.decision.action for one in drawn]
    assert {0.0} == {one.decision.price for one in drawn}
