"""Budgets on Redis: a ledger under a tag of its own, an allowance in every shard's slot.

A step on the ledger and one on a shard cannot be one script, so reports and grants travel between
them; engine/allowance.py says why none may be lost or repeated to harm.
"""

from collections.abc import Mapping

import msgspec

from engine.allowance import Allowance
from engine.budget import Budget
from service.store.keys import (
    BUDGET_DEMAND,
    BUDGET_VERSION,
    TAGS,
    allowance_key,
    ledger_key,
)
from service.store.protocol import SHARDS, Settled
from service.store.redis_client import Argument, Part, call

_decode = msgspec.msgpack.Decoder(tuple[int, int, int, int, float, float, float]).decode


def allowance_from(packed: bytes) -> Allowance:
    """An allowance as it is stored."""
    return Allowance(*_decode(packed))


class Budgets(Part):
    """`settle`, `demand` and `swap_demand` of the store."""

    async def settle(
        self, budget: Budget, now: float, needed: Mapping[int, int], *, recall: bool = False
    ) -> Settled:
        """Three round trips: what the shards hold, the ledger, and its news to the shards."""
        told = await self._told(budget, sorted(needed) if needed else range(SHARDS), recall)
        arguments: list[Argument] = []
        for shard, packed in told.items():
            if packed is not None or shard in needed:
                arguments += (shard, packed or b"", needed.get(shard, 0))
        free, left, unmet, news = await self._client.one(
            *call(
                "budget_settle",
                ledger_key(budget.name),
                budget.limit,
                budget.period,
                now,
                *arguments,
            )
        )
        await self._client.run(
            [
                call("budget_receive", TAGS[shard], budget.name, known, now)
                for shard, known in zip(news[::2], news[1::2], strict=True)
            ]
        )
        return Settled(int(free), int(left), tuple(unmet))

    async def demand(self) -> tuple[int, bytes]:
        """Version and blob, as of one moment."""
        _, _, _, (version, blob) = await self._client.run(
            [("MULTI",), ("GET", BUDGET_VERSION), ("GET", BUDGET_DEMAND), ("EXEC",)]
        )
        return int(version or 0), blob or b""

    async def swap_demand(self, version: int, blob: bytes) -> bool:
        """Replace it and raise the version; False if another worker was quicker."""
        command = call("swap_demand", BUDGET_VERSION, BUDGET_DEMAND, version, blob)
        return bool(await self._client.one(*command))

    async def _told(
        self, budget: Budget, shards: range | list[int], recall: bool
    ) -> dict[int, bytes | None]:
        """What shards hold; with `recall` all of them, after giving back what is left."""
        asked = range(SHARDS) if recall else shards
        if recall:
            commands = [call("budget_recall", TAGS[shard], budget.name) for shard in asked]
        else:
            commands = [("GET", allowance_key(shard, budget.name)) for shard in asked]
        return dict(zip(asked, await self._client.run(commands), strict=True))
