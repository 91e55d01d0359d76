"""A whole service of its own on this machine, for as long as a block lasts: real processes, HTTP.

It listens on a free port of the loopback address and keeps its data in a directory that is removed
afterwards. The client keeps one connection and speaks the published wire format, nothing else.
"""

import http.client
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from engine.errors import ForbearError
from service.auth import new_key
from service.clock import stopwatch, wait

READY_WITHIN_S = 60.0
LEARNED_WITHIN_S = 120.0


class ServiceError(ForbearError):
    """The service did not do what the demonstration needs; the message says what it said."""


class Client:
    """One connection to a service."""

    def __init__(self, url: str, key: str) -> None:
        self._place = urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(self._place, timeout=60)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer; `ServiceError` for any status of 400 or more."""
        sent = b"" if body is None else msgspec.json.encode(body)
        self._connection.request(method, path, sent, self._headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status >= 400:
            raise ServiceError(f"{method} {path} was answered {response.status}: {answer.decode()}")
        return msgspec.json.decode(answer)

    def decide(self, requests: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
        """The answers to a batch of requests."""
        answers: list[dict[str, Any]] = self.call(
            "POST", "/v1/decisions/batch", {"decisions": requests}
        )["decisions"]
        return answers

    def report(self, events: Sequence[Mapping[str, object]]) -> list[str]:
        """The status of each event."""
        results = self.call("POST", "/v1/events", {"events": events})["results"]
        return [result["status"] for result in results]

    def wait_until_learned(self) -> int:
        """Wait until every lesson so far is in the model that this worker uses; its version."""
        deadline = stopwatch() + LEARNED_WITHIN_S
        while stopwatch() < deadline:
            model = self.call("GET", "/v1/model")
            if model["lag"] == 0 and model["version"] == model["published"]:
                return int(model["version"])
            wait(0.01)
        raise ServiceError(
            f"the learner is {model['lag']} lessons behind after {LEARNED_WITHIN_S:.0f} s"
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class LocalService:
    """A running service, and how to get at it."""

    url: str
    key: str
    data_dir: Path
    process: subprocess.Popen[str]

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A connection of its own."""
        client = Client(self.url, self.key)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def running_service(settings: Mapping[str, object]) -> Iterator[LocalService]:
    """Start `forbear serve` with these settings (`port`, `data_dir` and keys are its own)."""
    key = new_key()
    with tempfile.TemporaryDirectory(prefix="fb-") as directory:
        environment = {
            **os.environ,
            **{f"FORBEAR_{name.upper()}": str(value) for name, value in settings.items()},
            "FORBEAR_API_KEYS": key,
            "FORBEAR_DATA_DIR": directory,
            "FORBEAR_PORT": "0",
            "FORBEAR_LOG_LEVEL": "WARNING",
        }
        environment.pop("REDIS_URL", None)
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield _ready(process, key, Path(directory))
        finally:
            process.terminate()
            process.wait(60)
            if process.stdout:
                process.stdout.close()


def _ready(process: subprocess.Popen[str], key: str, data_dir: Path) -> LocalService:
    """The service, once it answers; its first line says where it listens."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise ServiceError("the service did not start; its own words are above")
    url = next(word for word in line.split() if word.startswith("http://"))
    service = LocalService(url, key, data_dir, process)
    deadline = stopwatch() + READY_WITHIN_S
    while True:
        try:
            with service.client() as client:
                client.call("GET", "/readyz")
        except (OSError, http.client.HTTPException, ServiceError) as error:
            if stopwatch() > deadline or process.poll() is not None:
                raise ServiceError(f"the service did not become ready: {error}") from error
            wait(0.05)
        else:
            return service
