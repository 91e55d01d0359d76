"""The catalog, users, and the model's progress over HTTP."""

from typing import Any

import pytest

from service import background
from service.store.protocol import SHARDS
from tests.unit.service.harness import Worker, settings, worker

OFFER = {"attributes": {"category": "offer", "discount": 0.2}, "channel": "push", "send_cost": 0.5}
NO_RULES = {
    "tags": [],
    "paused": False,
    "starts": None,
    "ends": None,
    "windows": [],
    "when": {},
} | {
    "cooldown_s": 0.0,
    "budget": "",
    "transactional": False,
    "tier": 0,
}


async def test_a_message_is_held_as_it_was_put(running: Worker) -> None:
    put = await running.client.put("/v1/messages/spring", json=OFFER)
    got = await running.client.get("/v1/messages/spring")
    assert (201, 200) == (put.status_code, got.status_code)
    assert {"id": "spring"} | OFFER | NO_RULES == put.json() == got.json()


async def test_replacing_a_message_is_not_creating_it(running: Worker) -> None:
    again = await running.client.put("/v1/messages/sale", json={"send_cost": 1})
    assert (200, 1.0) == (again.status_code, again.json()["send_cost"])


@pytest.mark.parametrize("message", ["spring/sale", "a/b/c", "sale/"])
async def test_a_message_id_with_slashes_is_reached(running: Worker, message: str) -> None:
    """The configuration takes them too."""
    address = f"/v1/messages/{message}"
    put = await running.client.put(address, json=OFFER)
    got = await running.client.get(address)
    assert (201, message) == (put.status_code, put.json()["id"])
    assert (200, put.json()) == (got.status_code, got.json())
    assert 204 == (await running.client.delete(address)).status_code


async def test_a_message_without_an_id_is_refused(running: Worker) -> None:
    assert 422 == (await running.client.put("/v1/messages/", json=OFFER)).status_code


async def test_the_list_holds_every_message_and_a_version_that_rises(running: Worker) -> None:
    before = (await running.client.get("/v1/messages")).json()
    await running.client.put("/v1/messages/spring", json=OFFER)
    after = (await running.client.get("/v1/messages")).json()
    assert (["sale"], ["sale", "spring"]) == (
        [message["id"] for message in before["messages"]],
        [message["id"] for message in after["messages"]],
    )
    assert after["version"] > before["version"]


async def test_a_new_message_is_a_candidate_at_once(running: Worker) -> None:
    await running.client.put("/v1/messages/spring", json=OFFER)
    answer = (await running.decide(messages=["spring"])).json()
    assert "no_candidate" != answer["reason"]


async def test_a_deleted_message_is_gone(running: Worker) -> None:
    first = await running.client.delete("/v1/messages/sale")
    second = await running.client.delete("/v1/messages/sale")
    got = await running.client.get("/v1/messages/sale")
    assert (204, 404, 404) == (first.status_code, second.status_code, got.status_code)
    assert "'sale'" in got.json()["detail"]


@pytest.mark.parametrize(
    ("address", "body", "says"),
    [
        ("spring", {"attributs": {}}, "attributs"),
        ("spring", {"send_cost": -1}, "send_cost"),
        ("spring", {"send_cost": "1"}, "send_cost"),
        ("spring", {"attributes": {"a": [1]}}, "attributes"),
        ("spring", {"id": "summer"}, "summer"),
        ("spring", [], "object"),
        ("abstain", {}, "abstain"),
        ("m" * 129, {}, "128"),
    ],
    ids=["typo", "below 0", "string", "list", "two ids", "no object", "reserved", "long"],
)
async def test_a_message_that_cannot_be_used_is_refused(
    running: Worker, address: str, body: Any, says: str
) -> None:
    response = await running.client.put(f"/v1/messages/{address}", json=body)
    assert 422 == response.status_code
    assert says in response.json()["detail"]


@pytest.mark.parametrize("body", [b'{"\xff": 1}', b"{", b'{"attributes": {"a": NaN}}'])
async def test_a_message_that_is_no_json_is_refused(running: Worker, body: bytes) -> None:
    response = await running.client.put(
        "/v1/messages/spring", content=body, headers={"Content-Type": "application/json"}
    )
    assert 400 == response.status_code


