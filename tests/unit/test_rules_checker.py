"""The judge of the rules can find fault: each claim it makes is broken once."""

from dataclasses import replace

from engine.arms import Arm
from engine.decision import Decision, Reason
from engine.decision_log import contention
from tests.rules_checker import (
    Allowed,
    Limits,
    Logged,
    complaints,
    fullest_window,
    overspent,
    stood,
)

LIMITS = Limits(
    gap=10,
    caps=((2, 100),),
    tag_caps=(("offer", 1, 50),),
    cooldowns={"digest": 70},
    tags={"sale": ("offer",)},
    transactional=frozenset({"receipt"}),
)
WISHES = Limits(
    channels={"letter": "mail"},
    tiers={"alarm": 1},
    quiet=(22, 8),
    days=frozenset(range(6)),
    transactional=frozenset({"receipt"}),
)
HOUR = 3_600
NOON = 12 * HOUR
"""Of a Thursday, in UTC."""


def decision(at: float, action: str | None = None, **changes: object) -> Logged:
    """A decision about one user that offered its action alone."""
    plain = contention(f"d{at}", "u", {}, 1.0, at)
    offered = () if action is None else (action,)
    made = {"action": action, "candidates": offered} | changes
    changed: Decision = replace(plain, **made)  # type: ignore[arg-type]
    return Logged(at, decision=changed)


def test_sends_far_enough_apart_are_no_complaint() -> None:
    assert [] == complaints([decision(0, "sale"), decision(50, "sale"), decision(100, "a")], LIMITS)


def test_a_gap_too_small_is_found_in_order_and_by_time() -> None:
    found = complaints([decision(0, "a"), decision(9, "b")], LIMITS)
    assert ["d9: b was offered against ['gap']", "u: more than 1 in 10 s"] == found


def test_a_send_too_many_is_found_although_its_time_is_the_earliest() -> None:
    found = complaints([decision(60, "a"), decision(99, "b"), decision(0, "c")], LIMITS)
    assert ["d0: c was offered against ['cap', 'gap']", "u: more than 2 in 100 s"] == found


def test_a_tag_and_a_message_sent_too_often_are_found() -> None:
    found = complaints([decision(0, "sale"), decision(49, "sale")], LIMITS)
    assert ["d49: sale was offered against ['tag_cap']", "u: more than 1 of offer in 50 s"] == found
    found = complaints([decision(0, "digest"), decision(69, "digest")], LIMITS)
    assert ["d69: digest was offered against ['cooldown']", "u: digest twice in 70 s"] == found


def test_a_block_for_nothing_is_found() -> None:
    blocked = decision(10, blocked=(("a", Reason.GAP),))
    assert [] == complaints([decision(1, "a"), blocked], LIMITS)
    assert ["d10: a was blocked by gap for nothing"] == complaints([blocked], LIMITS)


def test_what_others_sent_counts_and_what_was_taken_back_does_not() -> None:
    external = Logged(0, user="u", external=True)
    assert ["d5: a was offered against ['gap']"] == complaints([external, decision(5, "a")], LIMITS)
    taken_back = [decision(0, "a"), Logged(1, taken_back="d0"), decision(5, "a")]
    assert [] == complaints(taken_back, LIMITS)


def test_the_fullest_window_is_open_at_one_end_and_without_what_was_taken_back() -> None:
    """Two a and one c within 10 s: 1 + 1 + 0.5; exactly 10 s apart is another window."""
    budget = Allowed(2, 10, {"a": 1, "c": 0.5})
    sends = [decision(0, "a"), decision(9, "a"), decision(9.5, "c"), decision(9.5, "else")]
    assert 2.5 == fullest_window(stood(sends), budget)
    assert 2 == fullest_window(stood([*sends[:2], decision(10, "a")]), budget)
    assert 1.5 == fullest_window(stood([*sends, Logged(11, taken_back="d9")]), budget)


def test_anything_offered_to_the_holdout_is_found_receipts_too() -> None:
    held = [decision(0, arm=Arm.HOLDOUT), decision(50, "receipt", arm=Arm.HOLDOUT)]
    assert ["d50: receipt was offered to the holdout"] == complaints(held, LIMITS)


