"""The hard rules over HTTP: what is answered, what the record shows, what is refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engine.errors import BadInput
from service.settings import load_settings
from tests.unit.service.harness import Worker, settings, worker

NOON = 1_780_000_000.0 - 1_780_000_000.0 % 86_400 + 43_200
HOUR = 3_600.0


@asynccontextmanager
async def at_noon(**given: Any) -> AsyncIterator[Worker]:
    """A worker with these settings whose clock stands at noon, UTC."""
    async with worker(settings(simulated_clock=True, **given)) as started:
        move(started, NOON)
        yield started


def move(running: Worker, time: float) -> None:
    """Move the worker's clock on."""
    assert time == running.held.clock.arrival(time)


async def blocked(running: Worker, **given: Any) -> tuple[str, dict[str, str]]:
    """The reason of an answer that abstains, and what its record says was blocked."""
    answer = (await running.decide(**given)).json()
    assert answer["action"] is None, answer
    record = await running.client.get(f"/v1/decisions/{answer['decision_id']}")
    found = {one["message"]: one["reason"] for one in record.json()["decision"]["blocked"]}
    return answer["reason"], found


async def test_with_every_message_blocked_the_record_names_each_rule(running: Worker) -> None:
    rules: dict[str, Any] = {
        "sale": {"paused": True},
        "early": {"starts": "2100-01-01T00:00:00Z"},
        "late": {"ends": "2020-01-01T00:00:00+02:00"},
        "adults": {"when": {"age": {"min": 18}}},
    }
    for name, body in rules.items():
        response = await running.client.put(f"/v1/messages/{name}", json=body)
        assert response.is_success, response.text
    expected = {
        "sale": "paused",
        "early": "not_started",
        "late": "expired",
        "adults": "condition",
    }
    assert ("no_candidate", expected) == await blocked(running, context={"age": 17})
    assert "adults" == (await running.decide(context={"age": 18})).json()["action"]


async def test_a_zone_that_does_not_exist_is_refused_in_a_sentence(running: Worker) -> None:
    response = await running.decide(time_zone="Europe/Belrin")
    assert 422 == response.status_code
    told = response.json()["detail"]
    assert told.startswith("`time_zone`: time zone 'Europe/Belrin' is not known; expected an IANA")


async def test_quiet_hours_follow_the_zone_of_the_request() -> None:
    """Noon in UTC is 21:00 in Tokyo."""
    async with at_noon(quiet_hours="21:00-08:00") as running:
        quiet = await blocked(running, time_zone="Asia/Tokyo")
        assert ("no_candidate", {"sale": "quiet_hours"}) == quiet
        assert "sale" == (await running.decide(time_zone="Europe/London")).json()["action"]
    async with at_noon(quiet_hours="21:00-08:00", time_zone="Asia/Tokyo") as running:
        assert ("no_candidate", {"sale": "quiet_hours"}) == await blocked(running)


async def test_the_last_slot_of_a_cap_is_spent_once_and_rolls() -> None:
    async with at_noon(caps="2/1d") as running:
        assert ["sale", "sale"] == [(await running.decide()).json()["action"] for _ in range(2)]
        assert ("no_candidate", {"sale": "cap"}) == await blocked(running)
        move(running, NOON + 24 * HOUR - 1)
        assert ("no_candidate", {"sale": "cap"}) == await blocked(running)
        move(running, NOON + 24 * HOUR)
        assert "sale" == (await running.decide()).json()["action"]


async def test_a_send_not_sent_gives_its_slot_back() -> None:
    async with at_noon(caps="1/1d") as running:
        sent = (await running.decide()).json()["decision_id"]
        assert ("no_candidate", {"sale": "cap"}) == await blocked(running)
        event = {"event_id": "e", "type": "not_sent", "user_id": "u1", "decision_id": sent}
        await running.report(event)
        assert "sale" == (await running.decide()).json()["action"]


async def test_gap_tag_and_cooldown_have_reasons_of_their_own() -> None:
    async with at_noon(min_gap_s=60.0, tag_caps="offer:1/1d") as running:
        await running.client.put("/v1/messages/sale", json={"tags": ["offer"]})
        await running.client.put("/v1/messages/twin", json={"tags": ["offer"]})
        await running.client.put("/v1/messages/news", json={"cooldown_s": 7200})
        await running.decide(messages=["sale"])
        assert {"sale": "gap", "news": "gap", "twin": "gap"} == (await blocked(running))[1]
        move(running, NOON + 60)
        assert "news" == (await running.decide()).json()["action"]
        move(running, NOON + 120)
        expected = {"sale": "tag_cap", "twin": "tag_cap", "news": "cooldown"}
        assert expected == (await blocked(running))[1]


async def test_a_receipt_passes_what_a_sale_does_not_and_counts() -> None:
    async with at_noon(caps="1/1d") as running:
        await running.client.put("/v1/messages/receipt", json={"transactional": True})
        for _ in range(3):
            answer = (await running.decide(messages=["receipt"])).json()
            assert "receipt" == answer["action"]
        assert 3.0 == (await running.client.get("/v1/users/u1")).json()["burden"]
        only_sale = await blocked(running, messages=["sale"])
        assert ("no_candidate", {"sale": "cap"}) == only_sale


async def test_a_message_from_somebody_else_spends_a_slot() -> None:
    async with at_noon(caps="1/1d") as running:
        await running.report({"event_id": "e", "type": "external_send", "user_id": "u1"})
        assert ("no_candidate", {"sale": "cap"}) == await blocked(running)


async def test_the_kill_switch_stops_receipts_too() -> None:
    async with worker(settings(paused=True)) as running:
        await running.client.put("/v1/messages/receipt", json={"transactional": True})
        assert ("paused", {}) == await blocked(running)


async def test_one_user_twice_in_a_batch_cannot_spend_one_slot_twice() -> None:
    async with at_noon(caps="1/1d") as running:
        body = {"decisions": [{"user_id": "u1", "context": {}}] * 3}
        response = await running.client.post("/v1/decisions/batch", json=body)
        answers = response.json()["decisions"]
        assert ["sale", None, None] == [answer["action"] for answer in answers]


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("caps", "3/week", "FORBEAR_CAPS: cap '3/week' of '3/week' cannot be used; expected a num"),
        ("tag_caps", "1/7d", "FORBEAR_TAG_CAPS: tag cap '1/7d' cannot be read; expected a tag"),
        ("quiet_hours", "21-8", "FORBEAR_QUIET_HOURS: quiet hours '21-8' cannot be used; expected"),
        ("time_zone", "Berlin", "FORBEAR_TIME_ZONE: time zone 'Berlin' is not known; expected an"),
        ("min_gap_s", "-1", "FORBEAR_MIN_GAP_S is '-1'; expected greater than or equal to 0"),
        ("paused", "maybe", "FORBEAR_PAUSED is 'maybe'; expected a valid boolean"),
    ],
)
def test_a_rule_that_cannot_be_used_stops_the_start_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, says: str
) -> None:
    monkeypatch.setenv(f"FORBEAR_{name.upper()}", given)
    with pytest.raises(BadInput) as error:
        load_settings()
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)
