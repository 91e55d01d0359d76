"""Budgets at work: allowances fetched where a shard is short, prices brought up to date.

A question whose shard lacks units waits for one exchange with the ledger. When the ledger has
nothing left, idle units of all shards are called back, and then this worker asks no more for a
moment (`BINS`-th of the period: units come back no faster).

Where a limit was lowered, shards may hold more than the new one allows; the next round, a second
later, calls that back.

What decisions bid and spend is gathered here and joined every second with what other workers know,
so all of them set the same price: who was slower joins again. A worker that dies takes a second's
bids with it; what was spent is on the shards.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from engine.allowance import BINS
from engine.budget import Budget, Charge
from engine.decision import Decision
from engine.rationing import Rations
from engine.scarcity import Bid, Demand
from service.live import Live
from service.store.protocol import Settled, Store

LEAST_REST_S = 0.25
REPORT_AT_LEAST_S, REPORT_AT_MOST_S = 1.0, 10.0
TRIES = 5
_decode = msgspec.msgpack.Decoder(dict[str, Demand]).decode
_encode = msgspec.msgpack.Encoder().encode


class Lack(NamedTuple):
    """Units that questions to one shard lack of one budget."""

    most: int = 0
    """Of a single question."""
    sum: int = 0
    """Of all of them: a batch would else come back for one after the other."""

    def and_of(self, units: int) -> "Lack":
        """With one more question."""
        return Lack(max(self.most, units), self.sum + units)


class Note(msgspec.Struct, frozen=True):
    """A decision that asked for a budget."""

    bid: Bid | None
    price: float
    spent: int
    at: float


class Rationing:
    """One worker's part in sharing out budgets."""

    def __init__(self, store: Store, live: Live) -> None:
        self._store, self._live = store, live
        self._notes: dict[str, list[Note]] = defaultdict(list)
        self._rest_until: dict[str, float] = {}
        self._reported: dict[Budget, float] = {}
        self._settled: dict[str, Settled] = {}

    async def fetch(
        self, rations: Rations, lacking: Mapping[int, Mapping[str, Lack]], now: float
    ) -> bool:
        """Ask the ledger for what shards lack (shard -> budget -> units); whether it was asked."""
        needed: dict[str, dict[int, Lack]] = defaultdict(dict)
        for shard, lack_of in lacking.items():
            for name, lack in lack_of.items():
                limit = rations.budgets[name].limit
                if lack.most <= limit and now >= self._rest_until.get(name, 0.0):
                    needed[name][shard] = Lack(lack.most, min(lack.sum, limit))
        for name, by_shard in needed.items():
            await self._granted(rations.budgets[name], by_shard, now)
        return bool(needed)

    async def _granted(self, budget: Budget, lacks: Mapping[int, Lack], now: float) -> None:
        """Units for all questions of a shard; where there are not so many, for one of them."""
        needed = {shard: lack.sum for shard, lack in lacks.items()}
        settled = await self._store.settle(budget, now, needed)
        if settled.unmet:
            settled = await self._store.settle(budget, now, needed, recall=True)
        # Calling back tells of all shards, and one that nobody asks for here may be overdrawn.
        fewer = {shard: lacks[shard].most for shard in settled.unmet if shard in lacks}
        if any(units < needed[shard] for shard, units in fewer.items()):
            settled = await self._store.settle(budget, now, fewer)
        if any(shard in lacks for shard in settled.unmet):
            self._rest_until[budget.name] = now + max(LEAST_REST_S, budget.period / BINS)
        self._settled[budget.name] = settled

    def spent_up(self, rations: Rations) -> frozenset[str]:
        """Messages that lack budget wherever they are asked for, as far as this worker knows."""
        return rations.beyond({name: one.left for name, one in self._settled.items()})

    def note(self, rations: Rations, decision: Decision, charges: Sequence[Charge]) -> None:
        """A decision was committed."""
        spent = {charge.budget: charge.spent for charge in charges}
        bids = rations.bids(decision)
        for name in {**bids, **spent}:
            price = rations.prices.get(name, 0.0)
            one = Note(bids.get(name), price, spent.get(name, 0), decision.at)
            self._notes[name].append(one)

    async def refresh(self, now: float) -> None:
        """Report what is due, join what is known of demand, take up the prices."""
        model = self._live.model
        if model is None or not (model.rations.budgets or self._notes):
            return
        budgets = model.rations.budgets
        for name, budget in budgets.items():
            every = min(REPORT_AT_MOST_S, max(REPORT_AT_LEAST_S, budget.period / BINS))
            if not 0.0 <= now - self._reported.get(budget, -every) < every:
                self._settled[name] = await self._reports(budget, now)
                self._reported[budget] = now
                if self._settled[name].free > 0:
                    self._rest_until.pop(name, None)
        known = await self._joined(budgets, now)
        self._live.price(
            {
                name: known[name].price(budget.limit, self._settled[name].left, now)
                for name, budget in budgets.items()
            }
        )

    async def _reports(self, budget: Budget, now: float) -> Settled:
        """Report all shards; call back what they hold beyond a limit that was lowered."""
        settled = await self._store.settle(budget, now, {})
        if settled.free < min(0, settled.left):
            settled = await self._store.settle(budget, now, {}, recall=True)
        return settled

    def due(self, now: float) -> bool:
        """Whether a moving clock has made prices or reports old."""
        model = self._live.model
        if model is None:
            return False
        return any(
            now >= self._reported.get(budget, 0.0) + budget.period / BINS
            for budget in model.rations.budgets.values()
        )

    async def _joined(self, budgets: Mapping[str, Budget], now: float) -> dict[str, Demand]:
        """What all workers know, this one's news included."""
        news, self._notes = self._notes, defaultdict(list)
        try:
            for _ in range(TRIES):
                version, blob = await self._store.demand()
                known = _decode(blob) if blob else {}
                known = {
                    name: known.get(name) or Demand.of(budget.period, now)
                    for name, budget in budgets.items()
                }
                for name, notes in news.items():
                    if name in known:
                        _tell(known[name], notes)
                if not news or await self._store.swap_demand(version, _encode(known)):
                    return known
        except BaseException:
            self._keep(news)
            raise
        self._keep(news)
        return known

    def _keep(self, news: Mapping[str, list[Note]]) -> None:
        for name, notes in news.items():
            self._notes[name] = notes + self._notes[name]


def _tell(demand: Demand, notes: Sequence[Note]) -> None:
    for note in notes:
        demand.note(note.bid, note.price, note.at)
        if note.spent:
            demand.spend(note.spent, note.at)
