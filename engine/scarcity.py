"""What a slot of a budget is worth: a price at which it lasts, instead of first come, first served.

A budget ties users together: a slot spent now is missing for a better message or user later. Its
dual price lambda, charged to every send that takes a slot, leaves each decision to itself again
(bandits with knapsacks: Agrawal and Devanur, 2016; Balseiro, Lu and Mirrokni, 2020; Castiglioni et
al., 2022). Instead of descending on the dual step by step, the price is read off what is known of
demand: the distribution of bids (what a slot would have been worth to each of the recent
decisions), how many decisions are still to come before slots come back, and what is left:

    lambda = least price with  kappa D(lambda) <= min over h of (left + returning(h)) / asking(h)

D is the number of slots taken per decision if all who bid more than lambda were served, `asking`
the decisions usual in the next h slices at this time of the period, `returning` the slots whose
spending leaves the rolling period by then, kappa the ratio of what was expected to be spent (the
law explores) to what D says. So a price follows a burst within a refresh, a decision far from any
shortage pays nothing, and errors correct themselves: what is spent too early raises the price of
the rest. Assumption: a slice is like the same slice of earlier periods, bids are like those of the
last few. Limit: in the first period nothing is known of what is still to come.
"""

import math
from typing import Final

import msgspec

SLICES: Final = 48
"""Of a period: half hours of a day."""
MEMORY: Final = 3.0
"""Periods after which a bid counts a third (1 / e) of a new one."""
NEWS: Final = 0.5
"""Weight of the last period in what is usual for a slice."""
GROWTH: Final = math.log(1.01)
"""Width of a class of bids: 1%."""
LEAST_BID: Final = 1e-9
ROUNDING: Final = 1e-9
MOST_KAPPA: Final = 50.0
"""However little is known, exploring spends no more than so many times what bids explain."""


class Bid(msgspec.Struct, frozen=True, array_like=True):
    """What one decision would have given for a budget."""

    worth: float
    """Of one unit, beyond the best that can be done without the budget; 0 or less: nothing."""
    units: float
    """How many the best message takes."""
    expected: float
    """Units that the decision's law spends on average at the price in force."""


class Demand(msgspec.Struct):
    """What is known of those who ask for one budget; `now` is in seconds and never goes back."""

    period: float
    slice: int = 0
    """Number of the current one since the epoch."""
    asked: float = 0.0
    """Decisions in the current slice."""
    spent: float = 0.0
    """Units spent in the current slice."""
    usual: list[float | None] = []
    """Decisions by slice of the period; None where none has passed yet."""
    returning: list[float] = []
    """Units spent when each slice of the period last passed."""
    bids: dict[int, float] = {}
    """Units by class of bid, older ones fading."""
    known: float = 0.0
    """Decisions those bids come from, fading alike; some bid nothing."""
    expected: float = 0.0
    """Units spent on average by those decisions' laws, fading alike."""
    served: float = 0.0
    """Units they would have taken, had all who bid more than the price been served."""

    @classmethod
    def of(cls, period: float, now: float) -> "Demand":
        """Nothing known yet."""
        start = cls(period, usual=[None] * SLICES, returning=[0.0] * SLICES)
        start.slice = start._slice_of(now)
        return start

    def note(self, bid: Bid | None, price: float, now: float) -> None:
        """One more decision at this price; None where the budget was used up, so nobody bid."""
        self.pass_to(now)
        self.asked += 1.0
        if bid is None:
            return
        self.known += 1.0
        self.expected += bid.expected
        if bid.worth > price:
            self.served += bid.units
        if bid.worth > LEAST_BID:
            group = math.floor(math.log(bid.worth) / GROWTH)
            self.bids[group] = self.bids.get(group, 0.0) + bid.units

    def spend(self, units: float, now: float) -> None:
        """A send was committed."""
        self.pass_to(now)
        self.spent += units

    def pass_to(self, now: float) -> None:
        """Close the slices that have ended."""
        steps = self._slice_of(now) - self.slice
        if steps <= 0:
            return
        self._close(self.slice, self.asked, self.spent)
        for passed in range(self.slice + 1, self.slice + min(steps, SLICES)):
            self._close(passed, 0.0, 0.0)
        self.slice += steps
        self.asked = self.spent = 0.0
        kept = math.exp(-steps / (MEMORY * SLICES))
        self.bids = {group: units * kept for group, units in self.bids.items()}
        self.known *= kept
        self.expected *= kept
        self.served *= kept

    def price(self, limit: float, left: float, now: float) -> float:
        """Of one unit, when `left` of the `limit` for a period may be spent at once."""
        self.pass_to(now)
        return self._at_rate(self._rate(limit, left))

    def _rate(self, limit: float, left: float) -> float:
        """Units that each decision may take on average, so that no stretch ahead runs short."""
        known = [count for count in self.usual if count is not None]
        if not known:
            return math.inf
        mean = sum(known) / len(known)
        place = self.slice % SLICES
        usual = self.usual[place]
        asking = max(0.0, (mean if usual is None else usual) - self.asked)
        units = left + self._returning_soon(limit - left)
        rate = units / asking if asking else math.inf
        for ahead in range(1, SLICES):
            place = (self.slice + ahead) % SLICES
            usual = self.usual[place]
            asking += mean if usual is None else usual
            units += self.returning[place]
            if asking:
                rate = min(rate, units / asking)
        return rate

    def _returning_soon(self, held: float) -> float:
        """Units spent one period ago that come back within the current slice."""
        place = self.slice % SLICES
        later = sum(self.returning) - self.returning[place]
        return min(self.returning[place], max(0.0, held - self.spent - later))

    def _at_rate(self, rate: float) -> float:
        """The least price at which a decision takes no more than `rate` units on average."""
        kappa = min(MOST_KAPPA, max(1 / MOST_KAPPA, (self.expected + 1) / (self.served + 1)))
        units = rate * self.known / kappa
        for group in sorted(self.bids, reverse=True):
            units -= self.bids[group]
            if units < -ROUNDING * self.known:
                return math.exp(group * GROWTH)  # its lower end: equal bids are all served or none
        return 0.0

    def _close(self, number: int, asked: float, spent: float) -> None:
        place = number % SLICES
        before = self.usual[place]
        self.usual[place] = asked if before is None else before + NEWS * (asked - before)
        self.returning[place] = spent

    def _slice_of(self, now: float) -> int:
        return math.floor(now * SLICES / self.period)
