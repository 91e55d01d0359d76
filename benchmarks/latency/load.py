"""A closed-loop load: a few connections that each send the next request when answered.

Requests are encoded beforehand and answers are read, not decoded, so the generator takes as little
of the two shared cores as it can. Limit: a closed loop slows down with the server, so its tail is
milder than that of independent senders.
"""

import asyncio
from collections.abc import Sequence

import numpy as np

from engine.decision import Floats
from service.clock import stopwatch


def encoded(path: str, key: str, body: bytes) -> bytes:
    """A whole HTTP request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(port: int, requests: Sequence[bytes], connections: int) -> tuple[float, Floats]:
    """Send every request; requests per second, and each one's seconds."""
    waiting = iter(requests)
    seconds: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in waiting:
            start = stopwatch()
            writer.write(request)
            await _answered(reader)
            seconds.append(stopwatch() - start)
        writer.close()
        await writer.wait_closed()

    start = stopwatch()
    await asyncio.gather(*(one() for _ in range(connections)))
    return len(requests) / (stopwatch() - start), np.array(seconds)


async def _answered(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the service answered {head[:200]!r}")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
