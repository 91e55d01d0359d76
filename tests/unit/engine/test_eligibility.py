"""Each hard rule alone: what it blocks, until when, and what passes it."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.catalog import Catalog, Message
from engine.consent import EVERYWHERE, NOWHERE, Consent, parse_consent
from engine.decision import Reason
from engine.eligibility import Asking, eligible
from engine.history import BY_OTHERS, History, Send
from engine.quiet_hours import QuietHours
from engine.rules import Cap, Rules, TagCap
from engine.windows import Window

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW = NOON.timestamp()
HOUR = 3_600.0
DAY = 24 * HOUR
NONE = Rules()


def catalog(*messages: Message) -> Catalog:
    return Catalog(1, {message.id: message for message in messages})


SALE = Message(id="sale", tags=("offer",))
NEWS = Message(id="news")
RECEIPT = Message(id="receipt", transactional=True, tags=("offer",))
THREE = catalog(SALE, NEWS, RECEIPT)


def sent(*hours_ago: float, message: str = "news", tags: tuple[str, ...] = ()) -> History:
    return tuple(Send(NOW - h * HOUR, message, tags, n) for n, h in enumerate(hours_ago))


def blocked(found: Catalog, rules: Rules, asking: Asking) -> dict[str, Reason]:
    """What is blocked; that all else are candidates is checked on the way."""
    left = eligible(found, None, rules, asking)
    assert left.barred is None
    assert set(found.messages) == set(left.candidates) | {name for name, _ in left.blocked}
    return dict(left.blocked)


def test_without_rules_nothing_is_blocked() -> None:
    assert {} == blocked(THREE, NONE, Asking(NOW, history=sent(0, 1, 2)))


def test_the_kill_switch_bars_every_message() -> None:
    left = eligible(THREE, None, Rules(paused=True), Asking(NOW))
    assert ((), (), Reason.PAUSED) == (left.candidates, left.blocked, left.barred)


def test_who_has_unsubscribed_gets_not_even_a_receipt() -> None:
    left = eligible(THREE, ["receipt"], NONE, Asking(NOW, consent=NOWHERE))
    assert ((), Reason.UNSUBSCRIBED) == (left.candidates, left.barred)


@pytest.mark.parametrize(
    ("hours", "reason", "free_in"),
    [
        (-3, Reason.NOT_STARTED, 1),  # two hours before noon it opens
        (-2, None, None),
        (-0.001, None, None),
        (0, Reason.NOT_STARTED, 4),  # closed at noon, again from four
        (4, None, None),
        (5, Reason.EXPIRED, None),
    ],
)
def test_between_two_windows_a_message_waits_for_the_next(
    hours: float, reason: Reason | None, free_in: float | None
) -> None:
    """Open from 10 to 12 and from 16 to 17 o'clock."""
    times = [(-2, 0), (4, 5)]
    windows = tuple(Window(NOON + timedelta(hours=a), NOON + timedelta(hours=b)) for a, b in times)
    left = eligible(
        catalog(Message(id="sale", windows=windows)), None, NONE, Asking(NOW + hours * HOUR)
    )
    assert ({} if reason is None else {"sale": reason}) == dict(left.blocked)
    free_at = {} if free_in is None else {"sale": NOW + hours * HOUR + free_in * HOUR}
    assert free_at == pytest.approx(left.free_at)


def test_a_paused_message_is_blocked_alone() -> None:
    paused = catalog(Message(id="sale", paused=True), NEWS)
    assert {"sale": Reason.PAUSED} == blocked(paused, NONE, Asking(NOW))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, Reason.NOT_STARTED), (0, None), (59, None), (60, Reason.EXPIRED)],
)
def test_a_window_holds_from_its_start_up_to_its_end(
    seconds: float, expected: Reason | None
) -> None:
    """A window of 60 seconds from noon."""
    window = Message(id="sale", starts=NOON, ends=NOON.replace(minute=1))
    found = blocked(catalog(window), NONE, Asking(NOW + seconds))
    assert expected == found.get("sale")


def test_a_message_is_for_those_who_fulfil_its_condition() -> None:
    german = catalog(Message(id="sale", when={"country": "DE"}))
    assert {} == blocked(german, NONE, Asking(NOW, {"country": "DE"}))
    assert {"sale": Reason.CONDITION} == blocked(german, NONE, Asking(NOW, {"country": "AT"}))
    assert {"sale": Reason.CONDITION} == blocked(german, NONE, Asking(NOW))


def test_a_cooldown_is_the_messages_own_and_over_to_the_second() -> None:
    cooling = catalog(Message(id="sale", cooldown_s=2 * HOUR), NEWS)
    expected = {"sale": Reason.COOLDOWN}
    assert expected == blocked(cooling, NONE, Asking(NOW, history=sent(1.999, message="sale")))
    assert {} == blocked(cooling, NONE, Asking(NOW, history=sent(2, message="sale")))
    assert {} == blocked(cooling, NONE, Asking(NOW, history=sent(1, message="news")))


