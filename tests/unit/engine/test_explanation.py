"""Every reason is documented and explained, and each rule says when it lets a message go."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from engine.catalog import Catalog, Message
from engine.condition import Range
from engine.decision import Context, Decision, Reason, Request, UserState
from engine.decision_log import from_row, to_row
from engine.eligibility import Asking, eligible
from engine.explanation import CHANGES, OUTCOMES, explained, removals, with_best_action
from engine.history import History, Send
from engine.patience import ConstantPatience
from engine.policy import Model, Policy, decide
from engine.quiet_hours import QuietHours
from engine.response import Prior
from engine.rules import Cap, Rules, TagCap
from engine.snapshot import Snapshot
from engine.week import parse_days

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday
NOW = NOON.timestamp()
HOUR = 3_600.0
DAY = 24 * HOUR
REASONS = Path(__file__).resolve().parents[3] / "engine" / "REASONS.md"


def sends(*hours_ago: float, message: str = "sale", tags: tuple[str, ...] = ("offer",)) -> History:
    return tuple(Send(NOW - h * HOUR, message, tags, n) for n, h in enumerate(hours_ago))


def free_after(
    rules: Rules, history: History = (), zone: ZoneInfo | None = None, **message: Any
) -> tuple[str, float | None]:
    """The reason that blocks the message, and in how many hours its rule lets it go."""
    catalog = Catalog(1, {"sale": Message(id="sale", tags=("offer",), **message)})
    left = eligible(catalog, None, rules, Asking(NOW, zone=zone, history=history))
    free_at = left.free_at.get("sale")
    return left.blocked[0][1], None if free_at is None else (free_at - NOW) / HOUR


def test_every_reason_has_one_explanation() -> None:
    assert set(Reason) == set(CHANGES) | set(OUTCOMES)
    assert not set(CHANGES) & set(OUTCOMES)


def test_the_table_of_reasons_is_the_list_of_reasons() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \|", REASONS.read_text(), re.MULTILINE)
    assert sorted(Reason) == sorted(name for name, _ in rows)
    assert set(CHANGES) == {Reason(name) for name, of in rows if "message" in of}


def test_a_cooldown_ends_after_the_last_send_of_this_message() -> None:
    """Cooldown 5 h; sent 1, 3 and 6 h ago: free in 4 h."""
    expected = ("cooldown", 4.0)
    assert expected == free_after(Rules(), sends(6, 3, 1), cooldown_s=5 * HOUR)


def test_a_gap_ends_after_the_last_send() -> None:
    assert ("gap", 1.5) == free_after(Rules(min_gap_s=2 * HOUR), sends(3, 0.5))


def test_a_cap_frees_when_enough_sends_have_left_its_time() -> None:
    """2 in 24 h, sent 20, 10 and 1 h ago: one send must be left, so the second must go: 14 h."""
    assert ("cap", 14.0) == free_after(Rules(caps=(Cap(2, DAY),)), sends(20, 10, 1))


def test_of_two_full_caps_the_later_one_counts() -> None:
    """1 in 24 h frees in 23 h; 3 in 7 days, of which the first was 160 h ago, in 8 h."""
    rules = Rules(caps=(Cap(1, DAY), Cap(3, 7 * DAY)))
    assert ("cap", 23.0) == free_after(rules, sends(160, 100, 1))


def test_a_tag_cap_frees_by_the_sends_of_its_tag() -> None:
    rules = Rules(tag_caps=(TagCap("offer", Cap(1, DAY)),))
    history = (*sends(20), *sends(1, message="news", tags=()))
    assert ("tag_cap", 4.0) == free_after(rules, history)


def test_quiet_hours_end_in_the_users_zone() -> None:
    """Noon in UTC is 21:00 in Tokyo; quiet until 08:00, 11 hours later."""
    rules = Rules(quiet_hours=QuietHours(21 * 60, 8 * 60))
    assert ("quiet_hours", 11.0) == free_after(rules, zone=ZoneInfo("Asia/Tokyo"))


def test_an_allowed_day_begins_at_the_users_midnight() -> None:
    """Sunday noon in UTC is Sunday 13:00 in Berlin; Tuesday begins there in 35 hours."""
    rules = Rules(week=parse_days("tue thu"))
    assert ("day", 35.0) == free_after(rules, zone=ZoneInfo("Europe/Berlin"))
    # In Tokyo it is Sunday 21:00: Monday begins in 3 hours.
    assert ("day", 3.0) == free_after(Rules(week=parse_days("mon")), zone=ZoneInfo("Asia/Tokyo"))


def test_a_message_that_has_not_started_is_free_at_its_start() -> None:
    starts = datetime(2026, 11, 22, 15, tzinfo=UTC)
    assert ("not_started", 3.0) == free_after(Rules(), starts=starts)


@pytest.mark.parametrize("message", [{"paused": True}, {"ends": NOON}, {"when": {"country": "DE"}}])
def test_what_time_alone_does_not_change_has_no_time(message: dict[str, Any]) -> None:
    assert free_after(Rules(), **message)[1] is None


@pytest.mark.parametrize(
    ("now", "zone", "end"),
    [
        # clocks go back: 02:30 comes twice, and the first one ends the quiet hours
        ("2026-10-24T22:00:00+02:00", "Europe/Berlin", "2026-10-25T02:30:00+02:00"),
        # between the two, they hold again until the second
        ("2026-10-25T02:10:00+01:00", "Europe/Berlin", "2026-10-25T02:30:00+01:00"),
        # clocks go forward: 02:30 does not come, the hour after it does
        ("2026-03-28T22:00:00+01:00", "Europe/Berlin", "2026-03-29T03:00:00+02:00"),
        ("2026-11-22T22:00:30+05:30", "Asia/Kolkata", "2026-11-23T02:30:00+05:30"),
    ],
)
def test_the_end_of_quiet_hours_where_clocks_change(now: str, zone: str, end: str) -> None:
    quiet = QuietHours(21 * 60, 2 * 60 + 30)
    at = datetime.fromisoformat(now).timestamp()
    assert datetime.fromisoformat(end).timestamp() == quiet.end_after(at, ZoneInfo(zone))


def test_quiet_hours_do_not_hold_when_they_end_and_do_a_second_before() -> None:
    """Every hour of the fortnight in which New York changes its clocks."""
    quiet, zone = QuietHours(23 * 60 + 15, 1 * 60 + 45), ZoneInfo("America/New_York")
    start = datetime(2026, 10, 28, tzinfo=UTC).timestamp()
    hours = [start + n * HOUR for n in range(14 * 24)]
    held = [now for now in hours if quiet.hold(now, zone)]
    assert held
    for now in held:
        end = quiet.end_after(now, zone)
        assert (False, True) == (quiet.hold(end, zone), quiet.hold(end - 1, zone))
        assert all(quiet.hold(t, zone) for t in range(int(now), int(end), 60))


def test_an_allowed_day_begins_where_clocks_skip_midnight() -> None:
    """In Beirut 29 March 2026, a Sunday, begins at 01:00."""
    week, zone = parse_days("sun"), ZoneInfo("Asia/Beirut")
    assert week is not None
    friday = datetime(2026, 3, 27, 12, tzinfo=zone).timestamp()
    begins = week.next_after(friday, zone)
    assert datetime(2026, 3, 29, 1, tzinfo=zone).timestamp() == begins
    assert (True, False) == (week.allows(begins, zone), week.allows(begins - 1, zone))


SALE = Message(id="sale")
ADULTS = Message(id="adults", when={"age": Range(min=18), "land": ("DE", "AT")})
CATALOG = Catalog(1, {"sale": SALE, "adults": ADULTS})


def decision(
    context: Context, rules: Rules, history: History = (), click: float = 0.02
) -> Decision:
    """What a model before its first lesson, that believes in this click rate, would decide."""
    left = eligible(CATALOG, None, rules, Asking(NOW, context, history=history))
    request = Request(
        "u",
        context,
        left.candidates,
        left.blocked,
        left.barred,
        free_at=left.free_at,
        time_zone="Asia/Tokyo",
    )
    priors = (Prior(base_rate=click), Prior(base_rate=0.002))
    model = Model(Policy(patience=ConstantPatience(5.0)), Snapshot.cold(priors), CATALOG)
    rng = np.random.default_rng(1)
    (drawn,) = decide(model, [request], [UserState()], ["d"], now=NOW, rng=rng)
    return drawn.decision


def changes(made: Decision, catalog: Catalog = CATALOG) -> dict[str, str]:
    return {one["message"]: one["change"] for one in explained(made, catalog)["blocked"]}


def test_an_unmet_condition_is_named_with_what_was_expected() -> None:
    told = changes(decision({"age": 17.0}, Rules()))["adults"]
    assert told.endswith("""`when`: 'age' is 17.0, expected at least 18; 'land' is missing, \
