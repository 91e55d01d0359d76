"""What POST /v1/events answers, and what becomes of the events."""

from collections import Counter
from typing import Any

import pytest

from tests.unit.service.harness import Worker

DAY_1, DAY_3 = "2031-05-01T12:00:00Z", "2031-05-03T12:00:00Z"


async def sent(worker: Worker, user_id: str = "u1", **given: Any) -> str:
    """The id of a decision to send, asked for until there is one."""
    for _ in range(200):
        answer = (await worker.decide(user_id, **given)).json()
        if answer["action"] is not None:
            decision_id: str = answer["decision_id"]
            return decision_id
    pytest.fail("200 questions and not one send")


def event(number: int, kind: str, **given: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "type": kind, "user_id": "u1"} | given


async def test_every_event_has_its_own_status_in_order(running: Worker) -> None:
    decision_id = await sent(running)
    results = await running.report(
        event(1, "click", decision_id=decision_id),
        event(1, "click", decision_id=decision_id),
        event(2, "click", decision_id="07-nothing"),
        event(3, "klick"),
        event(4, "external_send"),
    )
    statuses = [(result["event_id"], result["status"]) for result in results]
    assert [
        ("e1", "accepted"),
        ("e1", "duplicate"),
        ("e2", "unknown"),
        ("e3", "invalid"),
        ("e4", "accepted"),
    ] == statuses


async def test_a_click_reaches_the_decisions_record_and_the_users_counter(
    running: Worker,
) -> None:
    decision_id = await sent(running)
    await running.report(event(1, "click", decision_id=decision_id, value=3.5))
    record = (await running.client.get(f"/v1/decisions/{decision_id}")).json()
    user = (await running.client.get("/v1/users/u1")).json()
    assert (1.0, ["click"], 1) == (
        record["labels"]["click"],
        [one["type"] for one in record["events"]],
        user["clicks"],
    )


@pytest.mark.parametrize("kind", ["click", "sent", "not_sent"])
async def test_an_event_about_a_decision_must_name_it(running: Worker, kind: str) -> None:
    (result,) = await running.report(event(1, kind))
    assert "invalid" == result["status"]
    assert f"a {kind} event needs it" in result["detail"]


@pytest.mark.parametrize(
    "kind", ["unsubscribe", "subscribe", "dismiss", "conversion", "external_send"]
)
async def test_an_event_about_a_user_needs_no_decision(running: Worker, kind: str) -> None:
    (result,) = await running.report(event(1, kind))
    assert "accepted" == result["status"]


MALFORMED: list[tuple[str, Any, str | None, str]] = [
    ("a number", 7, None, "is an integer"),
    ("a list", [], None, "is an array"),
    ("no id", {"type": "click", "user_id": "u"}, None, "`event_id` is missing"),
    ("a number as id", event(1, "click") | {"event_id": 5}, None, "`event_id` is an integer"),
    ("no type", {"event_id": "e1", "user_id": "u"}, "e1", "`type` is missing"),
    ("an unknown type", event(1, "klick"), "e1", "expected one of click, unsubscribe"),
    ("no user", {"event_id": "e1", "type": "click"}, "e1", "`user_id` is missing"),
    ("a naive time", event(1, "subscribe", at="2026-11-22T10:00:00"), "e1", "with its offset"),
    ("a time of noise", event(1, "subscribe", at="soon"), "e1", "`at`"),
    ("a time of long ago", event(1, "subscribe", at="0900-01-01T00:00:00Z"), "e1", "year 900"),
    ("a huge value", event(1, "subscribe", value=1e300), "e1", "`value` is out of range"),
    ("an unknown field", event(1, "subscribe", when="now"), "e1", "`when` is not a field"),
]


@pytest.mark.parametrize(
    ("bad", "event_id", "says"), [m[1:] for m in MALFORMED], ids=[m[0] for m in MALFORMED]
)
async def test_a_malformed_event_is_invalid_and_sinks_nobody(
    running: Worker, bad: Any, event_id: str | None, says: str
) -> None:
    first, result, last = await running.report(
        event(8, "external_send"), bad, event(9, "external_send")
    )
    assert ("accepted", "accepted") == (first["status"], last["status"])
    assert (event_id, "invalid") == (result["event_id"], result["status"])
    assert says in result["detail"]


async def test_only_an_invalid_event_has_a_detail(running: Worker) -> None:
    (result,) = await running.report(event(1, "external_send"))
    assert {"event_id", "status"} == set(result)


async def test_1001_events_are_too_many(running: Worker) -> None:
    body = {"events": [event(n, "external_send") for n in range(1001)]}
    response = await running.client.post("/v1/events", json=body)
    assert 422 == response.status_code


async def test_what_cannot_be_stored_is_refused_and_may_be_sent_again(running: Worker) -> None:
    body = {"events": [event(1, "external_send")]}
    running.store.away = True
    refused = await running.client.post("/v1/events", json=body)
    assert (503, "1") == (refused.status_code, refused.headers["retry-after"])
    assert "nothing was stored" in refused.json()["detail"]
    running.store.away = False
    (result,) = await running.report(*body["events"])
    assert "accepted" == result["status"]


@pytest.mark.parametrize("at", ["2001-01-01T00:00:00Z", "2101-01-01T00:00:00Z"])
async def test_a_wrong_clock_of_the_sender_changes_nothing_learned(
    running: Worker, at: str
) -> None:
    """A click counts by the service's clock at arrival: it is in time whatever `at` says."""
    decision_id = await sent(running)
    (result,) = await running.report(event(1, "click", decision_id=decision_id, at=at))
    record = (await running.client.get(f"/v1/decisions/{decision_id}")).json()
    assert ("accepted", 1.0) == (result["status"], record["labels"]["click"])


async def test_an_unsubscribe_takes_effect_with_its_acknowledgement(running: Worker) -> None:
    await sent(running)
    await running.report(event(1, "unsubscribe"))
    reasons = Counter([(await running.decide()).json()["reason"] for _ in range(20)])
    assert {"unsubscribed": 20} == reasons


# -- simulated time ------------------------------------------------------------------------------


async def test_a_simulated_window_closes_before_the_event_that_comes_after_it(
    simulated: Worker,
) -> None:
    """The click window is 1 day; a click 2 days later finds it closed although nobody swept."""
    decision_id = await sent(simulated, at=DAY_1)
    (result,) = await simulated.report(event(1, "click", decision_id=decision_id, at=DAY_3))
    record = (await simulated.client.get(f"/v1/decisions/{decision_id}")).json()
    assert ("late", 0.0) == (result["status"], record["labels"]["click"])


async def test_a_simulated_batch_happens_in_the_order_of_its_events(simulated: Worker) -> None:
    """The first event is in time although the second moves the clock past the window."""
    decision_id = await sent(simulated, at=DAY_1)
    click, _ = await simulated.report(
        event(1, "click", decision_id=decision_id, at="2031-05-01T13:00:00Z"),
        event(2, "external_send", at=DAY_3),
    )
    assert "accepted" == click["status"]
