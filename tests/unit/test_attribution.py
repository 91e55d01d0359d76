"""Sharing an unsubscribe, and the labels of one decision."""

import math

import pytest

from engine.attribution import Arrival, Ends, Labels, credit, settle

SEND = Ends(click=10.0, unsubscribe=70.0)
DEFERRED = Ends(click=10.0, unsubscribe=70.0, confirm_by=5.0)
UNPROMPTED = Ends(click=10.0, unsubscribe=None, gain_event="conversion")
CENSORED = Labels(None, None, censored=True)


def labels(click: float | None, unsubscribe: float | None) -> Labels:
    return Labels(click, unsubscribe, censored=False)


def test_credit_follows_the_hazards() -> None:
    """0.01 / 0.04 and 0.03 / 0.04."""
    assert pytest.approx([0.25, 0.75]) == credit([0.01, 0.03])


def test_credit_is_equal_where_no_hazard_was_logged() -> None:
    assert [0.25] * 4 == credit([0.0] * 4)


def test_a_single_send_takes_all_the_blame() -> None:
    assert [1.0] == credit([0.002])


def test_nobody_shares_nothing() -> None:
    assert [] == credit([])


def test_silence_settles_both_labels_to_zero() -> None:
    assert labels(0.0, 0.0) == settle([], SEND)


def test_an_end_is_outside_its_window() -> None:
    assert labels(1.0, 0.0) == settle([Arrival("click", math.nextafter(10.0, 0.0))], SEND)
    assert labels(0.0, 0.0) == settle([Arrival("click", 10.0)], SEND)
    assert labels(0.0, 1.0) == settle([Arrival("unsubscribe", 69.0)], SEND)
    assert labels(0.0, 0.0) == settle([Arrival("unsubscribe", 70.0)], SEND)


def test_the_earliest_unsubscribe_settles_the_label() -> None:
    shared, whole = Arrival("unsubscribe", 1.0, 0.4), Arrival("unsubscribe", 2.0, 1.0)
    assert labels(0.0, 0.4) == settle([whole, shared], SEND)


def test_at_the_same_instant_the_larger_share_settles_it() -> None:
    arrivals = [Arrival("unsubscribe", 1.0, share) for share in (None, 0.0, 1.0, 0.4)]
    assert labels(0.0, 1.0) == settle(arrivals, SEND)
    assert labels(0.0, 0.0) == settle(arrivals[:2], SEND)


def test_an_unsubscribe_of_another_decision_leaves_no_label() -> None:
    assert labels(1.0, None) == settle(
        [Arrival("unsubscribe", 1.0, None, named=False), Arrival("click", 2.0)], SEND
    )


@pytest.mark.parametrize("at", [0.0, 69.0])
def test_not_sent_censors_until_the_last_window_closes(at: float) -> None:
    arrivals = [Arrival("click", 1.0), Arrival("unsubscribe", 2.0), Arrival("not_sent", at)]
    assert CENSORED == settle(arrivals, SEND)


def test_not_sent_after_the_last_window_comes_too_late() -> None:
    assert labels(1.0, 0.0) == settle([Arrival("click", 1.0), Arrival("not_sent", 70.0)], SEND)


def test_not_sent_overrules_sent_in_either_order() -> None:
    for first, second in ((1.0, 2.0), (2.0, 1.0)):
        assert CENSORED == settle([Arrival("sent", first), Arrival("not_sent", second)], DEFERRED)


def test_an_abstention_that_waits_for_an_outcome_can_be_withdrawn() -> None:
    """A sender that did something else than Forbear answered says so, and nothing is learned."""
    assert CENSORED == settle([Arrival("not_sent", 1.0)], UNPROMPTED)
    assert labels(0.0, None) == settle([Arrival("not_sent", 10.0)], UNPROMPTED)


def test_an_abstention_without_labels_can_be_withdrawn_at_any_time() -> None:
    assert CENSORED == settle([Arrival("not_sent", 1e9)], Ends(None, None))


def test_the_gain_event_alone_is_the_click_label() -> None:
    assert labels(0.0, None) == settle([Arrival("click", 1.0)], UNPROMPTED)
    assert labels(1.0, None) == settle([Arrival("conversion", 1.0)], UNPROMPTED)
    assert labels(0.0, 0.0) == settle([Arrival("conversion", 1.0)], SEND)


@pytest.mark.parametrize("kind", ["sent", "click", "dismiss", "unsubscribe"])
def test_only_a_push_that_went_out_can_cause_these(kind: str) -> None:
    assert not settle([Arrival(kind, 4.0)], DEFERRED).censored
    assert CENSORED == settle([Arrival(kind, 5.0)], DEFERRED)


def test_these_confirm_nothing() -> None:
    arrivals = [Arrival("conversion", 1.0), Arrival("unsubscribe", 1.0, 0.5, named=False)]
    assert CENSORED == settle(arrivals, DEFERRED)
    assert CENSORED == settle([], DEFERRED)
