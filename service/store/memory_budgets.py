"""Budgets of the store in memory: the engine's own counters and ledger."""

from collections import defaultdict
from collections.abc import Mapping

from engine.allowance import Allowance, Ledger
from engine.budget import Budget
from service.store.memory_state import Shard
from service.store.protocol import SHARDS, Commit, Settled


class MemoryBudgets:
    """`settle`, `demand` and `swap_demand` of the store."""

    def __init__(self, shards: list[Shard]) -> None:
        self._budget_shards = shards
        self._ledgers: dict[str, Ledger] = defaultdict(Ledger)
        self._demand = (0, b"")

    async def settle(
        self, budget: Budget, now: float, needed: Mapping[int, int], *, recall: bool = False
    ) -> Settled:
        """Report shards to a budget's ledger, and grant each so many units, or nothing."""
        ledger = self._ledgers[budget.name]
        asked = sorted(needed) if needed and not recall else range(SHARDS)
        told: dict[int, Allowance] = {}
        for shard in asked:
            held = self._budget_shards[shard].allowances.get(budget.name)
            if held is None and shard not in needed:
                continue
            told[shard] = held or Allowance()
            if recall:
                told[shard] = told[shard].called_back()
            ledger.report(shard, told[shard], budget.period)
        ledger.forget(budget.period, now)
        unmet = []
        for shard, reported in told.items():
            units = needed.get(shard, 0)
            known = ledger.grant(shard, units, budget.limit, budget.period, now)
            allowances = self._budget_shards[shard].allowances
            allowances[budget.name] = reported.received(known, now)
            if units > known.left:
                unmet.append(shard)
        return Settled(
            ledger.free(budget.limit, budget.period, now),
            budget.limit - ledger.spent(budget.period, now),
            tuple(unmet),
        )

    async def demand(self) -> tuple[int, bytes]:
        """What workers know together of the demand for budgets, and its version."""
        return self._demand

    async def swap_demand(self, version: int, blob: bytes) -> bool:
        """Replace it and raise the version; False if another worker was quicker."""
        if self._demand[0] != version:
            return False
        self._demand = (version + 1, blob)
        return True


def covered(held: Mapping[str, Allowance], commit: Commit) -> bool:
    """Whether all units the decision was judged on are on the shard."""
    return all(
        not charge.needed or held.get(charge.budget, Allowance()).covers(charge.needed, commit.now)
        for charge in commit.charges
    )


def spend(held: dict[str, Allowance], commit: Commit) -> None:
    """Take what the action costs."""
    for charge in commit.charges:
        if charge.spent:
            before = held.get(charge.budget, Allowance())
            held[charge.budget] = before.after(charge.spent, commit.now)
