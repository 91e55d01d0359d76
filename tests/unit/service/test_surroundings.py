"""What surrounds the routes: limits, problems, logs, metrics, health, documentation."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.errors import StoreError
from service import logs
from service.limits import Limits
from service.routes.docs import STATIC
from tests.unit.service.harness import Worker, new_store, settings, worker

JSON = {"Content-Type": "application/json"}


# -- limits --------------------------------------------------------------------------------------


@pytest.fixture
async def narrow() -> AsyncIterator[Worker]:
    """A worker that takes bodies of up to 1,000 bytes."""
    async with worker(settings(max_body_bytes=1000)) as started:
        yield started


def padded(size: int) -> bytes:
    body = b'{"user_id": "u", "context": {}}'
    return body + b" " * (size - len(body))


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 100):
        yield body[start : start + 100]


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 413)])
@pytest.mark.parametrize("in_chunks", [False, True], ids=["with its length", "in chunks"])
async def test_a_body_may_have_just_the_limit(
    narrow: Worker, size: int, status: int, in_chunks: bool
) -> None:
    body = padded(size)
    response = await narrow.client.post(
        "/v1/decisions", content=chunks(body) if in_chunks else body, headers=JSON
    )
    assert status == response.status_code
    if status == 413:
        assert "larger than 1000 bytes" in response.json()["detail"]


async def test_a_worker_refuses_more_requests_than_it_can_hold() -> None:
    """With room for 2, the third is told to wait, and there is room again once one has ended."""
    gate = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await Response()(scope, receive, send)

    limited = Limits(slow, max_body_bytes=10, max_requests=2)
    statuses: list[int] = []
    retry: list[bool] = []

    async def ask() -> None:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                retry.append(any(name == b"retry-after" for name, _ in message["headers"]))

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        scope = {"type": "http", "method": "GET", "path": "/v1/model", "headers": []}
        await limited(scope, receive, send)

    held = [asyncio.create_task(ask()) for _ in range(2)]
    await asyncio.sleep(0)
    await ask()
    assert ([429], [True]) == (statuses, retry)
    gate.set()
    await asyncio.gather(*held)
    await ask()
    assert [429, 200, 200, 200] == statuses


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_a_worker_that_is_full_lets_those_through_who_watch_it(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async with worker(settings(max_requests=1, decide_timeout_ms=60_000)) as full:
        reading, gate = asyncio.Event(), asyncio.Event()

        async def slow(*_: Any) -> Any:
            reading.set()
            await gate.wait()
            raise StoreError("enough waited")

        monkeypatch.setattr(full.store, "read_users", slow)
        asked = asyncio.create_task(full.decide())
        await reading.wait()
        statuses = [(await full.client.get(it)).status_code for it in (path, "/v1/model")]
        gate.set()
        await asked
    assert [200, 429] == statuses


# -- problems ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/decisions/", 404),
        ("GET", "/static/nothing.js", 404),
        ("GET", "/static/../settings.py", 404),
        ("GET", "/v1/decisions", 405),
        ("DELETE", "/v1/events", 405),
        ("PATCH", "/v1/messages/sale", 405),
    ],
)
async def test_what_the_framework_refuses_is_a_problem_too(
    running: Worker, method: str, address: str, status: int
) -> None:
    response = await running.client.request(method, address)
    assert (status, "application/problem+json") == (
        response.status_code,
        response.headers["content-type"],
    )
    assert status == response.json()["status"]
    assert re.fullmatch(r"/problems/[a-z-]+", response.json()["type"])


@pytest.mark.parametrize(
    ("method", "address", "allowed"),
    [
        ("GET", "/v1/decisions", "POST"),
        ("POST", "/v1/messages/sale", "DELETE, GET, PUT"),
        ("POST", "/v1/pause", "DELETE, GET, PUT"),
        ("PUT", "/v1/users/u42", "DELETE, GET"),
        ("POST", "/static/icon.svg", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_every_right_one(
    running: Worker, method: str, address: str, allowed: str
) -> None:
    response = await running.client.request(method, address)
    assert (405, allowed) == (response.status_code, response.headers["allow"])
    assert f"answers {allowed}; use one" in response.json()["detail"]


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("", 415),
    ],
)
async def test_a_body_must_say_it_is_json(running: Worker, media_type: str, status: int) -> None:
    response = await running.client.post(
        "/v1/decisions", content=padded(100), headers={"Content-Type": media_type}
    )
    assert status == response.status_code


async def test_a_failure_of_the_code_is_a_problem_with_the_requests_id(
    running: Worker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("about user-4711")

    logs.configure("INFO")
    monkeypatch.setattr(running.held.decider, "decide", fail)
    response = await running.client.post(
        "/v1/decisions",
        json={"user_id": "user-4711", "context": {}},
        headers={"X-Request-ID": "r-1"},
    )
    assert (500, "r-1") == (response.status_code, response.headers["x-request-id"])
    assert "r-1" in response.json()["detail"]
    written = capsys.readouterr().err
    failure = next(line for line in lines(written) if line["event"] == "request failed")
    assert ("RuntimeError", "r-1") == (failure["exception"], failure["request_id"])
    assert "user-4711" not in written


# -- logs ----------------------------------------------------------------------------------------


def lines(written: str) -> Iterator[dict[str, Any]]:
    for line in written.splitlines():
        yield json.loads(line)


async def test_no_log_line_holds_a_user_id_or_a_context(
    running: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every route, good and bad, at the most talkative level."""
    logs.configure("DEBUG")
    logging.getLogger("httpx").setLevel("WARNING")  # the test's own client names addresses
    client, user = running.client, "user-4711"
    decided = await running.decide(user, context={"secret-key": "secret-value"})
    await running.decide(user, context={"secret-key": None})
    await running.decide(user, messages=["secret-id", "secret-id"])
    await client.post("/v1/decisions/batch", json={"decisions": [{"user_id": user}]})
    await running.report({"event_id": "e", "type": "unsubscribe", "user_id": user}, {"a": user})
    await client.get(f"/v1/decisions/{decided.json()['decision_id']}")
    await client.get(f"/v1/users/{user}")
    await client.get(f"/nothing/{user}?user={user}")
    await client.delete(f"/v1/users/{user}")
    running.store.away = True
    await running.decide(user)
    await running.client.get(f"/v1/users/{user}")
    written = capsys.readouterr().err
    assert 10 < sum(line["event"] == "request" for line in lines(written))
    assert [] == [line for line in written.splitlines() if user in line or "secret" in line]


