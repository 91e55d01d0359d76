"""What a user says of himself over HTTP: which channels he left, how often he wants a message."""

from typing import Any

import pytest

from engine.decision_log import from_row
from engine.errors import BadInput
from service.importing import import_file
from tests.unit.service.harness import Worker, settings
from tests.unit.service.test_explain import blocks, explained, text
from tests.unit.service.test_rules import HOUR, NOON, at_noon, blocked, move

DAY = 24 * HOUR


def said(event_id: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"event_id": event_id, "type": kind, "user_id": "u1"} | more


async def user(running: Worker) -> dict[str, Any]:
    told: dict[str, Any] = (await running.client.get("/v1/users/u1")).json()
    return told


async def test_who_leaves_a_channel_is_reached_on_another(running: Worker) -> None:
    await running.client.put("/v1/messages/letter", json={"channel": "email"})
    sent = (await running.decide(messages=["sale"])).json()["decision_id"]
    await running.report(said("e1", "unsubscribe", decision_id=sent))
    told = await user(running)
    assert (True, {"push": False, "others": True}) == (told["unsubscribed"], told["consent"])
    answer = (await running.decide()).json()
    assert "letter" == answer["action"]
    record = await running.client.get(f"/v1/decisions/{answer['decision_id']}")
    assert {"sale": ("unsubscribed", None)} == blocks(record.json()["decision"])


async def test_a_receipt_does_not_pass_an_unsubscribe_from_its_channel(running: Worker) -> None:
    await running.client.put("/v1/messages/receipt", json={"transactional": True})
    await running.report(said("e1", "unsubscribe", channel="push"))
    assert ("unsubscribed", {}) == await blocked(running, messages=["receipt"])


async def test_with_every_channel_asked_for_left_the_answer_says_so(running: Worker) -> None:
    await running.client.put("/v1/messages/letter", json={"channel": "email"})
    await running.report(said("e1", "unsubscribe", channel="email"))
    assert ("unsubscribed", {}) == await blocked(running, messages=["letter"])
    assert "sale" == (await running.decide()).json()["action"]
    await running.report(said("e2", "subscribe", channel="email"))
    assert "letter" == (await running.decide(messages=["letter"])).json()["action"]


async def test_a_tolerance_is_a_cap_of_the_user_and_ends_with_the_next_word() -> None:
    """One in 2 days: the sale at noon frees it at noon, two days later."""
    async with at_noon() as running:
        await running.client.put("/v1/messages/receipt", json={"transactional": True})
        await running.report(said("e1", "tolerance", tolerance="1/2d"))
        assert "1/2d" == (await user(running))["tolerance"]
        assert "sale" == (await running.decide(messages=["sale"])).json()["action"]
        assert ("no_candidate", {"sale": "tolerance"}) == await blocked(running, messages=["sale"])
        why = await explained(running, user_id="u1", messages=["sale"])
        assert {"sale": ("tolerance", text(NOON + 2 * DAY))} == blocks(why)
        assert "receipt" == (await running.decide()).json()["action"]
        move(running, NOON + 3 * DAY)
        assert "sale" == (await running.decide(messages=["sale"])).json()["action"]
        await running.report(said("e2", "tolerance"))
        assert "sale" == (await running.decide(messages=["sale"])).json()["action"]


async def test_a_tolerance_is_evidence_that_no_sender_can_claim(running: Worker) -> None:
    """2 in 7 days are 2 a week, 1 in 2 days 3.5; where nothing was said, the key is missing."""

    async def seen(**context: float) -> object:
        answer = (await running.decide(context=context)).json()
        stored = await running.store.decision(answer["decision_id"])
        assert stored is not None
        return from_row(stored.row).context

    assert {} == await seen(tolerance_per_week=9)
    await running.report(said("e1", "tolerance", tolerance="2/7d"))
    assert {"opens": 3.0, "tolerance_per_week": 2.0} == await seen(opens=3, tolerance_per_week=9)
    await running.report(said("e2", "tolerance", tolerance="1/2d"))
    assert {"tolerance_per_week": 3.5} == await seen()


async def test_a_supposed_user_has_wishes_too(running: Worker) -> None:
    state = {"tolerance": "1/7d", "sends": [{"at": text(NOON - HOUR)}]}
    why = await explained(running, state=state, at=text(NOON))
    assert {"sale": ("tolerance", text(NOON - HOUR + 7 * DAY))} == blocks(why)
    why = await explained(running, state={"unsubscribed": ["push"]})
    assert (None, "unsubscribed") == (why["action"], why["reason"])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"type": "tolerance", "tolerance": "0/7d"}, "`tolerance`: cap '0/7d' of '0/7d' cannot"),
        ({"type": "click", "decision_id": "d", "channel": "push"}, "`channel` was given with a cl"),
        ({"type": "sent", "decision_id": "d", "tolerance": "1/7d"}, "`tolerance` was given with a"),
        (
            {"type": "unsubscribe", "channel": "e mail"},
            "`channel` is 'e mail'; expected 1 to 64 le",
        ),
        ({"type": "unsubscribe", "channel": "email\n"}, "`channel` is 'email\\n'; expected 1 to"),
    ],
)
async def test_a_wish_that_means_nothing_is_refused_in_a_sentence(
    running: Worker, more: dict[str, Any], told: str
) -> None:
    (result,) = await running.report({"event_id": "e", "user_id": "u1"} | more)
    assert ("invalid", True) == (result["status"], result["detail"].startswith(told)), result


def test_a_channel_that_cannot_be_one_is_refused_before_the_file_is_read(tmp_path: Any) -> None:
    with pytest.raises(BadInput, match="channel 'e mail' cannot be used; expected 1 to 64 letters"):
        import_file(settings(), tmp_path / "none", "e mail")
