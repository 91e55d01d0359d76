"""What the acceptance tests share: a real service, its processes, and its store from outside."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from service.demo.local import LocalService
from service.store.redis import RedisStore

T = TypeVar("T")


def child_pid(service: LocalService, command: str) -> int:
    """The process id of the service's child that runs `command`."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    for line in listing.stdout.splitlines():
        pid, parent, arguments = line.split(None, 2)
        if int(parent) == service.process.pid and command in arguments:
            return int(pid)
    raise AssertionError(f"the service has no child that runs {command!r}")


def kill(service: LocalService, command: str) -> None:
    """End one of the service's children without warning."""
    os.kill(child_pid(service, command), signal.SIGKILL)


def forbear(service: LocalService, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command beside the service, on the same data directory."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *map(str, arguments)],
        env=os.environ | {"FORBEAR_DATA_DIR": str(service.data_dir), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def with_store(
    service: LocalService, half_life_s: float, use: Callable[[RedisStore], Awaitable[T]]
) -> T:
    """Look into the service's store, beside the service."""

    async def opened() -> T:
        store = await RedisStore.open(
            f"unix://{(service.data_dir / 'socket').read_text()}",
            half_life_s=half_life_s,
            tombstone_secret=(service.data_dir / "pseudonym_key").read_bytes(),
        )
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(opened())