async def test_a_log_line_names_the_route_and_the_requests_id(
    running: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("DEBUG")
    response = await running.client.get("/v1/users/u1")
    (line,) = (line for line in lines(capsys.readouterr().err) if line["event"] == "request")
    assert ("/v1/users/{user_id:path}", 200, response.headers["x-request-id"]) == (
        line["route"],
        line["status"],
        line["request_id"],
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-1.2:3_4", True), ("", False), ("a b", False), ("x" * 65, False), ('"},{"', False)],
)
async def test_a_request_id_is_kept_if_it_is_fit_for_a_log(
    running: Worker, given: str, kept: bool
) -> None:
    response = await running.client.get("/livez", headers={"X-Request-ID": given})
    assert kept == (given == response.headers["x-request-id"])


async def test_each_request_gets_an_id_of_its_own(running: Worker) -> None:
    ids = {(await running.client.get("/livez")).headers["x-request-id"] for _ in range(20)}
    assert 20 == len(ids)


# -- metrics -------------------------------------------------------------------------------------


async def counted(worker: Worker, sample: str) -> float:
    text = (await worker.client.get("/metrics")).text
    found = [line for line in text.splitlines() if line.startswith(f"{sample} ")]
    return float(found[0].split()[1]) if found else 0.0


@pytest.mark.parametrize(
    ("sample", "act"),
    [
        ('forbear_decisions_total{arm="bandit",reason="no_candidate"}', "empty"),
        ('forbear_decisions_total{arm="bandit",reason="fallback"}', "away"),
        ('forbear_events_total{status="accepted",type="external_send"}', "event"),
        ('forbear_events_total{status="invalid",type="unreadable"}', "bad event"),
        ('forbear_problems_total{kind="invalid-request"}', "bad request"),
        ('forbear_problems_total{kind="invalid-request"}', "bad item"),
        ('forbear_request_seconds_count{route="/v1/decisions"}', "empty"),
    ],
)
async def test_what_happens_is_counted_once(running: Worker, sample: str, act: str) -> None:
    before = await counted(running, sample)
    if act == "empty":
        await running.decide(messages=[])
    elif act == "away":
        running.store.away = True
        await running.decide()
    elif act == "event":
        await running.report({"event_id": "e", "type": "external_send", "user_id": "u"})
    elif act == "bad event":
        await running.report({"event_id": "e"})
    elif act == "bad request":
        await running.decide(value=-1)
    else:
        await running.client.post("/v1/decisions/batch", json={"decisions": [{}]})
    assert before + 1 == await counted(running, sample)


async def test_an_address_nobody_serves_makes_no_new_series(running: Worker) -> None:
    await running.client.get("/nothing/user-4711")
    assert "user-4711" not in (await running.client.get("/metrics")).text


async def test_the_model_and_its_lag_are_told(running: Worker) -> None:
    text = (await running.client.get("/metrics")).text
    names = ("forbear_model_version 0", "forbear_learner_lag_entries", "forbear_slots_used_ratio")
    assert [] == [name for name in names if name not in text]


# -- health --------------------------------------------------------------------------------------


async def test_a_worker_with_store_and_model_is_ready(running: Worker) -> None:
    assert 200 == (await running.client.get("/readyz")).status_code


async def test_without_a_store_a_worker_lives_but_is_not_ready(running: Worker) -> None:
    running.store.away = True
    ready, alive = await running.client.get("/readyz"), await running.client.get("/livez")
    assert (503, 200) == (ready.status_code, alive.status_code)
    assert "store cannot be reached" in ready.json()["detail"]


async def test_a_stopping_worker_answers_but_is_not_ready(running: Worker) -> None:
    running.held.draining = True
    ready = await running.client.get("/readyz")
    assert (503, 200) == (ready.status_code, (await running.decide()).status_code)
    assert "stopping" in ready.json()["detail"]


async def test_a_worker_that_starts_without_its_store_is_there_and_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = new_store()
    async with worker(store=store) as started:
        monkeypatch.setattr(started.held.live, "refresh", AsyncMock())
        started.held.live.model = None
        ready = await started.client.get("/readyz")
        answer = (await started.decide()).json()
    assert (503, "fallback") == (ready.status_code, answer["reason"])


# -- documentation -------------------------------------------------------------------------------


async def test_the_documentation_page_loads_this_services_addresses_only(
    running: Worker,
) -> None:
    page = await running.client.get("/docs")
    addresses = re.findall(r'(?:src|href|spec-url)="([^"]*)"', page.text)
    assert {"/openapi.json", "/static/vendor/rapidoc/rapidoc-min.js", "/static/icon.svg"} == set(
        addresses
    )
    assert "//" not in page.text
    statuses = [(await running.client.get(address)).status_code for address in addresses]
    assert {200} == set(statuses)


async def test_the_browser_is_told_to_load_nothing_from_elsewhere(running: Worker) -> None:
    policy = (await running.client.get("/docs")).headers["content-security-policy"]
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert "'self'" == parts.pop("default-src")
    assert set(parts) <= {"style-src", "img-src"}
    assert "http" not in policy


def test_vendored_files_come_with_their_licence() -> None:
    for folder in (STATIC / "vendor").iterdir():
        assert any("LICENSE" in file.name for file in folder.iterdir()), folder


async def test_the_schema_refers_only_to_what_it_holds(running: Worker) -> None:
    schema = running.app.openapi()
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(schema)))
    assert names
    assert names <= set(schema["components"]["schemas"])


