"""One worker for each test that asks for it."""

from collections.abc import AsyncIterator

import pytest

from service import logs
from tests.unit.service.harness import Worker, settings, worker


@pytest.fixture
async def running() -> AsyncIterator[Worker]:
    """A worker under the real clock."""
    async with worker() as started:
        yield started


@pytest.fixture
async def simulated() -> AsyncIterator[Worker]:
    """A worker under the simulated clock."""
    async with worker(settings(simulated_clock=True)) as started:
        yield started


@pytest.fixture(autouse=True)
def _logs_as_in_production() -> None:
    logs.configure("INFO")
