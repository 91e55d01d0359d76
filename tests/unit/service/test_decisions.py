"""What POST /v1/decisions and its batch answer to good and to bad requests."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from service.auth import Scope
from service.schemas import DecisionAnswer
from tests.unit.service.harness import Worker, settings, worker

GOOD = {"user_id": "u1", "context": {"country": "DE", "tenure_days": 12, "beta": True}}


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


async def test_an_answer_has_exactly_the_published_fields(running: Worker) -> None:
    response = await running.client.post("/v1/decisions", json=GOOD)
    assert 200 == response.status_code
    assert set(DecisionAnswer.__struct_fields__) == set(response.json())
    msgspec.json.decode(response.content, type=DecisionAnswer)


async def test_a_recorded_answer_can_be_looked_up_in_full(running: Worker) -> None:
    asked = GOOD | {"messages": ["sale", "nowhere"]}
    answer = (await running.client.post("/v1/decisions", json=asked)).json()
    record = (await running.client.get(f"/v1/decisions/{answer['decision_id']}")).json()
    decision = record["decision"]
    assert GOOD["context"] == decision["context"]
    assert answer["at"] == decision["at"]
    assert ["sale"] == [candidate["message"] for candidate in decision["candidates"]]
    (blocked,) = decision["blocked"]
    assert ("nowhere", "unknown_message", None) == (
        blocked["message"],
        blocked["reason"],
        blocked["free_at"],
    )
    assert "add it, or correct the id" in blocked["change"]
    assert {"click": None, "unsubscribe": None} == record["labels"] or answer["action"] is None


async def test_an_empty_message_list_abstains(running: Worker) -> None:
    answer = (await running.decide(messages=[])).json()
    assert (None, "no_candidate") == (answer["action"], answer["reason"])
    assert (None, None, None) == (answer["gain"], answer["annoyance"], answer["net"])


async def test_only_unknown_messages_abstain(running: Worker) -> None:
    answer = (await running.decide(messages=["nowhere"])).json()
    assert (None, "no_candidate") == (answer["action"], answer["reason"])


async def test_an_unsubscribed_user_is_an_abstention_and_no_error(running: Worker) -> None:
    await running.report({"event_id": "e1", "type": "unsubscribe", "user_id": "u1"})
    response = await running.decide()
    assert 200 == response.status_code
    assert (None, "unsubscribed") == (response.json()["action"], response.json()["reason"])


async def test_a_worthless_click_is_not_worth_a_send(running: Worker) -> None:
    answer = (await running.decide(value=0)).json()
    assert (None, 1.0) == (answer["action"], answer["abstain_propensity"])


async def test_time_zone_and_deferred_are_taken(running: Worker) -> None:
    response = await running.decide(time_zone="Europe/Berlin", deferred=True)
    assert 200 == response.status_code


BAD: list[tuple[str, bytes, int, str]] = [
    ("not JSON", b"{", 400, "cannot be read"),
    ("nothing", b"", 400, "cannot be read"),
    ("NaN", b'{"user_id": "u", "context": {"x": NaN}}', 400, "no NaN"),
    ("Infinity", b'{"user_id": "u", "context": {"x": -Infinity}}', 400, "Infinity"),
    ("bytes that are no text", b'{"user_id": "u", "context": {"\xff": 1}}', 400, "UTF-8"),
    ("half a surrogate pair", b'{"user_id": "\\ud800", "context": {}}', 400, "cannot be read"),
    ("depth", b"[" * 100_000, 422, "an array"),
    ("a list", b"[]", 422, "expected an object"),
    ("no user", b'{"context": {}}', 422, "`user_id` is missing"),
    ("no context", b'{"user_id": "u"}', 422, "`context` is missing"),
    ("an empty user id", b'{"user_id": "", "context": {}}', 422, "`user_id`"),
    ("a long user id", b'{"user_id": "%s", "context": {}}' % (b"u" * 257), 422, "length <= 256"),
    ("a number as user id", b'{"user_id": 7, "context": {}}', 422, "expected a string"),
    ("an unknown field", b'{"user_id": "u", "context": {}, "mesages": []}', 422, "`mesages`"),
    ("null as a feature", b'{"user_id": "u", "context": {"a": 1, "x": null}}', 422, "at 'x'"),
    ("a list as a feature", b'{"user_id": "u", "context": {"a": 1, "x": [1]}}', 422, "at 'x'"),
    ("infinity by exponent", b'{"user_id": "u", "context": {"x": 1e999}}', 422, "at 'x'"),
    ("a number of 400 digits", b'{"user_id":"u","context":{"x":%s}}' % (b"9" * 400), 422, "at 'x'"),
    ("a number too large", b'{"user_id": "u", "context": {"x": 1e16}}', 422, "out of range"),
    ("a long string", b'{"user_id":"u","context":{"x":"%s"}}' % (b"x" * 257), 422, "at 'x'"),
    ("a long name", b'{"user_id":"u","context":{"%s":1}}' % (b"x" * 257), 422, "at 'xxx"),
    ("a nameless feature", b'{"user_id": "u", "context": {"": 1}}', 422, "at ''"),
    ("a negative value", b'{"user_id": "u", "context": {}, "value": -0.1}', 422, "`value`"),
    ("an infinite value", b'{"user_id": "u", "context": {}, "value": 1e999}', 422, "`value`"),
    ("value as a string", b'{"user_id": "u", "context": {}, "value": "1"}', 422, "is a string"),
    ("value as a boolean", b'{"user_id": "u", "context": {}, "value": true}', 422, "true or false"),
    ("deferred as a number", b'{"user_id": "u", "context": {}, "deferred": 1}', 422, "`deferred`"),
    ("a message twice", b'{"user_id":"u","context":{},"messages":["a","b","a"]}', 422, "'a' more"),
    (
        "a nameless message",
        b'{"user_id": "u", "context": {}, "messages": [""]}',
        422,
        "`messages[0]`",
    ),
    ("a time zone of noise", b'{"user_id":"u","context":{},"time_zone":"?"}', 422, "`time_zone`"),
    ("noise after a null", b'{"user_id":"u","context":{"a":null}, noise', 400, "cannot be read"),
    (
        "noise after a zone",
        b'{"user_id":"u","context":{},"time_zone":"?", no',
        400,
        "cannot be read",
    ),
    ("bytes after a null", b'{"user_id":"u","context":{"a":null,"\xff":1}}', 400, "not UTF-8"),
    ("a time of noise", b'{"user_id": "u", "context": {}, "at": "soon"}', 422, "RFC 3339|Z."),
    ("a naive time", b'{"user_id":"u","context":{},"at":"2026-11-22T10:00:00"}', 422, "offset"),
    ("a time as a number", b'{"user_id": "u", "context": {}, "at": 1790000000}', 422, "`at`"),
    ("a time of long ago", b'{"user_id":"u","context":{},"at":"0900-01-01T00:00:00Z"}', 422, "900"),
]


@pytest.mark.parametrize(("body", "status", "says"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
async def test_a_bad_request_gets_one_sentence(
    running: Worker, body: bytes, status: int, says: str
) -> None:
    response = await running.client.post(
        "/v1/decisions", content=body, headers={"Content-Type": "application/json"}
    )
    problem = response.json()
    assert (status, "application/problem+json") == (
        response.status_code,
        response.headers["content-type"],
    )
    assert any(part in problem["detail"] for part in says.split("|")), problem["detail"]
    assert problem["detail"].endswith(".")
    assert {"type", "title", "status", "detail"} == set(problem)


async def test_201_features_are_too_many_and_200_are_not(running: Worker) -> None:
    assert 200 == (await running.decide(context={f"f{n}": n for n in range(200)})).status_code
    assert 422 == (await running.decide(context={f"f{n}": n for n in range(201)})).status_code


async def test_501_messages_are_too_many_and_500_are_not(running: Worker) -> None:
    assert 200 == (await running.decide(messages=[f"m{n}" for n in range(500)])).status_code
    assert 422 == (await running.decide(messages=[f"m{n}" for n in range(501)])).status_code


@pytest.mark.parametrize(
    ("minutes", "status"),
    [(-4, 200), (-6, 422), (23 * 60, 200), (25 * 60, 422)],
    ids=["a little ahead", "too far ahead", "of this day", "of yesterday's queue"],
)
async def test_a_question_from_another_time_is_refused(
    running: Worker, minutes: int, status: int
) -> None:
    assert status == (await running.decide(at=ago(minutes=minutes))).status_code


async def test_the_answer_carries_the_services_time_not_the_senders(running: Worker) -> None:
    answer = (await running.decide(at=ago(hours=20))).json()
    told = datetime.fromisoformat(answer["at"])
    assert abs(told - datetime.now(UTC)) < timedelta(minutes=5)


async def test_a_simulated_clock_is_the_largest_time_seen(simulated: Worker) -> None:
    first = (await simulated.decide(at="2031-05-01T12:00:00Z")).json()
    earlier = (await simulated.decide(at="2031-04-01T12:00:00Z")).json()
    assert ["2031-05-01T12:00:00.000Z"] * 2 == [first["at"], earlier["at"]]


# -- batches -------------------------------------------------------------------------------------


async def batch(worker: Worker, *items: Any) -> list[dict[str, Any]]:
    response = await worker.client.post("/v1/decisions/batch", json={"decisions": items})
    assert 200 == response.status_code, response.text
    answers: list[dict[str, Any]] = response.json()["decisions"]
    return answers


async def test_a_bad_item_gets_its_own_problem_and_sinks_nobody(running: Worker) -> None:
    answers = await batch(running, GOOD, {"user_id": "u2"}, 7, GOOD | {"user_id": "u3"})
    assert ["u1", None, None, "u3"] == [answer.get("user_id") for answer in answers]
    assert [422, 422] == [answer["status"] for answer in answers[1:3]]
    assert "/problems/invalid-request" == answers[1]["type"]


async def test_an_empty_batch_is_answered_with_an_empty_list(running: Worker) -> None:
    assert [] == await batch(running)


async def test_the_same_user_twice_is_decided_in_order(running: Worker) -> None:
    """The second question sees the burden that the first answer, if it was a send, left behind."""
    answers = await batch(running, *[GOOD] * 20)
    sends = 0
    for answer in answers:
        assert sends == pytest.approx(answer["burden"], abs=1e-3)
        sends += answer["action"] is not None
    assert sends > 0


async def test_1001_items_are_too_many(running: Worker) -> None:
    response = await running.client.post("/v1/decisions/batch", json={"decisions": [GOOD] * 1001})
    assert 422 == response.status_code
    assert "length <= 1000" in response.json()["detail"]


async def test_1000_items_are_answered(running: Worker) -> None:
    answers = await batch(running, *({"user_id": f"u{n}", "context": {}} for n in range(1000)))
    assert [f"u{n}" for n in range(1000)] == [answer["user_id"] for answer in answers]


# -- idempotency ---------------------------------------------------------------------------------


async def test_a_repeated_key_gets_the_first_answer_again(running: Worker) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await running.client.post("/v1/decisions", json=GOOD, headers=headers)
    again = await running.client.post("/v1/decisions", json=GOOD, headers=headers)
    assert first.content == again.content
    assert (None, "true") == (
        first.headers.get("idempotent-replayed"),
        again.headers.get("idempotent-replayed"),
    )


async def test_header_and_body_key_name_the_same_record(running: Worker) -> None:
    first = await running.client.post("/v1/decisions", json=GOOD, headers={"Idempotency-Key": "k"})
    (again,) = await batch(running, GOOD | {"idempotency_key": "k"})
    assert first.json() == again


async def test_the_same_key_with_another_body_is_refused(running: Worker) -> None:
    headers = {"Idempotency-Key": "k1"}
    await running.client.post("/v1/decisions", json=GOOD, headers=headers)
    other = await running.client.post("/v1/decisions", json=GOOD | {"value": 2}, headers=headers)
    assert (422, "/problems/idempotency-key-reused") == (
        other.status_code,
        other.json()["type"],
    )


async def test_a_key_belongs_to_one_user_and_one_api_key(running: Worker) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await running.client.post("/v1/decisions", json=GOOD, headers=headers)
    user = await running.client.post(
        "/v1/decisions", json=GOOD | {"user_id": "u2"}, headers=headers
    )
    caller = await running.client.post(
        "/v1/decisions", json=GOOD, headers=headers | await running.key(Scope.DECIDE)
    )
    ids = {response.json()["decision_id"] for response in (first, user, caller)}
    assert 3 == len(ids)


async def test_two_different_keys_for_one_request_are_refused(running: Worker) -> None:
    response = await running.client.post(
        "/v1/decisions", json=GOOD | {"idempotency_key": "a"}, headers={"Idempotency-Key": "b"}
    )
    assert 422 == response.status_code


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_has_1_to_255_characters(running: Worker, key: str) -> None:
    header = await running.client.post("/v1/decisions", json=GOOD, headers={"Idempotency-Key": key})
    body = await running.client.post("/v1/decisions", json=GOOD | {"idempotency_key": key})
    assert [422, 422] == [header.status_code, body.status_code]


async def test_a_batch_refuses_the_header_that_would_be_ambiguous(running: Worker) -> None:
    response = await running.client.post(
        "/v1/decisions/batch", json={"decisions": [GOOD]}, headers={"Idempotency-Key": "k"}
    )
    assert 422 == response.status_code
    assert "in each item" in response.json()["detail"]


# -- without a store -----------------------------------------------------------------------------


async def test_without_a_store_the_answer_is_the_fallback(running: Worker) -> None:
    running.store.away = True
    answer = (await running.decide()).json()
    assert (None, "fallback", None, None) == (
        answer["action"],
        answer["reason"],
        answer["decision_id"],
        answer["propensity"],
    )


async def test_a_fallback_is_not_remembered_under_its_key(running: Worker) -> None:
    headers = {"Idempotency-Key": "k1"}
    running.store.away = True
    first = await running.client.post("/v1/decisions", json=GOOD, headers=headers)
    running.store.away = False
    second = await running.client.post("/v1/decisions", json=GOOD, headers=headers)
    assert "fallback" == first.json()["reason"]
    assert "fallback" != second.json()["reason"]


async def test_a_click_worth_more_today_costs_no_more_than_usual() -> None:
    """Ten times the worth: ten times the gain; what losing the user costs, lies in later days."""
    async with worker(settings(patience="learned")) as running:
        terms = {}
        for user, values in (
            ("usual", (1.0, 1.0)),
            ("today", (1.0, 10.0)),
            ("always", (10.0,) * 2),
        ):
            for value in values:
                answer = (await running.decide(user, value=value)).json()
            record = (await running.client.get(f"/v1/decisions/{answer['decision_id']}")).json()
            (terms[user],) = record["decision"]["candidates"]
    gains = {user: term["gain"] for user, term in terms.items()}
    costs = {user: term["annoyance"]["unsubscribe"] for user, term in terms.items()}
    assert costs["usual"] > 0.0
    assert pytest.approx((10.0, 10.0)) == tuple(
        gains[user] / gains["usual"] for user in ("today", "always")
    )
    assert pytest.approx((1.0, 10.0), rel=1e-6) == tuple(
        costs[user] / costs["usual"] for user in ("today", "always")
    )


async def test_what_is_usual_is_told_to_its_user() -> None:
    async with worker() as running:
        await running.decide(value=5.0)
        told = (await running.client.get("/v1/users/u1/export")).json()
        assert 5.0 == told["state"]["mean_value"]
