"""The deciding routes over HTTP beside their floors: one worker, alternating windows, paired.

`http_vs_floor`: single decisions per second, real / floor. `batch_vs_floor`: the same for batches.
`batch_vs_single`: users per second, batched / single.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.latency import load
from benchmarks.latency.workload import catalog, contexts, learned
from engine.decision import Floats
from engine.snapshot import to_bytes
from service.auth import new_key
from service.clock import wait
from service.configuration.changing import Author, put_message
from service.settings import load_settings
from service.store.embedded import start_server
from service.store.protocol import SHARDS
from service.store.redis import RedisStore

USERS = 50_000
CONNECTIONS = 8
PSEUDONYM_KEY = "benchmark"


@dataclass(frozen=True, slots=True)
class Target:
    """A running worker with floors."""

    port: int
    key: str


@dataclass(frozen=True, slots=True)
class Size:
    """How much is sent in one window, and how many pairs of windows."""

    singles: int
    batches: int
    batch: int
    rounds: int


def measure(size: Size) -> dict[str, float]:
    """Medians over rounds; every ratio is the median of paired ratios."""
    with running_worker() as target:
        singles = _singles(target, size.singles)
        batches = _batches(target, size)
        windows: dict[str, list[tuple[float, Floats]]] = {name: [] for name in (*singles, *batches)}
        for _ in range(size.rounds):
            for name, requests in (*singles.items(), *batches.items()):
                connections = CONNECTIONS if name in singles else 1
                windows[name].append(asyncio.run(load.run(target.port, requests, connections)))
    rate = {name: np.array([rate for rate, _ in kept]) for name, kept in windows.items()}
    users = size.batch * rate["batch"]
    tail = {
        name: 1000 * float(np.median([np.quantile(seconds, 0.99) for _, seconds in kept]))
        for name, kept in windows.items()
    }
    return {
        "http_per_s": float(np.median(rate["single"])),
        "http_p99_ms": tail["single"],
        "floor_per_s": float(np.median(rate["floor"])),
        "floor_p99_ms": tail["floor"],
        "http_vs_floor": float(np.median(rate["single"] / rate["floor"])),
        "batch_users_per_s": float(np.median(users)),
        "batch_vs_single": float(np.median(users / rate["single"])),
        "batch_vs_floor": float(np.median(rate["batch"] / rate["batch floor"])),
    }


def _singles(target: Target, number: int) -> dict[str, list[bytes]]:
    bodies = [msgspec.json.encode(request) for request in _requests(number)]
    paths = {"single": "/v1/decisions", "floor": "/floor"}
    return {
        name: [load.encoded(path, target.key, body) for body in bodies]
        for name, path in paths.items()
    }


def _batches(target: Target, size: Size) -> dict[str, list[bytes]]:
    requests = _requests(size.batches * size.batch)
    parts = [requests[at : at + size.batch] for at in range(0, len(requests), size.batch)]
    bodies = [msgspec.json.encode({"decisions": part}) for part in parts]
    paths = {"batch": "/v1/decisions/batch", "batch floor": "/floor/batch"}
    return {
        name: [load.encoded(path, target.key, body) for body in bodies]
        for name, path in paths.items()
    }


def _requests(number: int) -> list[dict[str, object]]:
    rng = np.random.default_rng(6)
    some = contexts(512, seed=7)
    users = rng.permutation(max(USERS, number))[:number]
    return [
        {"user_id": f"user-{user}", "context": some[at % len(some)]}
        for at, user in enumerate(users.tolist())
    ]


@contextmanager
def running_worker() -> Iterator[Target]:
    """The bundled server, a model that has learned, and one worker with floors."""
    key = new_key()
    with tempfile.TemporaryDirectory(prefix="fb-") as directory:
        server = start_server(Path(directory))
        environment = {
            **os.environ,
            "REDIS_URL": server.url,
            "FORBEAR_PSEUDONYM_KEY": PSEUDONYM_KEY,
            "FORBEAR_API_KEYS": key,
            "FORBEAR_DECIDE_TIMEOUT_MS": "20000",
            "FORBEAR_LOG_LEVEL": "WARNING",
        }
        listening = socket.create_server(("127.0.0.1", 0))
        try:
            asyncio.run(_prepared(server.url))
            worker = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.latency.floor", str(listening.fileno())],
                env=environment,
                pass_fds=[listening.fileno()],
            )
            try:
                target = Target(listening.getsockname()[1], key)
                _until_ready(lambda: _warm(target))
                yield target
            finally:
                worker.terminate()
                worker.wait(30)
        finally:
            listening.close()
            server.stop()


async def _prepared(url: str) -> None:
    """Put the catalog and a learned model where the worker finds them."""
    settings = load_settings()
    store = await RedisStore.open(
        url, half_life_s=settings.burden_half_life_s, tombstone_secret=PSEUDONYM_KEY.encode()
    )
    for message in catalog().messages.values():
        await put_message(store, message, Author("benchmark", 0.0))
    epoch = await store.acquire_lease("benchmark", 60.0)
    if epoch is None:
        raise RuntimeError("the new store already has a learner")
    await store.fix_cut(epoch, ("0-0",) * SHARDS)
    await store.commit_round(epoch, 1, to_bytes(learned().learner.state()), 0)
    await store.close()


def _warm(target: Target) -> None:
    requests = _singles(target, 200)
    for name in ("single", "floor"):
        asyncio.run(load.run(target.port, requests[name], CONNECTIONS))


def _until_ready(step: Callable[[], None]) -> None:
    for _ in range(200):
        try:
            return step()
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            wait(0.1)
    return step()