def test_a_transactional_message_keeps_its_own_rules() -> None:
    cooling = catalog(replace_rule(RECEIPT, cooldown_s=HOUR))
    found = blocked(cooling, NONE, Asking(NOW, history=sent(0.5, message="receipt")))
    assert {"receipt": Reason.COOLDOWN} == found


def replace_rule(message: Message, **changes: object) -> Message:
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    return Message(**(fields | changes))


@pytest.mark.parametrize("by", ["news", "receipt", BY_OTHERS])
def test_the_gap_is_kept_to_every_send_whoever_sent_it(by: str) -> None:
    rules = Rules(min_gap_s=HOUR)
    expected = {"sale": Reason.GAP, "news": Reason.GAP}
    assert expected == blocked(THREE, rules, Asking(NOW, history=sent(0.999, message=by)))
    assert {} == blocked(THREE, rules, Asking(NOW, history=sent(1, message=by)))


def test_a_send_that_another_clock_puts_ahead_of_now_counts() -> None:
    rules = Rules(min_gap_s=HOUR, caps=(Cap(1, HOUR),))
    assert Reason.GAP == blocked(THREE, rules, Asking(NOW, history=sent(-0.1)))["sale"]
    caps = replace(rules, min_gap_s=0.0)
    assert Reason.CAP == blocked(THREE, caps, Asking(NOW, history=sent(-0.1)))["sale"]


def test_every_cap_has_to_be_kept_and_rolls() -> None:
    """3 in 7 days and 1 in 24 hours; the third oldest leaves the week an hour from now."""
    rules = Rules(caps=(Cap(3, 7 * DAY), Cap(1, DAY)))
    full = {"sale": Reason.CAP, "news": Reason.CAP}
    week = sent(25, 100, 7 * 24 - 1)
    assert {} == blocked(THREE, rules, Asking(NOW, history=sent(25, 100)))
    assert full == blocked(THREE, rules, Asking(NOW, history=sent(23)))
    assert full == blocked(THREE, rules, Asking(NOW, history=week))
    assert full == blocked(THREE, rules, Asking(NOW + HOUR - 1, history=week))
    assert {} == blocked(THREE, rules, Asking(NOW + HOUR, history=week))


def test_a_cap_knows_no_midnight_in_any_zone() -> None:
    """Sent at 23:30 of the user's yesterday, asked at 00:30: still within 24 hours."""
    zone = ZoneInfo("Asia/Tokyo")
    midnight = datetime(2026, 11, 22, tzinfo=zone).timestamp()
    history = (Send(midnight - HOUR / 2, "news", (), 1),)
    found = blocked(
        THREE, Rules(caps=(Cap(1, DAY),)), Asking(midnight + HOUR / 2, {}, zone, history)
    )
    assert {"sale": Reason.CAP, "news": Reason.CAP} == found


@pytest.mark.parametrize(
    ("clocks_change", "free_at"), [("2026-03-29", "13:00"), ("2026-10-25", "11:00")]
)
def test_a_cap_of_a_day_lasts_24_hours_though_clocks_change(
    clocks_change: str, free_at: str
) -> None:
    """Berlin: from 12:00 the day before, 24 hours end at 13:00 in spring and at 11:00 in autumn."""
    zone = ZoneInfo("Europe/Berlin")
    free = datetime.fromisoformat(f"{clocks_change}T{free_at}").replace(tzinfo=zone)
    noon = datetime.combine(free.date() - timedelta(days=1), time(12), zone)
    history = (Send(noon.timestamp(), "news", (), 1),)
    rules = Rules(caps=(Cap(1, DAY),))
    held = blocked(THREE, rules, Asking(free.timestamp() - 1, {}, zone, history))
    assert {"sale": Reason.CAP, "news": Reason.CAP} == held
    assert {} == blocked(THREE, rules, Asking(free.timestamp(), {}, zone, history))


def test_a_user_who_changes_zone_gets_no_slot_back() -> None:
    rules = Rules(caps=(Cap(1, DAY),))
    for zone in ("Pacific/Kiritimati", "Pacific/Niue"):
        asking = Asking(NOW, zone=ZoneInfo(zone), history=sent(23))
        assert Reason.CAP == blocked(THREE, rules, asking)["sale"]


def test_a_tag_cap_counts_and_blocks_its_tag_only() -> None:
    rules = Rules(tag_caps=(TagCap("offer", Cap(1, DAY)),))
    offers = sent(23, message="other", tags=("x", "offer"))
    assert {"sale": Reason.TAG_CAP} == blocked(THREE, rules, Asking(NOW, history=offers))
    assert {} == blocked(THREE, rules, Asking(NOW + HOUR, history=offers))
    assert {} == blocked(THREE, rules, Asking(NOW, history=sent(1, 2, 3)))


