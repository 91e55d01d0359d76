"""No sequence of grants, spends, refunds, lost messages and skewed clocks exceeds a budget."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.allowance import Allowance, Ledger

LIMIT, PERIOD = 4, 100.0
SHARDS = 2
shards = st.integers(0, SHARDS - 1)
skews = st.sampled_from([0.0, 0.0, 0.0, -30.0, -1.0, 0.5, 40.0])
steps = st.one_of(
    st.tuples(st.just("spend"), shards, st.integers(1, 2), skews),
    st.tuples(st.just("spend"), shards, st.integers(1, 2), skews),
    st.tuples(st.just("grant"), shards, st.integers(1, 3), skews),
    st.tuples(st.just("grant"), shards, st.integers(1, 3), skews),
    st.tuples(st.just("lost grant"), shards, st.integers(1, 3), skews),
    st.tuples(st.just("late report"), shards, st.just(0), skews),
    st.tuples(st.just("keep report"), shards, st.just(0), skews),
    st.tuples(st.just("call back"), shards, st.just(0), skews),
    st.tuples(st.just("refund"), shards, st.just(0), skews),
    st.tuples(st.just("pass"), shards, st.sampled_from([1, 10, 49, 50, 99, 100, 101]), skews),
)


@dataclass
class World:
    """Shards and ledger, and every send that stood, as (time, units)."""

    now: float = 1_000.0
    ledger: Ledger = field(default_factory=Ledger)
    held: dict[int, Allowance] = field(
        default_factory=lambda: {shard: Allowance() for shard in range(SHARDS)}
    )
    kept: list[tuple[int, Allowance]] = field(default_factory=list)
    sends: list[tuple[float, int, int]] = field(default_factory=list)

    def take(self, kind: str, shard: int, number: int, skew: float) -> None:
        mine, now = self.held[shard], self.now + skew
        if kind == "pass":
            self.now += number
        elif kind == "spend" and mine.covers(number, now):
            self.held[shard] = mine.after(number, now)
            self.sends.append((now, number, shard))
        elif kind == "refund":
            own = [send for send in self.sends if send[2] == shard]
            if own:
                at, units, _ = own[len(own) // 2]
                self.sends.remove((at, units, shard))
                self.held[shard] = mine.refund(units, at)
        elif kind == "keep report":
            self.kept.append((shard, mine))
        elif kind == "late report" and self.kept:
            self.ledger.report(*self.kept.pop(0), PERIOD)
        elif kind == "call back":
            self.held[shard] = mine.called_back()
        elif kind in {"grant", "lost grant"}:
            self.grant(shard, number, now, lost=kind == "lost grant")

    def grant(self, shard: int, number: int, now: float, *, lost: bool = False) -> None:
        self.ledger.report(shard, self.held[shard], PERIOD)
        told = self.ledger.grant(shard, number, LIMIT, PERIOD, now)
        self.ledger.forget(PERIOD, now)
        if not lost:
            self.held[shard] = self.held[shard].received(told, now)

    def most(self) -> int:
        """Units in the fullest window of one period."""
        return max(
            (
                sum(units for at, units, _ in self.sends if end - PERIOD < at <= end)
                for end, _, _ in self.sends
            ),
            default=0,
        )


@settings(max_examples=250, deadline=None)
@given(st.lists(steps, min_size=50, max_size=120))
def test_no_window_of_a_period_holds_more_than_the_budget(
    history: list[tuple[str, int, int, float]],
) -> None:
    world = World()
    for step in history:
        world.take(*step)
        assert world.most() <= LIMIT


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32))
def test_a_steady_demand_uses_nine_tenths_of_a_budget(gap: int, seed: int) -> None:
    """Demand above a budget of 10 a period uses at least 9 of 10; less demand is served in full.

    Every report is of one shard, when it is short; when the ledger has nothing, all are called.
    """
    world, period, limit, order = World(), 1_000.0, 10, seed
    for step in range(0, 5_000, gap):
        world.now = 1_000.0 + step
        order = (order * 1_103_515_245 + 12_345) % 2**31
        shard = (order >> 16) % SHARDS
        for call_back in (False, True):
            if world.held[shard].covers(1, world.now):
                break
            for other in range(SHARDS) if call_back else [shard]:
                if call_back:
                    world.held[other] = world.held[other].called_back()
                world.ledger.report(other, world.held[other], period)
            told = world.ledger.grant(shard, 1, limit, period, world.now)
            world.held[shard] = world.held[shard].received(told, world.now)
        if world.held[shard].covers(1, world.now):
            world.held[shard] = world.held[shard].after(1, world.now)
            world.sends.append((world.now, 1, shard))
    late = [at for at, _, _ in world.sends if at >= 3_000]
    assert len(late) >= 0.9 * min(limit, period / gap) * 3
