"""Both stores, each empty at the start of a test; Redis is a real server over a unix socket."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from service.store.embedded import start_server
from service.store.memory import MemoryStore
from service.store.protocol import Store
from service.store.redis import RedisStore
from tests.conformance.facts import HALF_LIFE_S, SECRET


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The bundled server for the session, in a directory with a short name."""
    folder = Path(tempfile.mkdtemp(prefix="fb"))
    server = start_server(folder)
    yield server.url
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
async def redis_store(redis_url: str) -> AsyncIterator[RedisStore]:
    """A store on an emptied server."""
    Redis.from_url(redis_url).flushall()
    store = await RedisStore.open(
        redis_url, half_life_s=HALF_LIFE_S, tombstone_secret=SECRET, read_timeout_s=20.0
    )
    yield store
    await store.close()


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Store:
    """One of the two stores; every claim of the suite is made for both."""
    if request.param == "redis":
        found: Store = request.getfixturevalue("redis_store")
        return found
    return MemoryStore(half_life_s=HALF_LIFE_S, tombstone_secret=SECRET)
