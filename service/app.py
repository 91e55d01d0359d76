"""The HTTP application: its routes, what surrounds them, and its life from start to stop.

`create_app` is given how to open its parts, so a test can pass a store in memory; a server process
calls `from_environment`. A worker that starts while the store is away serves all the same: it is
not ready, answers 503, and opens its parts as soon as the store is back.
"""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from engine.errors import ForbearError, StoreError
from service import background, draining, logs, openapi, problems
from service.assembly import Opening, open_services
from service.limits import Limits
from service.observing import Observing
from service.routes import decisions, docs, events, health, messages, model, users
from service.services import Services
from service.settings import Settings, load_settings

_SLOW_COLLECTION = (50_000, 20, 20)
"""Collector thresholds: with the defaults, pauses are most of the slowest percent of requests."""
_OPEN_WAIT_S = 2.0
_OPEN_AGAIN_S = 0.5


def create_app(settings: Settings, opening: Opening) -> FastAPI:
    """The application; `opening` is awaited when it starts, and it closes the store it got."""
    app = FastAPI(
        title="Forbear",
        summary="Which message now, or none?",
        version="1",
        lifespan=lambda app: _lifespan(app, settings, opening),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = None
    app.state.draining = False
    for routes in (decisions, events, messages, users, model, health, docs):
        app.include_router(routes.router)
    app.mount("/static", docs.files)
    app.add_middleware(
        Limits, max_body_bytes=settings.max_body_bytes, max_requests=settings.max_requests
    )
    app.add_middleware(Observing)
    problems.install(app)
    openapi.publish(app)
    return app


def from_environment() -> FastAPI:
    """The application as the settings in the environment describe it."""
    try:
        settings = load_settings()
    except ForbearError as error:
        raise SystemExit(f"forbear: {error}") from None
    logs.configure(settings.log_level)
    return create_app(settings, lambda: open_services(settings))


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: Settings, opening: Opening) -> AsyncIterator[None]:
    opened = asyncio.create_task(_open(app, opening))
    await asyncio.wait([opened], timeout=_OPEN_WAIT_S)
    if opened.done():
        opened.result()  # raises what no waiting can mend
    with draining.on_sigterm(app, settings.drain_s):
        yield
    app.state.draining = True
    await _close(app, opened)


async def _open(app: FastAPI, opening: Opening) -> list[asyncio.Task[None]]:
    """Open the parts, waiting for the store if need be; the tasks that run from then on."""
    held = await _when_reachable(opening)
    await _warm_up(app, held)
    app.state.services = held
    return background.start(held)


async def _when_reachable(opening: Opening) -> Services:
    told = False
    while True:
        try:
            return await opening()
        except StoreError as error:
            if not told:
                logs.logger().warning("waiting for the store", detail=str(error))
            told = True
            await asyncio.sleep(_OPEN_AGAIN_S)


async def _warm_up(app: FastAPI, held: Services) -> None:
    """Load all that every request needs, then keep the collector from ever walking it again."""
    app.openapi()
    await background.refresh(held)
    await held.keys.refresh()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_SLOW_COLLECTION)


async def _close(app: FastAPI, opened: asyncio.Task[list[asyncio.Task[None]]]) -> None:
    opened.cancel()
    (tasks,) = await asyncio.gather(opened, return_exceptions=True)
    if isinstance(tasks, list):
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if app.state.services is not None:
        await app.state.services.store.close()