async def test_the_schema_states_the_limits_that_are_enforced(running: Worker) -> None:
    request = running.app.openapi()["components"]["schemas"]["DecisionRequest"]
    assert (200, 256, False) == (
        request["properties"]["context"]["maxProperties"],
        request["properties"]["user_id"]["maxLength"],
        request["additionalProperties"],
    )


@pytest.mark.parametrize(
    ("path", "items", "item"),
    [
        ("/v1/decisions/batch", "decisions", "DecisionRequest"),
        ("/v1/events", "events", "EventRequest"),
    ],
)
async def test_the_schema_describes_each_item_of_a_batch(
    running: Worker, path: str, items: str, item: str
) -> None:
    schema = (await running.client.get("/openapi.json")).json()
    records = schema["components"]["schemas"]
    content = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    batch = records[content["schema"]["$ref"].rsplit("/", 1)[1]]
    assert {"$ref": f"#/components/schemas/{item}"} == batch["properties"][items]["items"]
    assert "user_id" in records[item]["required"]


async def test_every_documented_answer_is_the_one_that_is_given(running: Worker) -> None:
    """The only 2xx that the schema promises for each route."""
    promised = {
        (method, path): [status for status in operation["responses"] if status[0] == "2"]
        for path, item in running.app.openapi()["paths"].items()
        for method, operation in item.items()
    }
    assert {1} == {len(statuses) for statuses in promised.values()}
    assert ["202"] == promised["post", "/v1/events"]
    assert ["204"] == promised["delete", "/v1/messages/{message_id}"]


def test_static_files_are_packed_where_the_routes_look_for_them() -> None:
    assert (Path(STATIC) / "docs.html").is_file()
