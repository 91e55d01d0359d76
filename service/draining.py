"""Stopping without dropping anyone: first say "not ready", then stop.

On SIGTERM the server stops listening at once. Behind a load balancer that is too soon: it must
first see /readyz fail. With `FORBEAR_DRAIN_S` the signal is passed on to the server only after
that time; without, the server's own handling stays untouched. Ctrl-C never waits.
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from service.services import Services


@contextmanager
def on_sigterm(held: Services) -> Iterator[None]:
    """While inside, SIGTERM first drains. Needs the main thread, as signals do."""
    drain_s = held.settings.drain_s
    if not drain_s:
        yield
        return
    loop = asyncio.get_running_loop()
    stop = signal.getsignal(signal.SIGTERM)

    def drain(number: int, frame: FrameType | None) -> None:
        held.draining = True
        if callable(stop):
            loop.call_soon_threadsafe(loop.call_later, drain_s, stop, number, frame)

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)
