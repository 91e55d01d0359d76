"""The judge of the rules can find fault: each claim it makes is broken once."""

from dataclasses import replace

from engine.decision import Decision, Reason
from engine.decision_log import contention
from tests.rules_checker import Allowed, Limits, Logged, complaints

LIMITS = Limits(
    gap=10,
    caps=((2, 100),),
    tag_caps=(("offer", 1, 50),),
    cooldowns={"digest": 70},
    tags={"sale": ("offer",)},
    transactional=frozenset({"receipt"}),
)


def decision(at: float, action: str | None = None, **changes: object) -> Logged:
    """A decision about one user that offered its action alone."""
    plain = contention(f"d{at}", "u", {}, 1.0, at)
    offered = () if action is None else (action,)
    changed: Decision = replace(plain, action=action, candidates=offered, **changes)  # type: ignore[arg-type]
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


def test_a_budget_overspent_by_all_users_together_is_found() -> None:
    """Two a and one c in any 10 s: 1 + 1 + 0.5 > 2; exactly 10 s apart is another window."""
    limits = Limits(budgets=(Allowed(2, 10, {"a": 1, "c": 0.5}),))
    sends = [decision(0, "a"), decision(9, "a"), decision(9.5, "c")]
    assert ["2.5 of 2 in 10 s"] == complaints(sends, limits)
    assert [] == complaints([decision(0, "a"), decision(9, "a"), decision(10, "c")], limits)
    assert [] == complaints([*sends, Logged(11, taken_back="d9")], limits)


def test_a_transactional_message_passes_and_counts() -> None:
    sends = [decision(0, "a"), decision(1, "receipt"), decision(10, "b")]
    assert ["d10: b was offered against ['cap', 'gap']"] == complaints(sends, LIMITS)
