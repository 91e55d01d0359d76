"""The load: senders that ask about the same few users as fast as answers come, and what disturbs.

Senders report sends that did not happen, other teams' sends, unsubscribes from one channel or all,
returns, and how often users want to be messaged. Meanwhile a conductor pauses everything or one
message and resumes, and may kill a worker halfway. Of each pause it notes, for every shard, how far
the log had come when the pause was acknowledged and when the request to resume was about to leave:
whatever the log holds in between was committed under the pause. No clock is compared with another
for that.
"""

import http.client
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from redis import Redis

from service.clock import stopwatch, wait
from service.demo.local import Client, LocalService
from service.store.keys import log_key
from service.store.protocol import SHARDS
from tests.rules_checker import Limits

SETTINGS: dict[str, object] = {
    "unsubscribe_cost": 0,
    "send_cost": 0,
    "patience": "constant",
    "decide_timeout_ms": 5000,
    "min_gap_s": 0.3,
    "caps": "3/2s 8/8s",
    "tag_caps": "offer:1/2s",
    "budgets": "200/2s",
}
MESSAGES: dict[str, dict[str, object]] = {
    "sale": {"tags": ["offer"]},
    "bargain": {"tags": ["offer"]},
    "digest": {"cooldown_s": 1.5},
    "news": {"budget": "10/3s"},
    "receipt": {"transactional": True},
    "letter": {"channel": "email"},
}
TOLERANCE = "1/2s"
"""How often a user himself wants to be messaged, where he says so."""
LIMITS = Limits(
    gap=0.3,
    caps=((3, 2.0), (8, 8.0)),
    tag_caps=(("offer", 1, 2.0),),
    cooldowns={"digest": 1.5},
    tags={"sale": ("offer",), "bargain": ("offer",)},
    transactional=frozenset({"receipt"}),
    channels={"letter": "email"},
    budgets=(("news", 10, 3.0), ("", 200, 2.0)),
)
MARKETING = [name for name in MESSAGES if name != "receipt"]
PAUSABLE = ["", "news", "digest"]
"""What the conductor pauses; "" is everything."""

Places = list[str]
"""Of each shard, the id of the last log entry at some moment."""


@dataclass(frozen=True)
class Load:
    """How hard it is hammered."""

    senders: int = 64
    users: int = 100
    seconds: float = 30.0
    workers: int = 3
    kill: bool = False
    """End a worker without warning halfway."""


@dataclass(frozen=True)
class Pause:
    """One pause, as places in the logs."""

    message: str
    acknowledged: Places
    resuming: Places


@dataclass
class Happened:
    """What the load did, besides what stands in the log."""

    answers: Counter[str] = field(default_factory=Counter)
    """By reason."""
    events: Counter[str] = field(default_factory=Counter)
    """Accepted ones, by type."""
    pauses: list[Pause] = field(default_factory=list)
    lost_connections: int = 0
    killed: int = 0
    errors: list[Exception] = field(default_factory=list)


