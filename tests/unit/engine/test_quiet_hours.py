"""Quiet hours in the user's own zone, through the nights on which clocks are changed."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from engine.errors import BadInput
from engine.quiet_hours import QuietHours, parse_quiet_hours, time_zone

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(21 * 60, 8 * 60)


def at(utc: str) -> float:
    """Seconds since the epoch of a time in UTC."""
    return datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp()


def quiet(hours: QuietHours, zone: ZoneInfo, *utc: str) -> list[bool]:
    return [hours.hold(at(moment), zone) for moment in utc]


def test_a_window_past_midnight_holds_on_both_sides_of_it() -> None:
    """London in winter is UTC: quiet from 21:00 up to, not including, 08:00."""
    times = ("T20:59", "T21:00", "T23:59", "T00:00", "T07:59", "T08:00", "T12:00")
    expected = [False, True, True, True, True, False, False]
    assert expected == quiet(NIGHT, ZoneInfo("Europe/London"), *("2026-01-10" + t for t in times))


def test_a_window_within_a_day_holds_between_its_ends() -> None:
    times = ("2026-01-10T12:59", "2026-01-10T13:00", "2026-01-10T14:59", "2026-01-10T15:00")
    expected = [False, True, True, False]
    assert expected == quiet(QuietHours(13 * 60, 15 * 60), ZoneInfo("UTC"), *times)


def test_when_clocks_go_forward_the_night_ends_an_hour_sooner() -> None:
    """Berlin, 29 March 2026: 08:00 is 07:00 UTC the day before and 06:00 UTC on the day."""
    assert [True, False] == quiet(NIGHT, BERLIN, "2026-03-28T06:59", "2026-03-28T07:00")
    assert [True, False] == quiet(NIGHT, BERLIN, "2026-03-29T05:59", "2026-03-29T06:00")


def test_when_clocks_go_back_the_night_ends_an_hour_later() -> None:
    """Berlin, 25 October 2026: 08:00 is 06:00 UTC the day before and 07:00 UTC on the day."""
    assert [True, False] == quiet(NIGHT, BERLIN, "2026-10-24T05:59", "2026-10-24T06:00")
    assert [True, False] == quiet(NIGHT, BERLIN, "2026-10-25T06:59", "2026-10-25T07:00")


def test_an_hour_that_clocks_repeat_is_quiet_both_times() -> None:
    """Berlin, 25 October 2026: 02:30 is 00:30 UTC, and again 01:30 UTC."""
    times = ("2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30")
    assert [True, True, False] == quiet(QuietHours(120, 180), BERLIN, *times)


def test_an_hour_that_clocks_skip_is_never_quiet() -> None:
    """Berlin, 29 March 2026: 02:00 to 03:00 does not exist; 00:59 UTC is 01:59, 01:00 is 03:00."""
    times = ("2026-03-29T00:59", "2026-03-29T01:00")
    assert [False, False] == quiet(QuietHours(120, 180), BERLIN, *times)


@pytest.mark.parametrize(
    ("zone", "last_quiet", "first_loud"),
    [
        ("Asia/Kolkata", "2026-01-10T02:29", "2026-01-10T02:30"),
        ("Asia/Kathmandu", "2026-01-10T02:14", "2026-01-10T02:15"),
        ("America/St_Johns", "2026-01-10T11:29", "2026-01-10T11:30"),
    ],
)
def test_zones_of_half_and_quarter_hours_wake_at_their_own_eight(
    zone: str, last_quiet: str, first_loud: str
) -> None:
    """UTC +5:30, +5:45 and -3:30: 08:00 is 02:30, 02:15 and 11:30 UTC."""
    assert [True, False] == quiet(NIGHT, ZoneInfo(zone), last_quiet, first_loud)


def test_a_user_who_changes_zone_takes_the_quiet_hours_along() -> None:
    """20:30 in London is 05:30 of the next day in Tokyo."""
    assert [False] == quiet(NIGHT, ZoneInfo("Europe/London"), "2026-01-10T20:30")
    assert [True] == quiet(NIGHT, ZoneInfo("Asia/Tokyo"), "2026-01-10T20:30")


def test_quiet_hours_are_read_as_they_are_written() -> None:
    assert QuietHours(21 * 60, 8 * 60 + 30) == parse_quiet_hours(" 21:00-08:30 ")
    assert None is parse_quiet_hours("")


@pytest.mark.parametrize("text", ["21-8", "24:00-08:00", "21:00-21:00", "9:00-10:00", "night"])
def test_quiet_hours_that_cannot_be_used_are_one_sentence(text: str) -> None:
    with pytest.raises(BadInput, match="expected two different times of day"):
        parse_quiet_hours(text)


@pytest.mark.parametrize("key", ["Europe/Belrin", "Europe", "../etc/passwd", "", "CET\0", "/etc"])
def test_a_zone_that_does_not_exist_is_one_sentence(key: str) -> None:
    with pytest.raises(BadInput, match="expected an IANA name"):
        time_zone(key)


def test_a_zone_is_found_by_its_name() -> None:
    assert BERLIN == time_zone("Europe/Berlin")
