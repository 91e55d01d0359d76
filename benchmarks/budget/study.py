"""Who is compared in which world, one run at a time, in whatever process."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from benchmarks.learning.ledger import DAY, windows_of
from benchmarks.learning.ours import ForbearPolicy
from benchmarks.learning.pacing import Descent, Pacing, Priced
from benchmarks.learning.rationed import FirstCome
from benchmarks.learning.statistics import Interval, interval
from engine.patience import LearnedPatience
from engine.policy import Policy as EnginePolicy
from engine.worlds import budget, patience, spread_values
from engine.worlds.optimum import Optimal, solve
from engine.worlds.population import Population
from engine.worlds.simulation import simulate
from engine.worlds.world import Policy

BASE: Final = "first-come"
WORLDS: Final[Mapping[str, Callable[..., Population]]] = {
    "budget": patience.world,
    "budget, values differ": spread_values.world,
}
SHARE, STEP = 0.1, 0.02


def learner(world: Population, seed: int) -> ForbearPolicy:
    """As shipped."""
    policy = EnginePolicy(
        patience=LearnedPatience(),
        send_cost=world.send_cost,
        half_life=world.half_life * DAY,
    )
    return ForbearPolicy(world, seed, policy, windows=windows_of(world))


def first_come(world: Population, seed: int) -> Policy:
    """No price."""
    return FirstCome(world, learner(world, seed), seed)


def priced(world: Population, seed: int) -> Policy:
    """The engine's price."""
    return Priced(world, learner(world, seed), seed, Pacing(world.daily_sends or 0))


def descent(world: Population, seed: int) -> Policy:
    """A price that goes down the dual."""
    return Priced(world, learner(world, seed), seed, Descent(SHARE, STEP))


def known_first_come(world: Population, seed: int) -> Policy:
    """The optimum without a budget, served as they come."""
    free = replace(world, daily_sends=None)
    return FirstCome(world, Optimal(free, solve(free)), seed)


def known_ranked(world: Population, seed: int) -> Policy:  # noqa: ARG001 - as the others
    """The best users at the price of the bound."""
    return budget.Ranked(world, budget.bound(world).plan)


POLICIES: Final[Mapping[str, Callable[[Population, int], Policy]]] = {
    BASE: first_come,
    "priced": priced,
    "dual descent": descent,
    "truth, first-come": known_first_come,
    "truth, priced": known_ranked,
}


def run(world: str, policy: str, seed: int, size: tuple[int, int]) -> tuple[float, int]:
    """Expected value and sends."""
    drawn = WORLDS[world](seed, *size)
    drawn = replace(drawn, daily_sends=max(1, int(SHARE * drawn.n_users)))
    outcome = simulate(drawn, POLICIES[policy](drawn, seed), seed)
    return outcome.expected_value, outcome.sends


def ratios(values: Mapping[str, list[float]]) -> dict[str, Interval]:
    """Seed by seed, to first come first served of the same knowledge."""

    def ratio(name: str, base: str) -> Interval:
        pairs = zip(values[name], values[base], strict=True)
        return interval([ours / theirs for ours, theirs in pairs])

    return {
        "priced": ratio("priced", BASE),
        "dual descent": ratio("dual descent", BASE),
        "truth, priced": ratio("truth, priced", "truth, first-come"),
    }
