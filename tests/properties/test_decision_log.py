"""A row is the decision it was made of, small, and of one format."""

import json
import sys
from dataclasses import fields

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arms import Arm
from engine.catalog import Catalog, Message
from engine.decision import Decision, Floats, Forecasts, Reason, Request, UserState
from engine.decision_log import FORMAT, contention, from_row, row_to_json, to_json, to_row
from engine.errors import BadInput
from engine.policy import Model, Policy, decide
from engine.snapshot import Snapshot
from engine.valuation import terms
from tests.unit.engine.models import taught

finite = st.floats(-1e9, 1e9)
positive = st.floats(0.0, 1e9)
chance = st.floats(0.0, 1.0, width=32)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
contexts = st.dictionaries(words, st.one_of(finite, words, st.booleans()), max_size=6)
blocks = st.lists(
    st.tuples(words, st.sampled_from(Reason)), max_size=4, unique_by=lambda block: block[0]
).map(tuple)


def column(draw: st.DrawFn, each: st.SearchStrategy[float], size: int) -> Floats:
    """(size,) numbers."""
    return np.array(draw(st.lists(each, min_size=size, max_size=size)), np.float64)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Any decision the policy could record, with forecasts and prices of any size."""
    names = draw(st.lists(words, max_size=20, unique=True))
    size = len(names)
    cost = column(draw, positive, size) if draw(st.booleans()) else np.full(size, draw(positive))
    scarcity = column(draw, positive, size) if draw(st.booleans()) else np.zeros(size)
    value, unsubscribe_cost, price = (draw(positive) for _ in range(3))
    p0 = draw(st.floats(0.0, 1.0))
    priced = terms(
        column(draw, chance, size)[None],
        column(draw, chance, size)[None],
        value=np.array([value]),
        p0=np.array([p0]),
        unsubscribe_cost=np.array([unsubscribe_cost]),
        price=np.array([price]),
        send_cost=cost[None],
        scarcity=scarcity[None],
    )
    chosen = draw(st.sampled_from([None, *names]))
    blocked = draw(blocks)
    free_at = {name: draw(st.sampled_from([1.5, draw(positive)])) for name, _ in blocked}
    if draw(st.booleans()):
        free_at = dict(list(free_at.items())[1:])
    return Decision(
        decision_id=draw(words),
        user_id=draw(words),
        at=draw(st.floats(0.0, 4e9)),
        context=draw(contexts),
        value=value,
        burden=draw(positive),
        candidates=tuple(names),
        forecasts=Forecasts(
            p_click=priced.p_click[0],
            p_unsubscribe=priced.p_unsubscribe[0],
            gain=priced.gain[0],
            unsubscribe=priced.unsubscribe[0],
            send_cost=priced.send_cost[0],
            scarcity=priced.scarcity[0],
            net=priced.net[0],
            propensity=column(draw, chance, size),
        ),
        blocked=blocked,
        p0=p0,
        unsubscribe_cost=unsubscribe_cost,
        price=price,
        action=chosen,
        propensity=draw(st.one_of(st.none(), chance)),
        abstain_propensity=draw(st.one_of(st.none(), chance)),
        abstain_reward=draw(positive),
        reason=draw(st.sampled_from(Reason)),
        arm=draw(st.sampled_from(Arm)),
        policy=draw(words),
        model_version=draw(st.integers(0, 2**40)),
        encoder_version=draw(st.integers(0, 99)),
        free_at=free_at,
        time_zone=draw(st.one_of(st.none(), words)),
    )


def assert_same(one: Decision, other: Decision) -> None:
    """Equal in every field, and to the bit in every column."""
    for each in fields(Decision):
        if each.name != "forecasts":
            assert getattr(one, each.name) == getattr(other, each.name), each.name
            assert type(getattr(one, each.name)) is type(getattr(other, each.name)), each.name
    for each in fields(Forecasts):
        expected, actual = getattr(one.forecasts, each.name), getattr(other.forecasts, each.name)
        assert expected.dtype == actual.dtype
        assert np.array_equal(expected, actual), each.name


@settings(max_examples=200, deadline=None)
@given(decisions())
def test_a_row_read_back_is_the_decision_in_every_field(decision: Decision) -> None:
    assert_same(decision, from_row(to_row(decision)))


@settings(max_examples=40, deadline=None)
@given(decisions())
def test_a_reader_sees_the_same_in_a_row_as_in_the_decision(decision: Decision) -> None:
    assert json.dumps(to_json(decision)) == json.dumps(row_to_json(to_row(decision)))


def test_contention_is_a_row_without_a_propensity() -> None:
    decision = contention("07-x", "u1", {"country": "DE"}, 2.0, 100.0)
    assert_same(decision, from_row(to_row(decision)))
    assert (None, None, Reason.CONTENTION) == (
        decision.propensity,
        decision.action,
        decision.reason,
    )


def real_decision() -> Decision:
    """20 candidates x 30 facts, decided by a learned model."""
    names = [f"message-{k:02}" for k in range(20)]
    catalog = Catalog(
        1, {name: Message(id=name, attributes={"category": name[-1]}) for name in names}
    )
    learner = taught(2, 100)
    snapshot: Snapshot = learner.snapshot(3)
    numbers = {f"number_{i:02}": 1.5 * i for i in range(15)}
    labels = {f"label_{i:02}": f"value-{i}" for i in range(15)}
    request = Request("user-1234567890", {**numbers, **labels}, tuple(names))
    model = Model(Policy(), snapshot, catalog)
    user = UserState(1.3, 0.0, 0.0)
    rng = np.random.default_rng(0)
    return decide(model, [request], [user], ["07-0123456789abcdef"], now=9e4, rng=rng)[0].decision


def test_a_row_costs_at_most_700_bytes_beyond_its_context(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """20 candidates: ids of 11 bytes (220) and three float32 columns (240) are 460 of them."""
    decision = real_decision()
    row, context = len(to_row(decision)), len(json.dumps(dict(decision.context)))
    whole = len(json.dumps(to_json(decision)))
    with capsys.disabled():
        sys.stdout.write(f"\nrow {row} bytes, context {context}, whole record {whole} as JSON\n")
    assert row <= context + 700
    assert_same(decision, from_row(to_row(decision)))


def refused(row: bytes) -> str:
    """The sentence a row is refused with."""
    with pytest.raises(BadInput, match=r"expected|reads format") as refusal:
        from_row(row)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_row_of_another_format_is_refused_not_guessed_at() -> None:
    values = msgspec.msgpack.decode(to_row(real_decision()))
    other = msgspec.msgpack.encode([FORMAT + 1, *values[1:]])
    assert f"format {FORMAT + 1}" in refused(other)
    shorter = msgspec.msgpack.encode([FORMAT + 1, "what a later release may write"])
    assert f"expected format {FORMAT}" in refused(shorter)


@pytest.mark.parametrize("cut", [0, 1, 50, -1])
def test_a_row_cut_short_is_refused(cut: int) -> None:
    refused(to_row(real_decision())[:cut])


@pytest.mark.parametrize(
    ("place", "value"),
    [(8, b"123"), (8, b"1234"), (17, 20), (17, -21), (13, [["m", "no_such_reason"]])],
)
def test_a_row_whose_parts_do_not_fit_is_refused(place: int, value: object) -> None:
    """Columns of another length than the candidates; a reason, an action that there is not."""
    values = msgspec.msgpack.decode(to_row(real_decision()))
    values[place] = value
    refused(msgspec.msgpack.encode(values))