async def test_a_full_catalog_takes_no_new_message_and_still_edits(
    running: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.routes.messages.MOST_MESSAGES", 1)
    new = await running.client.put("/v1/messages/spring", json=OFFER)
    known = await running.client.put("/v1/messages/sale", json=OFFER)
    assert (422, 200) == (new.status_code, known.status_code)
    assert "already holds 1 messages" in new.json()["detail"]


# -- users ---------------------------------------------------------------------------------------


async def test_a_user_never_seen_has_the_state_every_user_starts_with(running: Worker) -> None:
    got = await running.client.get("/v1/users/nobody")
    assert 200 == got.status_code
    assert {
        "user_id": "nobody",
        "burden": 0.0,
        "unsubscribed": False,
        "consent": {"others": True},
        "tolerance": None,
        "decisions": 0,
        "sends": 0,
        "clicks": 0,
        "first_seen_at": None,
        "last_send_at": None,
    } == got.json()


async def test_burden_is_told_as_it_is_now() -> None:
    """An external send adds 1; the half-life is 4 days, so 8 days later 1/4 is left."""
    async with worker(settings(simulated_clock=True)) as simulated:
        await simulated.report(
            {"event_id": "e", "type": "external_send", "user_id": "u", "at": "2031-05-01T00:00:00Z"}
        )
        await simulated.decide("somebody", at="2031-05-09T00:00:00Z")
        user = (await simulated.client.get("/v1/users/u")).json()
    assert 0.25 == pytest.approx(user["burden"])


@pytest.mark.parametrize("user_id", ["a/b", "a b", "ü@example.org", "a?b", "100%"])
async def test_a_user_id_may_hold_any_text(running: Worker, user_id: str) -> None:
    await running.report({"event_id": "e", "type": "unsubscribe", "user_id": user_id})
    address = running.client.base_url.copy_with(
        raw_path=b"/v1/users/" + b"".join(b"%%%02X" % byte for byte in user_id.encode())
    )
    user = (await running.client.get(address)).json()
    assert (user_id, True) == (user["user_id"], user["unsubscribed"])


async def test_erasing_a_user_deletes_and_counts(running: Worker) -> None:
    decision_id = (await running.decide()).json()["decision_id"]
    erased = (await running.client.delete("/v1/users/u1")).json()["erased"]
    found = await running.client.get(f"/v1/decisions/{decision_id}")
    user = (await running.client.get("/v1/users/u1")).json()
    assert (404, 0) == (found.status_code, user["decisions"])
    assert sum(erased.values()) >= 2


async def test_erasing_one_who_is_unsubscribed_keeps_the_silence(running: Worker) -> None:
    await running.report({"event_id": "e", "type": "unsubscribe", "user_id": "u1"})
    await running.client.delete("/v1/users/u1")
    user = (await running.client.get("/v1/users/u1")).json()
    assert user["unsubscribed"] is True


async def test_an_export_tells_everything_that_is_stored(running: Worker) -> None:
    decision = (await running.decide("a/b", context={"age": 41})).json()
    click = {"event_id": "e", "type": "click", "user_id": "a/b"}
    await running.report(click | {"decision_id": decision["decision_id"], "value": 2.5})
    told = (await running.client.get("/v1/users/a/b/export")).json()
    (record,), (event,) = told["decisions"], told["events"]
    assert ("a/b", {"age": 41.0}, "open") == (
        told["user_id"],
        record["context"],
        record["status"],
    )
    assert [decision["action"]] == [one["message"] for one in record["candidates"]]
    assert ("e", "click", 2.5, "accepted") == tuple(
        event[key] for key in ("event_id", "type", "value", "status")
    )
    assert (1, 1, [decision["action"]]) == (
        told["state"]["sends"],
        told["state"]["clicks"],
        [send["message"] for send in told["state"]["recent_sends"]],
    )


async def test_the_log_is_trimmed_behind_its_retention(
    running: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """90 days are kept by default; the log has milliseconds."""
    trimmed: list[int] = []

    async def trim_log(before_ms: int) -> int:
        trimmed.append(before_ms)
        return 0

    monkeypatch.setattr(running.store, "trim_log", trim_log)
    now = running.held.clock.now()
    await background.trim_log(running.held)
    assert 1000 * (now - 90 * 86_400) == pytest.approx(trimmed[0], abs=60_000)


# -- progress ------------------------------------------------------------------------------------


async def test_before_the_first_lesson_the_model_is_version_0(running: Worker) -> None:
    model = (await running.client.get("/v1/model")).json()
    assert {
        "version": 0,
        "published": 0,
        "applied": 0,
        "lag": 0,
        "positions": ["0-0"] * SHARDS,
    } == model


async def test_a_lesson_stored_but_not_learned_is_lag(running: Worker) -> None:
    answers = [(await running.decide(f"u{n}")).json() for n in range(50)]
    sends = [answer for answer in answers if answer["action"] is not None]
    await running.report(
        *(
            {
                "event_id": "e",
                "type": "unsubscribe",
                "user_id": answer["user_id"],
                "decision_id": answer["decision_id"],
            }
            for answer in sends
        )
    )
    model = (await running.client.get("/v1/model")).json()
    assert sends
    assert (len(sends), 0) == (model["lag"], model["applied"])


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/v1/messages"),
        ("PUT", "/v1/messages/spring"),
        ("DELETE", "/v1/messages/sale"),
        ("GET", "/v1/users/u"),
        ("DELETE", "/v1/users/u"),
        ("GET", "/v1/model"),
        ("GET", "/v1/decisions/07-x"),
    ],
)
async def test_without_a_store_there_is_no_answer_but_a_sentence(
    running: Worker, method: str, address: str
) -> None:
    running.store.away = True
    response = await running.client.request(method, address, json={} if method == "PUT" else None)
    assert (503, "1") == (response.status_code, response.headers["retry-after"])


@pytest.mark.parametrize("user", ["", "u" * 257])
async def test_an_id_that_no_user_can_have_is_refused(running: Worker, user: str) -> None:
    for method, address in (("GET", user), ("GET", f"{user}/export"), ("DELETE", user)):
        refused = await running.client.request(method, f"/v1/users/{address}")
        assert 422 == refused.status_code
        assert f"has {len(user)} characters; expected 1 to 256" in refused.json()["detail"]
