"""A whole API worker in this process: real deciding, a store in memory that can be switched off."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI

from engine.errors import StoreError
from service.app import create_app
from service.assembly import assemble
from service.auth import Scope, create_key
from service.clock import SystemClock
from service.services import Services
from service.settings import Settings
from service.store.memory import MemoryStore
from service.store.protocol import Store

_METHODS = {name for name in vars(Store) if not name.startswith("_")} - {"close"}


class SwitchableStore(MemoryStore):
    """The store in memory, and a way to make it unreachable."""

    away = False

    def __getattribute__(self, name: str) -> Any:
        if name in _METHODS and object.__getattribute__(self, "away"):
            raise StoreError("switched off by the test")
        return object.__getattribute__(self, name)


class SetClock(SystemClock):
    """A real clock whose time the test sets."""

    def __init__(self, start: float) -> None:
        self.time = start

    def now(self) -> float:
        return self.time

    def arrival(self, at: float | None) -> float:  # noqa: ARG002 (as the real one)
        return self.time


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker, as a test sees it."""

    app: FastAPI
    held: Services
    store: SwitchableStore
    client: httpx.AsyncClient
    """Has a key with every scope."""

    async def decide(self, user_id: str = "u1", **given: Any) -> httpx.Response:
        body = {"user_id": user_id, "context": {}} | given
        return await self.client.post("/v1/decisions", json=body)

    async def report(self, *events: Any) -> list[dict[str, Any]]:
        response = await self.client.post("/v1/events", json={"events": events})
        assert 202 == response.status_code, response.text
        results: list[dict[str, Any]] = response.json()["results"]
        return results

    async def key(self, *scopes: Scope) -> dict[str, str]:
        """Headers with a new key of these scopes."""
        key = await create_key(self.store, scopes)
        await self.held.keys.refresh()
        return {"Authorization": f"Bearer {key}"}


def settings(**given: Any) -> Settings:
    """Settings of a test: a certain send unless something forbids it."""
    free: dict[str, Any] = {"patience": "constant", "unsubscribe_cost": 0.0, "send_cost": 0.0}
    return Settings(**(free | given))


def new_store() -> SwitchableStore:
    return SwitchableStore(half_life_s=4 * 86400.0, tombstone_secret=b"test")


@asynccontextmanager
async def worker(
    chosen: Settings | None = None, store: SwitchableStore | None = None
) -> AsyncIterator[Worker]:
    """A started worker with the message `sale` in its catalog."""
    store = store or new_store()
    held = assemble(chosen or settings(), store, np.random.default_rng(1))
    app = create_app(held)
    key = await create_key(store, Scope)
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client,
    ):
        put = await client.put("/v1/messages/sale", json={"attributes": {"category": "offer"}})
        assert 201 == put.status_code, put.text
        yield Worker(app, held, store, client)
