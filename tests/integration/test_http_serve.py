"""The HTTP service as it is run: real processes, the bundled server, sockets and signals."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

FREE_SENDS = {"FORBEAR_UNSUBSCRIBE_COST": "0", "FORBEAR_SEND_COST": "0"}


@dataclass(frozen=True, slots=True)
class Running:
    """`forbear serve`, and a client that may do everything."""

    process: subprocess.Popen[str]
    client: httpx.Client

    def post(self, path: str, body: Any) -> Any:
        return self.client.post(path, json=body).raise_for_status().json()

    def decide(self, user_id: str) -> Any:
        return self.post("/v1/decisions", {"user_id": user_id, "context": {"country": "DE"}})

    def report(self, *events: Any) -> list[str]:
        results = self.post("/v1/events", {"events": events})["results"]
        return [result["status"] for result in results]

    def children(self, words: str) -> list[int]:
        """Process ids of those that `forbear serve` started and whose command holds `words`."""
        listing = subprocess.run(
            ["ps", "-axwwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        )
        rows = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
        parent = str(self.process.pid)
        return [int(pid) for pid, ppid, command in rows if ppid == parent and words in command]


@contextmanager
def serving(*options: str, **environment: str) -> Iterator[Running]:
    """The service started by its command, ready, with one message; ended at the end."""
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", *options]
    with (
        tempfile.TemporaryDirectory(prefix="fb-") as folder,  # a socket's path must be short
        subprocess.Popen(
            [*command, "--data-dir", f"{folder}/data"],
            env=os.environ | FREE_SENDS | {"TMPDIR": folder} | environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            with client_of(process) as client:
                wait_until(lambda: status(client, "/readyz") == 200)
                client.put("/v1/messages/sale", json={}).raise_for_status()
                yield Running(process, client)
        finally:
            process.terminate()
            process.wait(40)


def client_of(process: subprocess.Popen[str]) -> httpx.Client:
    """A client with the address and the key that the service prints when it starts."""
    assert process.stdout is not None
    told = process.stdout.readline() + process.stdout.readline()
    found = re.search(r"(http://\S+).*?(fb_\S+)", told, re.DOTALL)
    assert found, told
    headers = {"Authorization": f"Bearer {found[2]}"}
    return httpx.Client(base_url=found[1], headers=headers, timeout=20.0)


def progress(running: Running) -> Any:
    return running.client.get("/v1/model").raise_for_status().json()


def status(client: httpx.Client, path: str) -> int:
    """The status of a GET; 0 while nobody listens."""
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        return 0


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """One service for the tests that leave it as they found it."""
    with serving() as started:
        yield started


def test_a_decision_its_click_and_its_record_over_a_socket(running: Running) -> None:
    """Also: a body too large is refused with or without its length, and keys are asked for."""
    answers = [running.decide(f"u{n}") for n in range(40)]
    sends = [answer for answer in answers if answer["action"] == "sale"]
    assert sends, "40 free sends and not one drawn"
    sent = sends[0]
    click = {
        "event_id": "e1",
        "type": "click",
        "user_id": sent["user_id"],
        "decision_id": sent["decision_id"],
    }
    assert ["accepted", "duplicate"] == running.report(click, click)
    record = running.client.get(f"/v1/decisions/{sent['decision_id']}").json()
    assert (1.0, {"country": "DE"}) == (record["labels"]["click"], record["decision"]["context"])

    large = b" " * (4 * 1024 * 1024 + 1)
    for content in (large, iter([large[: len(large) // 2]] * 3)):
        response = running.client.post(
            "/v1/decisions", content=content, headers={"Content-Type": "application/json"}
        )
        assert 413 == response.status_code
    response = running.client.get("/v1/model", headers={"Authorization": "Bearer fb_a_b"})
    assert 401 == response.status_code


def test_what_was_reported_is_learned_and_served(running: Running) -> None:
    """Lessons pass through learner and snapshot: the worker ends with a version and no lag.

    Unsubscribes, because a click's lesson waits for its slice, ten minutes at least.
    """
    wait_until(lambda: progress(running)["lag"] == 0)
    before = progress(running)["applied"]
    answers = [running.decide(f"learning-{n}") for n in range(50)]
    events = [
        {"event_id": "e", "type": "unsubscribe"} | {k: a[k] for k in ("user_id", "decision_id")}
        for a in answers
        if a["action"] is not None
    ]
    assert {"accepted"} == set(running.report(*events))

    wait_until(lambda: progress(running)["applied"] == before + len(events))
    model = progress(running)
    assert (0, model["published"]) == (model["lag"], model["version"])
    assert model["version"] == running.decide("u1")["model_version"]


def test_an_acknowledged_unsubscribe_silences_at_once(running: Running) -> None:
    running.report({"event_id": "e1", "type": "unsubscribe", "user_id": "u1"})
    answers = [running.decide("u1") for _ in range(50)]
    assert {(None, "unsubscribed")} == {(a["action"], a["reason"]) for a in answers}


def test_a_store_that_hangs_costs_the_answer_its_content_not_its_time(running: Running) -> None:
    """Stopped with SIGSTOP, the store neither answers nor refuses; afterwards all is as before."""
    (store,) = running.children("-server unixsocket:")
    os.kill(store, signal.SIGSTOP)
    try:
        answer = running.decide("u1")
        event = {"event_id": "e1", "type": "external_send", "user_id": "u1"}
        refused = running.client.post("/v1/events", json={"events": [event]})
        ready = running.client.get("/readyz")
    finally:
        os.kill(store, signal.SIGCONT)
    assert (None, None, "fallback") == (answer["action"], answer["decision_id"], answer["reason"])
    assert [503, 503] == [refused.status_code, ready.status_code]
    assert "retry-after" in refused.headers
    wait_until(lambda: status(running.client, "/readyz") == 200)
    wait_until(lambda: running.decide("u2")["reason"] != "fallback")


def test_two_workers_count_as_one_service() -> None:
    """Whichever worker is asked for the metrics, all 60 decisions are in them."""
    with serving("--workers", "2") as running:
        assert 2 == len(running.children("service.cli api"))
        for n in range(60):
            httpx.post(  # a connection each, so that both workers get some
                running.client.base_url.join("/v1/decisions"),
                json={"user_id": f"u{n}", "context": {}},
                headers=running.client.headers,
            ).raise_for_status()
        for _ in range(6):
            text = httpx.get(running.client.base_url.join("/metrics")).text
            counts = re.findall(r"^forbear_decisions_total\{.*\} (\S+)$", text, re.MULTILINE)
            assert 60 == sum(float(count) for count in counts)


def test_a_stopping_worker_first_says_that_it_is_not_ready() -> None:
    with serving(FORBEAR_DRAIN_S="3") as running:
        running.process.terminate()
        wait_until(lambda: status(running.client, "/readyz") == 503)
        assert "stopping" in running.client.get("/readyz").json()["detail"]
        assert running.decide("u1")["user_id"] == "u1"
        assert 0 == running.process.wait(40)


def test_no_user_id_is_written_to_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(FORBEAR_LOG_LEVEL="DEBUG") as running:
        running.decide("user-4711")
        running.client.get("/v1/users/user-4711")
        running.client.get("/nothing/user-4711")
        running.report({"event_id": "e1", "type": "unsubscribe", "user_id": "user-4711"})
    written = capfd.readouterr().err
    assert '"route": "/v1/decisions"' in written
    assert "user-4711" not in written