def test_a_transactional_message_passes_and_counts() -> None:
    sends = [decision(0, "a"), decision(1, "receipt"), decision(10, "b")]
    assert ["d10: b was offered against ['cap', 'gap']"] == complaints(sends, LIMITS)


def test_a_message_on_a_channel_that_was_left_is_found_transactional_or_not() -> None:
    left = Logged(0, user="u", consent=("unsubscribe", "push"))
    sends = [decision(NOON, "receipt"), decision(NOON + 1, "letter")]
    told = [f"d{NOON}: receipt was offered against ['unsubscribed']"]
    assert told == complaints([left, *sends], WISHES)
    back = Logged(1, user="u", consent=("subscribe", ""))
    assert [] == complaints([left, back, *sends], WISHES)


def test_an_unsubscribe_nobody_asked_for_is_found() -> None:
    barred = decision(NOON, reason=Reason.UNSUBSCRIBED)
    told = [f"d{NOON}: a user who left nothing is unsubscribed"]
    assert told == complaints([barred], WISHES)
    left = Logged(0, user="u", consent=("unsubscribe", ""))
    assert [] == complaints([left, barred], WISHES)


def test_more_than_the_user_wants_is_found() -> None:
    wish = Logged(0, user="u", tolerance=(1, 10))
    sends = [decision(NOON, "a"), decision(NOON + 9, "receipt"), decision(NOON + 9.5, "b")]
    told = [f"d{NOON + 9.5}: b was offered against ['tolerance']"]
    assert told == complaints([wish, *sends], WISHES)
    assert [] == complaints([wish, Logged(1, user="u", tolerance=(0, 0)), *sends], WISHES)


def test_a_lower_tier_beside_a_higher_one_is_found() -> None:
    both = decision(NOON, candidates=("a", "alarm"))
    assert [f"d{NOON}: a was offered against ['lower_tier']"] == complaints([both], WISHES)
    alone = decision(NOON, candidates=("b",), blocked=(("a", Reason.LOWER_TIER),))
    assert [f"d{NOON}: a was blocked by lower_tier for nothing"] == complaints([alone], WISHES)


def test_the_users_own_clock_is_what_counts() -> None:
    """Noon in UTC is 23:00 in Sydney; Saturday 20:00 in UTC is Sunday there."""
    late = decision(NOON, "a", time_zone="Australia/Sydney")
    assert [f"d{NOON}: a was offered against ['quiet_hours']"] == complaints([late], WISHES)
    sunday = NOON + 56 * HOUR
    told = [f"d{sunday}: a was offered against ['day', 'quiet_hours']"]
    made = decision(sunday, "a", time_zone="Australia/Sydney")
    assert told == complaints([made], WISHES)
    assert [] == complaints([decision(sunday, "a", time_zone="UTC")], WISHES)


def test_a_send_to_somebody_who_unsubscribed_is_found_until_he_is_back() -> None:
    left, back = (Logged(0, "u", consent=(kind, "")) for kind in ("unsubscribe", "subscribe"))
    assert ["d1: a was offered against ['unsubscribed']"] == complaints(
        [left, decision(1, "a"), back, decision(20, "a")], LIMITS
    )


def test_a_send_within_a_pause_is_found() -> None:
    all_paused, resumed = (Logged(0, pause="", paused=on) for on in (True, False))
    found = complaints([all_paused, decision(1, "a"), resumed, decision(20, "a")], LIMITS)
    assert ["d1: a was offered while everything was paused"] == found
    one_paused = Logged(0, pause="a", paused=True)
    found = complaints([one_paused, decision(1, "a"), decision(20, "b")], LIMITS)
    assert ["d1: a was offered while it was paused"] == found


def test_a_budget_spent_twice_is_found_whoever_was_sent_to() -> None:
    """Three sends within 10 s of which one was taken back: two stand, and two are allowed."""
    sends = [decision(at, "a") for at in (0.0, 5.0, 9.0)]
    limits = Limits(budgets=(("a", 2, 10.0), ("", 2, 9.0)))
    assert ["more than 2 of a in 10.0 s"] == overspent(sends, limits)
    assert [] == overspent([*sends, Logged(10.0, taken_back="d5.0")], limits)
