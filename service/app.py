"""The HTTP application: its routes, what surrounds them, and its life from start to stop.

`create_app` is given its parts, so a test can pass a store in memory. A worker that starts while
its store is away serves all the same: it is not ready, decisions are the fallback, and it takes up
the model as soon as the store is back.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from engine.errors import StoreError
from service import background, draining, openapi, problems
from service.limits import Limits
from service.logs import logger
from service.observing import Observing
from service.routes import (
    configuration,
    decisions,
    docs,
    events,
    health,
    messages,
    model,
    pause,
    users,
)
from service.services import Services

LAST_TAKING_BACK_S = 5.0
_SLOW_COLLECTION = (50_000, 20, 20)
"""Collector thresholds: with the defaults, pauses are most of the slowest percent of requests."""


def create_app(held: Services) -> FastAPI:
    """The application around the given parts; it closes their store when it stops."""
    app = FastAPI(
        title="Forbear",
        summary="Which message now, or none?",
        version="1",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = held
    for routes in (decisions, events, messages, configuration, pause, users, model, health, docs):
        app.include_router(routes.router)
    app.mount("/static", docs.files)
    app.add_middleware(
        Limits,
        max_body_bytes=held.settings.max_body_bytes,
        max_requests=held.settings.max_requests,
    )
    app.add_middleware(Observing)
    problems.install(app)
    openapi.publish(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    held: Services = app.state.services
    await _warm_up(app, held)
    tasks = background.start(held)
    with draining.on_sigterm(held):
        yield
    held.draining = True
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await _take_back(held)
    await held.store.close()


async def _take_back(held: Services) -> None:
    """What was cut off, while there is still somebody who knows it."""
    disowned = held.decider.disowned
    with contextlib.suppress(StoreError, TimeoutError):
        async with asyncio.timeout(LAST_TAKING_BACK_S):
            await disowned.take_back_all(held.clock.now())
    if disowned:
        logger().error("stopping with cut-off decisions not taken back", decisions=len(disowned))


async def _warm_up(app: FastAPI, held: Services) -> None:
    """Load all that every request needs, then keep the collector from ever walking it again."""
    app.openapi()
    try:
        if held.file is not None:
            await held.file.take_up()
        await background.refresh(held)
        await held.keys.refresh()
    except StoreError as error:
        logger().warning("starting without the store", detail=str(error))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_SLOW_COLLECTION)