def test_quiet_hours_are_the_users_and_those_of_the_fallback_zone_else() -> None:
    """Noon in UTC is 21:00 in Tokyo; a receipt is sent at any time."""
    rules = Rules(quiet_hours=QuietHours(21 * 60, 8 * 60))
    quiet = {"sale": Reason.QUIET_HOURS, "news": Reason.QUIET_HOURS}
    tokyo = ZoneInfo("Asia/Tokyo")
    assert {} == blocked(THREE, rules, Asking(NOW))
    assert quiet == blocked(THREE, rules, Asking(NOW, zone=tokyo))
    assert quiet == blocked(THREE, replace(rules, zone=tokyo), Asking(NOW))
    assert {} == blocked(THREE, replace(rules, zone=tokyo), Asking(NOW, zone=ZoneInfo("UTC")))


def test_the_first_rule_that_holds_is_the_reason() -> None:
    """Its own rules, then quiet hours, gap, caps, and caps of its tags."""
    rules = Rules(
        min_gap_s=HOUR,
        caps=(Cap(1, DAY),),
        tag_caps=(TagCap("offer", Cap(1, 2 * DAY)),),
        quiet_hours=QuietHours(12 * 60, 13 * 60),
    )
    sale = replace_rule(SALE, cooldown_s=3 * DAY, ends=NOON)
    now, history = NOW, sent(0, message="sale", tags=("offer",))
    reasons = []
    for _ in range(7):
        found = blocked(catalog(sale), rules, Asking(now, history=history))
        reasons.append(found.get("sale"))
        match reasons[-1]:
            case Reason.EXPIRED:
                sale = replace_rule(sale, ends=None)
            case Reason.COOLDOWN:
                sale = replace_rule(sale, cooldown_s=0.0)
            case Reason.QUIET_HOURS:
                rules = replace(rules, quiet_hours=None)
            case Reason.GAP:
                now = NOW + HOUR
            case Reason.CAP:
                now = NOW + DAY
            case _:
                now = NOW + 2 * DAY
    expected = [
        Reason.EXPIRED,
        Reason.COOLDOWN,
        Reason.QUIET_HOURS,
        Reason.GAP,
        Reason.CAP,
        Reason.TAG_CAP,
        None,
    ]
    assert expected == reasons


def test_unknown_messages_are_told_beside_the_blocked() -> None:
    left = eligible(THREE, ["ghost", "news"], Rules(min_gap_s=1), Asking(NOW, history=sent(0)))
    assert ((), (("ghost", Reason.UNKNOWN_MESSAGE), ("news", Reason.GAP))) == (
        left.candidates,
        left.blocked,
    )


LETTER = Message(id="letter", channel="email")
PUSH_LEFT = Consent(everywhere=True, exceptions=frozenset({"push"}))


def test_a_channel_that_was_left_blocks_its_messages_receipts_too() -> None:
    found = blocked(catalog(SALE, RECEIPT, LETTER), NONE, Asking(NOW, consent=PUSH_LEFT))
    assert {"sale": Reason.UNSUBSCRIBED, "receipt": Reason.UNSUBSCRIBED} == found


def test_where_every_message_asked_for_is_on_a_channel_left_all_are_barred() -> None:
    left = eligible(catalog(SALE, LETTER), ["sale"], NONE, Asking(NOW, consent=PUSH_LEFT))
    assert ((), (), Reason.UNSUBSCRIBED) == (left.candidates, left.blocked, left.barred)


def test_a_misspelt_message_is_named_also_where_all_others_are_on_a_channel_left() -> None:
    asking = Asking(NOW, consent=PUSH_LEFT)
    left = eligible(catalog(SALE, LETTER), ["sale", "sal"], NONE, asking)
    assert {"sale": Reason.UNSUBSCRIBED, "sal": Reason.UNKNOWN_MESSAGE} == dict(left.blocked)
    assert ((), None) == (left.candidates, left.barred)


def test_what_a_user_wants_is_a_cap_that_receipts_pass() -> None:
    asking = Asking(NOW, history=sent(1, 20), tolerance=Cap(2, DAY))
    both = {"sale": Reason.TOLERANCE, "news": Reason.TOLERANCE}
    assert both == blocked(THREE, NONE, asking)
    assert {} == blocked(THREE, NONE, replace(asking, tolerance=Cap(2, 20 * HOUR)))


def test_leaving_and_joining_channels() -> None:
    """All left, one joined: an exception; the same one left again: none is left over."""
    one = NOWHERE.changed("push", allow=True)
    assert (True, False) == (one.allows("push"), one.allows("email"))
    assert NOWHERE == one.changed("push", allow=False)
    assert "-push" == str(one)
    for consent in (one, NOWHERE, EVERYWHERE, PUSH_LEFT.changed("a", allow=False)):
        assert consent == parse_consent(str(consent))