expected "DE" or "AT".""")
    edited = Catalog(2, {"sale": SALE, "adults": Message(id="adults")})
    told = changes(decision({"age": 17.0}, Rules()), edited)["adults"]
    assert told.endswith("`when`, which was edited since.")


def test_a_record_read_back_is_explained_like_the_decision() -> None:
    """The last send was an hour ago, at 20:00 in Tokyo: with a gap of 3 hours, free at 23:00."""
    made = decision({"age": 17.0}, Rules(min_gap_s=3 * HOUR), sends(1))
    told = explained(made, CATALOG)
    assert told == explained(from_row(to_row(made)), CATALOG)
    free = {one["message"]: one["free_at"] for one in told["blocked"]}
    assert {"sale": NOW + 2 * HOUR, "adults": None} == free
    lets_go = "This rule lets it go at 2026-11-22 23:00:00 in Asia/Tokyo."
    assert changes(made)["sale"].endswith(lets_go)


def test_a_silence_says_from_which_click_probability_it_would_not_be() -> None:
    """An unsubscribe costs 5 and is expected with more than 0.002: 0.0001 clicks do not pay."""
    made = with_best_action(decision({}, Rules(), click=0.0001))
    assert (None, Reason.ANNOYANCE_OUTWEIGHS_GAIN) == (made.action, made.reason)
    needed = made.forecasts.gain[0] - made.forecasts.net[0]
    told = explained(made, CATALOG)["change"]
    assert "'sale' comes closest: it would be worth a send from" in told
    assert f"a click probability of {needed:.4g}, and" in told


def test_the_best_action_is_the_one_with_the_largest_net() -> None:
    made = with_best_action(decision({}, Rules(), click=0.3))
    assert ("sale", Reason.CHOSEN) == (made.action, made.reason)
    assert made.propensity == made.forecasts.propensity[0]


def test_a_rule_against_everything_is_the_reason_of_the_answer_and_counts_once() -> None:
    made = decision({}, Rules(paused=True))
    assert {Reason.PAUSED: 1} == removals(made) == removals(with_best_action(made))
    assert CHANGES[Reason.PAUSED] == explained(made, CATALOG)["change"]


def test_removals_are_counted_by_reason() -> None:
    made = decision({"age": 17.0}, Rules(min_gap_s=3 * HOUR), sends(1))
    assert {Reason.GAP: 1, Reason.CONDITION: 1} == removals(made)


def tiers(**of: int) -> Catalog:
    return Catalog(1, {name: Message(id=name, tier=tier) for name, tier in of.items()})


def test_only_the_highest_tier_present_is_left() -> None:
    left = eligible(tiers(low=-1, sale=0, alarm=2, notice=2), None, Rules(), Asking(NOW))
    assert ("alarm", "notice") == left.candidates
    assert {"low": "lower_tier", "sale": "lower_tier"} == dict(left.blocked)


def test_a_higher_tier_that_is_blocked_leaves_its_place_to_the_next() -> None:
    found = tiers(sale=0, notice=1)
    found = Catalog(1, {**found.messages, "alarm": Message(id="alarm", tier=2, paused=True)})
    left = eligible(found, None, Rules(), Asking(NOW))
    assert ("notice",) == left.candidates
    assert {"alarm": "paused", "sale": "lower_tier"} == dict(left.blocked)


def test_a_higher_tier_that_was_not_asked_for_blocks_nothing() -> None:
    left = eligible(tiers(sale=0, alarm=2), ["sale"], Rules(), Asking(NOW))
    assert (("sale",), ()) == (left.candidates, left.blocked)
