"""Rules as they are written: caps in the settings, and the fields of a message."""

import json
from datetime import UTC, datetime

import pytest

from engine.catalog import Message, parse_message
from engine.condition import Condition, Range, fulfilled
from engine.decision import Context
from engine.errors import BadInput
from engine.history import HISTORY_S, MOST_SENDS, Send, taken_out, with_send
from engine.rules import Cap, TagCap, parse_caps, parse_tag_caps

DAY = 86_400.0


def test_caps_are_read_as_they_are_written() -> None:
    assert (Cap(3, 7 * DAY), Cap(1, DAY), Cap(2, 90.0)) == parse_caps("3/7d 1/24h  2/90s")
    assert (Cap(5, 600.0),) == parse_caps("5/10m")
    assert () == parse_caps("")


def test_caps_of_tags_are_read_as_they_are_written() -> None:
    expected = (TagCap("offer", Cap(1, 7 * DAY)), TagCap("news", Cap(2, DAY)))
    assert expected == parse_tag_caps("offer:1/7d news:2/1d")


@pytest.mark.parametrize(
    "text", ["0/7d", "101/7d", "3", "3/7", "3/7w", "-1/7d", "3/0d", "1/32d", "3/7d,1/1d", "x/1d"]
)
def test_a_cap_that_cannot_be_used_is_one_sentence(text: str) -> None:
    with pytest.raises(BadInput, match="such as 3/7d") as error:
        parse_caps(f"1/1d {text}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["1/7d", ":1/7d", "an offer:1/7d", "offer=1/7d", "offer:"])
def test_a_tag_cap_that_cannot_be_used_is_one_sentence(text: str) -> None:
    with pytest.raises(BadInput, match="such as"):
        parse_tag_caps(text)


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ("DE", ["DE"], ["AT", "de", 1.0, True]),
        (("DE", "AT"), ["DE", "AT"], ["CH"]),
        (True, [True], [False, 1.0, "true"]),
        (1.0, [1.0, 1], [True, 2.0, "1"]),
        (Range(2, 4), [2.0, 3.5, 4.0], [1.9, 4.1, "3", True]),
        (Range(min=2), [2.0, 1e9], [1.9]),
        (Range(max=0), [0.0, -1.0], [0.1, False]),
    ],
)
def test_a_condition_holds_for_what_it_names(
    condition: Condition, holds: list[float | str | bool], fails: list[float | str | bool]
) -> None:
    assert [True] * len(holds) == [fulfilled({"k": condition}, {"k": v}) for v in holds]
    assert [False] * len(fails) == [fulfilled({"k": condition}, {"k": v}) for v in fails]


def test_conditions_hold_together_and_never_on_a_guess() -> None:
    both: dict[str, Condition] = {"country": "DE", "age": Range(min=18)}
    contexts: list[Context] = [{"country": "DE", "age": 18.0}, {"country": "DE"}, {"age": 18.0}, {}]
    assert [True, False, False, False] == [fulfilled(both, context) for context in contexts]
    assert fulfilled({}, {})


def test_a_message_with_every_rule_comes_back_from_its_json() -> None:
    message = parse_message(
        "sale",
        b'{"tags": ["offer", "vip"], "paused": false, "starts": "2026-11-27T00:00:00+01:00", '
        b'"ends": "2026-12-01T00:00:00Z", "cooldown_s": 3600, "transactional": true, '
        b'"when": {"country": ["DE", "AT"], "age": {"min": 18}, "premium": true}}',
    )
    expected = Message(
        id="sale",
        tags=("offer", "vip"),
        starts=datetime(2026, 11, 26, 23, tzinfo=UTC),
        ends=datetime(2026, 12, 1, tzinfo=UTC),
        cooldown_s=3600.0,
        transactional=True,
        when={"country": ("DE", "AT"), "age": Range(min=18.0), "premium": True},
    )
    assert expected == message == parse_message("sale", message.to_json())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"starts": "2026-11-27"}', "starts"),
        ('{"starts": "2026-11-27T00:00:00"}', "timezone"),
        ('{"starts": "2026-11-27T00:00:00Z", "ends": "2026-11-27T00:00:00Z"}', "after the start"),
        ('{"paused": 1}', "paused"),
        ('{"cooldown_s": -1}', "cooldown_s -1; expected seconds from 0"),
        ('{"cooldown_s": 2678401}', "31 days"),
        ('{"tags": ["a b"]}', "tags"),
        ('{"tags": ["a", "a"]}', "each once"),
        ('{"tags": ["1","2","3","4","5","6","7","8","9"]}', "at most 8"),
        ('{"when": {"k": []}}', "an empty list of 'k'"),
        ('{"when": {"k": {}}}', "without min and max"),
        ('{"when": {"k": {"min": 2, "max": 1}}}', "min 2 is above its max 1"),
        ('{"when": {"k": {"least": 2}}}', "least"),
        ('{"when": {"k": null}}', "when"),
        (json.dumps({"when": {f"k{i}": 1 for i in range(17)}}), "at most 16"),
        ('{"cooldown": 5}', "cooldown_s"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_one_sentence(body: str, says: str) -> None:
    with pytest.raises(BadInput, match="expected") as refusal:
        parse_message("m", body.encode())
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_is_too_old_for_any_rule_is_dropped_with_the_next_send() -> None:
    old, edge, new = Send(0.0, "a", (), 1), Send(1.0, "a", (), 2), Send(HISTORY_S, "b", (), 3)
    assert (edge, new) == with_send((old, edge), new, now=HISTORY_S)


def test_a_history_is_bounded() -> None:
    """The oldest of MOST_SENDS + 1 goes."""
    sends = tuple(Send(0.0, "a", (), mark) for mark in range(MOST_SENDS))
    last = Send(1.0, "a", (), MOST_SENDS)
    assert (*sends[1:], last) == with_send(sends, last, now=1.0)


def test_of_two_sends_at_one_time_the_marked_one_is_taken_out() -> None:
    one, two = Send(0.0, "a", (), 1), Send(0.0, "a", (), 2)
    assert (two,) == taken_out((one, two), 1)
    assert (one, two) == taken_out((one, two), 3)