def hammer(service: LocalService, load: Load) -> Happened:
    """Put the catalog in place, and load the service for so many seconds."""
    happened = Happened()
    with service.client() as client:
        for name, body in MESSAGES.items():
            client.call("PUT", f"/v1/messages/{name}", body)
    end = stopwatch() + load.seconds
    jobs = [Sender(service, load, n, end, happened).run for n in range(load.senders)]
    jobs.append(Conductor(service, load, end, happened).run)
    threads = [threading.Thread(target=_noting_errors(job, happened)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return happened


def _noting_errors(job: Callable[[], None], happened: Happened) -> Callable[[], None]:
    def run() -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 (told to whoever asked for the load)
            happened.errors.append(error)

    return run


class Sender:
    """Asks about a random user, and reports what became of the answer."""

    def __init__(
        self, service: LocalService, load: Load, number: int, end: float, happened: Happened
    ) -> None:
        self._service, self._load, self._number, self._end = service, load, number, end
        self._happened = happened
        self._draw = Random(number)
        self._reported = 0

    def run(self) -> None:
        """Until the time is over; a connection that breaks is made anew."""
        while stopwatch() < self._end:
            try:
                with self._service.client() as client:
                    while stopwatch() < self._end:
                        self._ask(client)
            except (OSError, http.client.HTTPException):  # its worker was killed
                self._happened.lost_connections += 1

    def _ask(self, client: Client) -> None:
        user = f"u{self._draw.randrange(self._load.users)}"
        wanted = ["receipt"] if self._draw.random() < 0.02 else MARKETING
        ask = {"user_id": user, "context": {}, "messages": wanted}
        answer = client.call("POST", "/v1/decisions", ask)
        self._happened.answers[answer["reason"]] += 1
        kind = self._what_follows(answer)
        if kind is None:
            return
        self._reported += 1
        event = {"event_id": f"{self._number}-{self._reported}", "type": kind, "user_id": user}
        if kind == "not_sent":
            event["decision_id"] = answer["decision_id"]
        if kind == "unsubscribe" and self._draw.random() < 0.5:
            event["channel"] = "email"
        if kind == "tolerance" and self._draw.random() < 0.5:
            event["tolerance"] = TOLERANCE
        (status,) = client.report([event])
        self._happened.events[kind] += status == "accepted"

    def _what_follows(self, answer: dict[str, Any]) -> str | None:
        if answer["reason"] == "unsubscribed":
            return "subscribe" if self._draw.random() < 0.05 else None
        if answer["action"] is not None and self._draw.random() < 0.3:
            return "not_sent"
        return self._draw.choices(
            [None, "external_send", "unsubscribe", "tolerance"], weights=[0.97, 0.01, 0.01, 0.01]
        )[0]


class Conductor:
    """Pauses and resumes, notes where the logs stood, and may kill a worker halfway."""

    def __init__(self, service: LocalService, load: Load, end: float, happened: Happened) -> None:
        self._service, self._load, self._end, self._happened = service, load, end, happened
        self._draw = Random(-1)

    def run(self) -> None:
        """Until the time is over; every pause is ended."""
        kill_at = self._end - self._load.seconds / 2 if self._load.kill else self._end
        while stopwatch() < self._end:
            if stopwatch() > kill_at:
                kill_at = self._end
                self._happened.killed += kill_a_worker(self._service)
            wait(self._draw.uniform(0.2, 0.6))
            self._pause(self._draw.choice(PAUSABLE))

    def _pause(self, message: str) -> None:
        self._set(message, paused=True)
        acknowledged = self._places()
        wait(self._draw.uniform(0.2, 0.6))
        resuming = self._places()
        self._set(message, paused=False)
        self._happened.pauses.append(Pause(message, acknowledged, resuming))

    def _set(self, message: str, *, paused: bool) -> None:
        """Ask until it is acknowledged: the worker that was asked may be the one killed."""
        while True:
            try:
                with self._service.client() as client:
                    if message:
                        body = MESSAGES[message] | {"paused": paused}
                        client.call("PUT", f"/v1/messages/{message}", body)
                    else:
                        client.call("PUT" if paused else "DELETE", "/v1/pause")
            except (OSError, http.client.HTTPException):
                self._happened.lost_connections += 1
            else:
                return

    def _places(self) -> Places:
        with server_of(self._service) as redis, redis.pipeline(transaction=False) as asked:
            for shard in range(SHARDS):
                asked.xrevrange(log_key(shard), count=1)
            return [found[0][0].decode() if found else "0-0" for found in asked.execute()]


def server_of(service: LocalService) -> Any:
    """A plain client of the service's own Redis."""
    return Redis(unix_socket_path=(service.data_dir / "socket").read_text().strip())


def kill_a_worker(service: LocalService) -> int:
    """End the first API worker without warning; how many were killed."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="],  # noqa: S607 (wherever the system has it)
        capture_output=True,
        text=True,
        check=True,
    )
    for line in listing.stdout.splitlines():
        pid, parent, arguments = line.split(None, 2)
        if int(parent) == service.process.pid and "service.cli api" in arguments:
            os.kill(int(pid), signal.SIGKILL)
            return 1
    return 0
