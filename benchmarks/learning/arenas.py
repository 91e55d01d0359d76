"""Where policies meet: every world of the atlas at a size that two slow cores can afford.

One seed draws the population and every chance event in it, so twenty seeds are twenty populations;
all policies of one seed meet the same one. The length stays 120 days: a price of patience is about
the future, and a shorter one is another problem. The number of users is what is cut. What a price
of patience is worth, and what it costs where there is nothing to price, is also asked at the
worlds' own size: it is learned from who leaves, and of 150 users hardly anybody does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from engine.worlds import budget
from engine.worlds.atlas import WORLDS
from engine.worlds.optimum import Optimal, solve
from engine.worlds.population import Population
from engine.worlds.world import Policy


@dataclass(frozen=True, slots=True)
class Arena:
    """A world at one size."""

    world: str
    users: int
    days: int = 120
    options: Mapping[str, float] = field(default_factory=dict)
    """Further arguments of the world's file."""
    mark: str = ""
    """What the table says of this size, where it is not the usual one."""
    cast: tuple[str, ...] = ()
    """Who takes part; empty: everybody."""

    def draw(self, seed: int) -> Population:
        """The population of this seed."""
        make: Callable[..., Population] = WORLDS[self.world]
        return make(seed, self.users, self.days, **self.options)


def quarter(world: str) -> Arena:
    """A quarter of the usual 600 users."""
    return Arena(world, 150)


OWN_SIZE: Final = "full size"
OWN_CAST: Final = ("never", "oracle-flat", "forbear-rho1", "forbear-rho1-unpriced")
TENTH: Final = "a tenth of the size, so that slow peers can take part"
SMALL_CAST: Final = (
    *("never", "oracle-flat", "flat-tuned", "threshold", "vw-squarecb", "mabwiser-lints"),
    *("mabwiser-linucb", "contextualbandits-bootstrapped-ts", "bayesianbandits-logistic-ts"),
    *("forbear-rho1", "forbear-rho0"),
)

ARENAS: Final[dict[str, Arena]] = {
    "patience": Arena("patience", 600, mark=OWN_SIZE),
    "patience_slow": Arena("patience", 150, options={"half_life": 8.0}, mark="half-life 8 days"),
    **{name: quarter(name) for name in WORLDS if name != "patience"},
    "rare_events": Arena("rare_events", 300, mark="300 of 3000 users"),
    "irregular": Arena("irregular", 75, mark="75 users, two decisions a day each"),
    "many_messages": Arena("many_messages", 60, mark="60 users"),
    "patience_slow_full": Arena(
        "patience", 600, options={"half_life": 8.0}, mark=f"{OWN_SIZE}, half-life 8", cast=OWN_CAST
    ),
    "no_fatigue_full": Arena("no_fatigue", 600, mark=OWN_SIZE, cast=OWN_CAST),
    "hidden_types_full": Arena("hidden_types", 600, mark=OWN_SIZE, cast=OWN_CAST),
    "patience_tenth": Arena("patience", 60, mark=TENTH, cast=SMALL_CAST),
    "momentary_tenth": Arena("momentary", 60, mark=TENTH, cast=SMALL_CAST),
}

FULL: Final[dict[str, Arena]] = {
    name: Arena(arena.world, 3000 if arena.world == "rare_events" else 600, options=arena.options)
    for name, arena in ARENAS.items()
    if not arena.cast
}
"""Learning takes data: with four times the users everybody gets a larger share of the optimum."""

QUICK: Final[dict[str, Arena]] = {
    "patience": Arena("patience", 80, 60),
    "no_fatigue": Arena("no_fatigue", 80, 60),
}


def optimum(world: Population) -> tuple[float, float, float, Policy]:
    """Exact value, unsubscribes and sends, and the policy; for a budget the bound, and near it."""
    if world.daily_sends is None:
        plan = solve(world)
        return plan.value, plan.unsubscribes, plan.sends, Optimal(world, plan)
    bound = budget.bound(world)
    ranked = budget.Ranked(world, bound.plan)
    return bound.value, bound.plan.unsubscribes, bound.plan.sends, ranked
