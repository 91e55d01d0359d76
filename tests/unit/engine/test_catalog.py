"""Messages, the catalog, and what the hard rules leave of it."""

import numpy as np
import pytest

from engine.catalog import LONGEST_ID, MOST_ATTRIBUTES, Catalog, Message, parse_message
from engine.consent import NOWHERE
from engine.decision import Reason
from engine.eligibility import Asking, eligible
from engine.errors import BadInput
from engine.rules import Rules

NOW = 1_700_000_000.0
PLAIN = Message(id="plain")
COSTLY = Message(id="costly", attributes={"tone": "warm", "category": "offer"}, send_cost=0.25)
CATALOG = Catalog(1, {"plain": PLAIN, "costly": COSTLY})


def test_a_message_is_known_by_its_attributes_and_then_by_its_id() -> None:
    assert ["category:offer", "tone:warm", "id:costly"] == COSTLY.features


def test_messages_that_share_an_attribute_share_its_hash_and_nothing_else() -> None:
    other = Message(id="other", attributes={"category": "offer"})
    first, second, _ = Catalog(1, {"costly": COSTLY, "other": other}).hashes(np.arange(3))
    assert first[0] == second[0] != 0
    assert first[-1] != second[-1]


def test_what_a_message_does_not_have_hashes_to_nothing() -> None:
    plain, _, abstain = CATALOG.hashes(np.arange(3))
    assert [0, 0] == plain[:-1].tolist() == abstain[:-1].tolist()


def test_a_message_without_a_cost_of_its_own_takes_the_configured_one() -> None:
    """As does the row of abstaining, with which shorter lists of candidates are padded."""
    rows = np.array([[0, 1], [1, CATALOG.abstain_row]])
    assert [[0.01, 0.25], [0.25, 0.01]] == CATALOG.send_costs(rows, 0.01).tolist()


def test_an_empty_catalog_has_the_row_of_abstaining_alone() -> None:
    assert 0 == Catalog().abstain_row
    assert (1, 1) == Catalog().hashes(np.arange(1)).shape


def test_a_message_comes_back_from_its_json() -> None:
    assert COSTLY == parse_message("costly", COSTLY.to_json())


@pytest.mark.parametrize(
    ("message_id", "body"),
    [
        ("m", b"["),
        ("m", b"[]"),
        ("m", b'{"colour": 1}'),
        ("m", b'{"id": "other"}'),
        ("m", b'{"send_cost": -1}'),
        ("m", b'{"send_cost": 1e999}'),
        ("m", b'{"attributes": {"category": null}}'),
        ("m", b'{"channel": "email\\n"}'),
        ("", b"{}"),
        ("abstain", b"{}"),
        ("m" * (LONGEST_ID + 1), b"{}"),
        (
            "m",
            b'{"attributes": {%s}}' % b",".join(b'"%d": 1' % k for k in range(MOST_ATTRIBUTES + 1)),
        ),
    ],
)
def test_a_message_that_cannot_be_used_is_refused_with_one_sentence(
    message_id: str, body: bytes
) -> None:
    with pytest.raises(BadInput, match=r"expected|leave") as refusal:
        parse_message(message_id, body)
    assert "\n" not in str(refusal.value)


def test_everything_there_is_may_be_sent_when_nothing_is_named() -> None:
    assert ("plain", "costly") == eligible(CATALOG, None, Rules(), Asking(NOW)).candidates


def test_an_unknown_message_is_blocked_with_its_reason() -> None:
    left = eligible(CATALOG, ["ghost", "plain"], Rules(), Asking(NOW))
    assert (("plain",), (("ghost", Reason.UNKNOWN_MESSAGE),)) == (left.candidates, left.blocked)


def test_abstain_is_no_message() -> None:
    assert () == eligible(CATALOG, ["abstain"], Rules(), Asking(NOW)).candidates


def test_a_message_named_twice_is_one_candidate() -> None:
    left = eligible(CATALOG, ["plain", "ghost", "plain", "ghost"], Rules(), Asking(NOW))
    assert (1, 1) == (len(left.candidates), len(left.blocked))


def test_nothing_may_be_sent_to_who_has_unsubscribed() -> None:
    left = eligible(CATALOG, ["plain", "ghost"], Rules(), Asking(NOW, consent=NOWHERE))
    assert ((), (), Reason.UNSUBSCRIBED) == (left.candidates, left.blocked, left.barred)
