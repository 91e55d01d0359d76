"""What a worker does besides answering: take up new models, close windows, take back what was cut
off, trim the log, keep its keys fresh.

A step that fails is tried again at its next turn; the log says when trouble starts and when it
ends, not at every turn between.
"""

import asyncio
from collections.abc import Awaitable, Callable

from service import metrics
from service.logs import logger
from service.services import Services
from service.store.lessons import Checkpoint

REFRESH_EVERY_S = 0.5
SWEEP_EVERY_S = 1.0
TAKE_BACK_EVERY_S = 1.0
RATION_EVERY_S = 1.0
LOOK_ROUND_EVERY_S = 5.0
TRIM_EVERY_S = 60.0


def lag(added: int, checkpoint: Checkpoint | None) -> int:
    """Lessons stored but not yet learned."""
    return max(0, added - (checkpoint.applied if checkpoint else 0))


def start(held: Services) -> list[asyncio.Task[None]]:
    """Begin all that goes on in the background; the caller cancels it."""

    async def sweep() -> None:
        await held.sweeper.sweep(held.clock.now())

    async def take_back() -> None:
        await held.decider.disowned.take_back_all(held.clock.now())

    async def trim() -> None:
        await trim_log(held)

    async def look_round() -> None:
        await held.keys.refresh()
        added = await held.store.entries_added()
        metrics.lag(lag(added, await held.store.load_checkpoint()))

    async def ration() -> None:
        await held.rationing.refresh(held.clock.now())

    tasks = [
        asyncio.create_task(_repeat("refresh", REFRESH_EVERY_S, lambda: refresh(held))),
        asyncio.create_task(_repeat("look round", LOOK_ROUND_EVERY_S, look_round)),
        asyncio.create_task(_repeat("take back", TAKE_BACK_EVERY_S, take_back)),
    ]
    if not held.clock.simulated:  # there, whatever moves the clock sweeps first; the log has
        # times of its own, which are real
        tasks.append(asyncio.create_task(_repeat("sweep", SWEEP_EVERY_S, sweep)))
        tasks.append(asyncio.create_task(_repeat("ration", RATION_EVERY_S, ration)))
        tasks.append(asyncio.create_task(_repeat("trim", TRIM_EVERY_S, trim)))
    return tasks


async def trim_log(held: Services) -> None:
    """Forget what the decision log has held for long enough."""
    await held.store.trim_log(int(1000 * (held.clock.now() - held.settings.log_retention_s)))


async def refresh(held: Services) -> None:
    """Take up the newest configuration and snapshot, and say which they are."""
    if held.file is not None:
        await held.file.look()
    await held.live.refresh()
    snapshot = held.live.snapshot
    metrics.model(snapshot.version, snapshot.encoder.use)
    metrics.configuration(held.live.catalog.version, len(held.file.faults) if held.file else 0)


async def _repeat(name: str, every_s: float, step: Callable[[], Awaitable[None]]) -> None:
    troubled = False
    while True:
        try:
            await step()
        except Exception as error:  # noqa: BLE001 (nobody else would notice that it ended)
            if not troubled:
                logger().warning("background step fails", step=name, exc_info=error)
            troubled = True
        else:
            if troubled:
                logger().info("background step works again", step=name)
            troubled = False
        await asyncio.sleep(every_s)
