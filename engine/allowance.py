"""Budgets over many shards that are never exceeded in sum: one ledger, an allowance per shard.

A send is committed on its user's shard and can look nowhere else, so a shard gets units in advance.
Its allowance is four counters that only rise: granted, spent, returned, refunded; what is left is
granted - spent - returned. The ledger knows what it granted to each shard and what each last
reported, and grants only while

    held = sum over shards of what is left there by its last report
         + what was reported as spent within the period before this grant

stays within the limit. So no window of a period holds more: of the grants that its sends came from,
take the last one, made at g. A shard refuses sends dated before its last grant, so the window ends
after g, and whatever it holds was at g either left on a shard or spent after g - period: both were
counted. Reports are of counters, so they may be lost, repeated or overtaken, and any number of
workers may report and grant at once; a grant lost on its way is delivered with the next.

A report says when a shard last spent, and all it spent since the report before counts from then;
spending is kept in `BINS` bins of a period. Both only make a unit come back later, never sooner. A
refund (a send that did not happen) is taken off the earliest spending it could have been. A shard
may be overdrawn: transactional sends are spent without being asked about. That is the one way past
a limit; the overdraft counts as spent, and is filled before the shard may spend again.

Limit: units granted to a shard where nobody asks are idle until they are called back; small grants
(a `SHARE`-th of what is left) and calling back keep that small.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Final

BINS: Final = 1_440
"""Minutes of a day."""
SHARE: Final = 256
"""A grant is this part of what is left: four for every shard."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """One shard's counters of one budget, in units."""

    granted: int = 0
    spent: int = 0
    returned: int = 0
    refunded: int = 0
    since: float = 0.0
    """Time of the last grant; a send of an earlier time is refused."""
    last: float = 0.0
    """Time of the latest send."""
    earliest: float = 0.0
    """A time before every send that was refunded and is not yet known to the ledger; 0: none."""

    @property
    def left(self) -> int:
        """Units to spend; negative when overdrawn."""
        return self.granted - self.spent - self.returned

    def covers(self, units: int, now: float) -> bool:
        """Whether so many units may be spent at this time."""
        return self.left >= units and now >= self.since

    def after(self, units: int, now: float) -> "Allowance":
        """Spent."""
        return replace(self, spent=self.spent + units, last=max(self.last, now))

    def refund(self, units: int, at: float) -> "Allowance":
        """A send made at `at` did not happen; the ledger gives its units out anew."""
        earliest = min(self.earliest, at) if self.earliest else at
        return replace(self, refunded=self.refunded + units, earliest=earliest)

    def called_back(self) -> "Allowance":
        """What is left is given back."""
        return replace(self, returned=self.returned + max(0, self.left))

    def received(self, known: "Allowance", now: float) -> "Allowance":
        """The ledger's answer to a report: its grants, and what it knows of the rest."""
        more = known.granted > self.granted
        return Allowance(
            granted=max(self.granted, known.granted),
            spent=max(self.spent, known.spent),
            returned=max(self.returned, known.returned),
            refunded=max(self.refunded, known.refunded),
            since=max(self.since, now) if more else self.since,
            last=self.last,
            earliest=0.0 if known.refunded >= self.refunded else self.earliest,
        )


@dataclass(slots=True)
class Ledger:
    """What the centre knows of one budget."""

    shards: dict[int, Allowance] = field(default_factory=dict)
    """As last reported, with what was granted since."""
    bins: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Bin of time -> units spent, and the latest time among them."""

    def report(self, shard: int, told: Allowance, period: float) -> None:
        """Take over a shard's counters; an old report changes nothing."""
        known = self.shards.get(shard, Allowance())
        if told.spent > known.spent:
            self._spend(told.spent - known.spent, told.last, period)
        if told.refunded > known.refunded:
            self._refund(told.refunded - known.refunded, told.earliest)
        self.shards[shard] = Allowance(
            granted=max(known.granted, told.granted),
            spent=max(known.spent, told.spent),
            returned=max(known.returned, told.returned),
            refunded=max(known.refunded, told.refunded),
        )

    def grant(self, shard: int, needed: int, limit: int, period: float, now: float) -> Allowance:
        """Let a shard have at least `needed` units, or nothing; what it shall be told."""
        known = self.shards[shard]
        missing = needed - known.left
        free = self.free(limit, period, now) + max(0, known.left)
        if missing > 0 and free >= needed:
            units = max(needed, free // SHARE)
            known = replace(known, granted=known.granted + units - known.left)
            self.shards[shard] = known
        return known

    def free(self, limit: int, period: float, now: float) -> int:
        """Units that may still be granted at this time."""
        on_shards = sum(max(0, one.left) for one in self.shards.values())
        return limit - on_shards - self.spent(period, now)

    def spent(self, period: float, now: float) -> int:
        """Units spent within a period before this time, as far as reported."""
        return sum(units for units, last in self.bins.values() if last > now - period)

    def forget(self, period: float, now: float) -> None:
        """Drop what no clock of any worker could still count: two periods old."""
        self.bins = {k: (n, last) for k, (n, last) in self.bins.items() if last > now - 2 * period}

    def _spend(self, units: int, last: float, period: float) -> None:
        place = math.floor(last * BINS / period)
        before, latest = self.bins.get(place, (0, 0.0))
        self.bins[place] = before + units, max(latest, last)

    def _refund(self, units: int, earliest: float) -> None:
        for place, (before, last) in sorted(self.bins.items(), key=lambda one: one[1][1]):
            if last >= earliest and units > 0:
                self.bins[place] = max(0, before - units), last
                units -= before
