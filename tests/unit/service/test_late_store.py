"""A store that is away when its process starts: waited for, and never used before it is open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import MagicMock

import httpx
import pytest

from engine.errors import BadInput, StoreError
from service import background, late_store
from service.app import create_app
from service.assembly import assemble
from service.late_store import LateStore
from service.store.protocol import Store
from tests.conformance.facts import change
from tests.unit.service.harness import new_store, settings

KEY = "fb_abc_" + "k" * 40


class Opening:
    """Opens a store of its own once it is `there`; before that it fails with each error in turn."""

    def __init__(self, *errors: Exception) -> None:
        self.store = new_store()
        self.there = asyncio.Event()
        self._errors = list(errors)

    async def __call__(self) -> Store:
        if self._errors:
            raise self._errors.pop(0)
        await self.there.wait()
        return self.store


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_store, "RETRY_S", 0.001)
    monkeypatch.setattr(background, "REFRESH_EVERY_S", 0.001)


async def test_it_fails_as_a_store_that_is_away_until_it_is_open() -> None:
    opening = Opening(StoreError("away"), StoreError("away"))
    async with late_store.late_store(opening) as store:
        with pytest.raises(StoreError, match="has not been reached"):
            await store.ping()
        opening.there.set()
        await asyncio.wait_for(_answers(store), 10.0)
        assert 0 == await store.current_version()


async def _answers(store: Store) -> None:
    while True:
        try:
            return await store.ping()
        except StoreError:
            await asyncio.sleep(0.001)


async def test_a_store_that_is_the_wrong_one_ends_the_start() -> None:
    with pytest.raises(BadInput, match="another secret"):
        async with late_store.late_store(Opening(BadInput("another secret"))):
            pass


async def test_each_reason_to_wait_is_told_once_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    said = MagicMock()
    monkeypatch.setattr("service.late_store.logger", lambda: said)
    away, wrong = StoreError("away"), BadInput("another secret")
    opening = Opening(away, away, away, wrong, wrong, away)
    opening.there.set()
    await asyncio.wait_for(LateStore(opening).wait(), 10.0)
    told = [call.kwargs["error"] for call in said.warning.call_args_list]
    assert ["away", "another secret", "away"] == told


@asynccontextmanager
async def serving(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(assemble(settings(api_keys=KEY), store))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://test",
            headers={"Authorization": f"Bearer {KEY}"},
        ) as client,
    ):
        yield client


async def test_a_worker_answers_before_its_store_is_there_and_decides_after() -> None:
    opening = Opening(StoreError("away"))
    await opening.store.configure(change({"message/sale": b"{}"}))
    async with late_store.late_store(opening) as store, serving(store) as client:
        assert ("fallback", None) == await ask(client)
        assert [200, 503] == [
            (await client.get(path)).status_code for path in ("/livez", "/readyz")
        ]
        opening.there.set()
        await asyncio.wait_for(_ready(client), 10.0)
        assert ("chosen", "sale") == await ask(client)


async def ask(client: httpx.AsyncClient) -> tuple[str, str | None]:
    answer = (await client.post("/v1/decisions", json={"user_id": "u1", "context": {}})).json()
    return answer["reason"], answer["action"]


async def _ready(client: httpx.AsyncClient) -> None:
    while True:
        if (await client.get("/readyz")).status_code == 200:
            return
        await asyncio.sleep(0.001)
