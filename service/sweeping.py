"""Closing windows that are due.

Under the real clock a background task does it every second. Under the simulated clock whatever
moves the time does it first, and asks here whether there is anything to do: a decision made since
the last sweep has its first deadline no sooner than the shortest wait, so most moves need no trip
to the store.
"""

from service.store.protocol import Store


class Sweeper:
    """Knows how long nothing can fall due."""

    def __init__(self, store: Store, shortest_wait_s: float) -> None:
        self._store = store
        self._shortest_wait_s = shortest_wait_s
        self._quiet_until = 0.0

    def needed(self, now: float) -> bool:
        """Whether something may be due by `now`."""
        return now >= self._quiet_until

    async def sweep(self, now: float) -> None:
        """Close every window due by `now`."""
        due = await self._store.sweep(now)
        while due is not None and due <= now:
            due = await self._store.sweep(now)
        soonest_new = now + self._shortest_wait_s
        self._quiet_until = soonest_new if due is None else min(due, soonest_new)
