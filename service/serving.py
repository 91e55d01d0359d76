"""Running the parts: one API worker, one learner, or everything one machine needs.

`forbear serve` starts the bundled server (unless REDIS_URL names another), then the learner, then
the API workers, which share one listening socket, and ends them in the reverse order. A first start
with a store that cannot be used ends with a sentence; after that every part waits for a store that
is away, also one that was started anew.
"""

import asyncio
import contextlib
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import uvicorn
import uvloop
from pydantic import SecretStr

from engine.errors import BadInput
from service import learner, logs, supervisor
from service.app import create_app
from service.assembly import assemble, open_store, priors
from service.auth import configured_keys, ensure_first_key
from service.configuration.checking import check
from service.configuration.command import read_bytes
from service.late_store import late_store
from service.metrics import SHARED_DIRECTORY
from service.settings import Settings
from service.store.data_dir import is_prepared, kept_secret
from service.store.embedded import Server, start_server
from service.store.protocol import Store

BACKLOG = 2048
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""Products here are small and processes are many: a thread pool in each only gets in the way."""
SERVER, LEARNER, API = range(3)
"""Stages: started in this order, ended in the reverse one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Settings that name a store which answers."""

    settings: Settings
    server: Server | None
    """The bundled server, where this process started it or attached to it."""


@contextlib.contextmanager
def with_server(settings: Settings) -> Iterator[Place]:
    """The configured store, else the bundled server's, started here and ended with this block.

    The bundled server goes on when another process had started it.
    """
    if settings.redis_url is not None:
        yield Place(settings, None)
        return
    server = start_server(settings.data_dir)
    try:
        key = settings.pseudonym_key or SecretStr(kept_secret(settings.data_dir))
        complete = {"redis_url": SecretStr(server.url), "pseudonym_key": key}
        yield Place(settings.model_copy(update=complete), server)
    finally:
        server.stop()


def run_api(settings: Settings, fd: int | None) -> None:
    """One API worker until SIGTERM, on the listening socket `fd` or on one of its own."""
    logs.configure(settings.log_level)
    listening = socket.socket(fileno=fd) if fd is not None else listen(settings)
    with with_server(settings) as place:
        uvloop.run(_serve_api(place.settings, listening))


async def _serve_api(settings: Settings, listening: socket.socket) -> None:
    async with late_store(lambda: open_store(settings)) as store:
        config = uvicorn.Config(
            create_app(assemble(settings, store)),
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
        await uvicorn.Server(config).serve(sockets=[listening])


def run_learner(settings: Settings) -> None:
    """The learner until SIGTERM."""
    logs.configure(settings.log_level)
    with with_server(settings) as place:
        asyncio.run(_learn(place.settings))


async def _learn(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pace = learner.Pace(interval=settings.publish_interval_s)
    async with late_store(lambda: open_store(settings)) as store:
        await learner.run(store, priors(settings), pace, stop)


def use_store(settings: Settings, use: Callable[[Store], Awaitable[None]]) -> None:
    """Open the store, use it, close it; `BadInput` where it would have to be made first."""
    if settings.redis_url is None and not is_prepared(settings.data_dir):
        raise BadInput(
            f"{settings.data_dir.absolute()} is no data directory; expected the one that `forbear "
            "serve` makes at its first start: start it, go to the folder it was started in, or "
            "name its data directory in FORBEAR_DATA_DIR; nothing was done"
        )

    async def opened(settings: Settings) -> None:
        store = await open_store(settings)
        try:
            await use(store)
        finally:
            await store.close()

    with with_server(settings) as place:
        asyncio.run(opened(place.settings))


def run_all(settings: Settings) -> int:
    """Server, learner and API workers together; the exit code."""
    logs.configure(settings.log_level)
    # A mistake is told before anything is started.
    if settings.api_keys is not None:
        configured_keys(settings.api_keys.get_secret_value())
    if settings.config is not None:
        check(read_bytes(settings.config), settings.config.name)
    listening = listen(settings)
    with _shared_metrics(settings) as shared, with_server(settings) as place:
        _announce(place.settings, listening)
        told = shared | _address(place.settings) | ONE_THREAD
        return supervisor.run(_children(place, listening, told))


def _address(settings: Settings) -> dict[str, str]:
    """The store's address and secret, as the environment of a child."""
    told = {"REDIS_URL": settings.redis_url, "FORBEAR_PSEUDONYM_KEY": settings.pseudonym_key}
    return {name: secret.get_secret_value() for name, secret in told.items() if secret}


def _children(
    place: Place, listening: socket.socket, environment: dict[str, str]
) -> list[supervisor.Child]:
    forbear = [sys.executable, "-m", "service.cli"]
    learn = supervisor.command([*forbear, "learn"], env=environment)
    fd = listening.fileno()
    answer = supervisor.command([*forbear, "api", "--fd", str(fd)], pass_fds=[fd], env=environment)
    children = [supervisor.Child("learner", learn, LEARNER)]
    children += [
        supervisor.Child(f"api-{number}", answer, API) for number in range(place.settings.workers)
    ]
    if place.server is not None:
        again = supervisor.already_running(place.server, place.server.start_again)
        children.append(supervisor.Child("server", again, SERVER))
    return children


def listen(settings: Settings) -> socket.socket:
    """A listening socket at the configured address; `BadInput` where it cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG
        )
    except OSError as error:
        raise BadInput(
            f"FORBEAR_HOST {settings.host}, FORBEAR_PORT {settings.port} cannot be listened on "
            f"({error.strerror}): stop what holds the port, or choose another"
        ) from error
    listening.set_inheritable(True)
    return listening


@contextlib.contextmanager
def _shared_metrics(settings: Settings) -> Iterator[dict[str, str]]:
    """Where several workers add up their metrics; empty for one worker, who needs nothing."""
    if settings.workers == 1:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="forbear-metrics-") as directory:
        yield {SHARED_DIRECTORY: directory}


def _announce(settings: Settings, listening: socket.socket) -> None:
    """Say where the service is, and the first key, which is shown this once."""

    async def first_key() -> str | None:
        store = await open_store(settings)
        try:
            return None if settings.api_keys else await ensure_first_key(store)
        finally:
            await store.close()

    key = asyncio.run(first_key())
    host, port = listening.getsockname()[:2]
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    print(f"Forbear listens on http://{place} (documentation: /docs)", flush=True)
    if key is not None:
        print(f"API key with every scope, shown this once: {key}", flush=True)
