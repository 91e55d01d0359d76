"""What each world is worth to policies that know the truth: the frame in which learners are judged.

    python -m benchmarks.worlds [--quick] [--json] [--world NAME ...]

Values are the mean over seeds of `Outcome.expected_value`, the sum of v x p_click less send costs
at every send that was made: the mean of the true value with less noise; +- is one standard error.
The cap (one send per so many days) and the flat costs (what an unsubscribe and a send are taken to
cost, the same for all users or scaled by their values) are tuned over grids on seeds of their own.
The optimum is exact, by dynamic programming; for the budget world it is an upper bound, and its
policy is the one that ranks by advantage.
"""

import argparse
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from engine.worlds import budget
from engine.worlds.atlas import WORLDS
from engine.worlds.optimum import Optimal, solve
from engine.worlds.policies import AlwaysBest, FrequencyCap, Greedy, Never, Random, Rationed
from engine.worlds.population import Population
from engine.worlds.simulation import simulate
from engine.worlds.world import Policy

CAPS = (0.2, 0.5, 1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 30)
"""Days between two sends to one user."""
LEAVE_COSTS = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
FLAT_COSTS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)
TUNING_SEEDS = (101, 102)
SEEDS, QUICK_SEEDS = range(10), range(3)
QUICK_SIZE = {"users": 120, "days": 60}

Setting: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One policy in one world: means over seeds."""

    value: float
    error: float
    unsubscribes: float
    sends: float
    share_of_optimum: float
    setting: Setting


def main() -> None:
    """Print the table; with --json, one object at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worlds", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small populations, three seeds")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--world", action="append", choices=list(WORLDS), help="only this world")
    asked = parser.parse_args()
    table = {}
    for name in asked.world or WORLDS:
        world = WORLDS[name](0, **(QUICK_SIZE if asked.quick else {}))
        table[name] = rows(world, QUICK_SEEDS if asked.quick else SEEDS)
        show(name, table[name])
    if asked.json:
        cells = {w: {p: vars_of(cell) for p, cell in row.items()} for w, row in table.items()}
        print(json.dumps({"worlds": cells}))


def rows(world: Population, seeds: Iterable[int]) -> dict[str, Cell]:
    """All policies in one world."""
    exact, best = optimum(world)

    def judged(make: Callable[[], Policy], setting: Setting = ()) -> Cell:
        return cell(world, make, seeds, exact, setting)

    days = tuned(world, lambda setting: FrequencyCap(world, 1, *setting), [(d,) for d in CAPS])
    grid = list(itertools.product(LEAVE_COSTS, FLAT_COSTS))
    same = tuned(world, lambda setting: flat(world, setting, scaled=False), grid)
    scaled = tuned(world, lambda setting: flat(world, setting, scaled=True), grid)
    return {
        "never": judged(Never),
        "random": judged(lambda: Rationed(Random(0), world)),
        "always-best": judged(lambda: Rationed(AlwaysBest(world), world)),
        "best-cap": judged(lambda: FrequencyCap(world, 1, *days), days),
        "best-flat": judged(lambda: flat(world, same, scaled=False), same),
        "best-flat-scaled": judged(lambda: flat(world, scaled, scaled=True), scaled),
        "optimum": judged(lambda: best),
        "optimum-exact": Cell(exact[0], 0.0, exact[1], exact[2], 1.0, ()),
    }


def flat(world: Population, setting: Setting, scaled: bool) -> Policy:
    """Greedy with fixed prices (leave, flat), within the budget where there is one."""
    return Rationed(Greedy(world, setting[0], setting[1], scaled), world)


def optimum(world: Population) -> tuple[tuple[float, float, float], Policy]:
    """Exact value, unsubscribes and sends, and the policy; for a budget the bound."""
    if world.daily_sends is None:
        plan = solve(world)
        return (plan.value, plan.unsubscribes, plan.sends), Optimal(world, plan)
    bound = budget.bound(world)
    return (
        (bound.value, bound.plan.unsubscribes, bound.plan.sends),
        budget.Ranked(world, bound.plan),
    )


def tuned(
    world: Population,
    make: Callable[[Setting], Policy],
    settings: Sequence[Setting],
) -> Setting:
    """The setting with the largest mean value on the tuning seeds."""

    def worth(setting: Setting) -> float:
        runs = [simulate(world, make(setting), seed) for seed in TUNING_SEEDS]
        return float(np.mean([run.expected_value for run in runs]))

    return max(settings, key=worth)


def cell(
    world: Population,
    make: Callable[[], Policy],
    seeds: Iterable[int],
    exact: tuple[float, float, float],
    setting: Setting,
) -> Cell:
    """Means over seeds of one policy, made afresh for each."""
    runs = [simulate(world, make(), seed) for seed in seeds]
    values = np.array([run.expected_value for run in runs])
    return Cell(
        value=float(values.mean()),
        error=float(values.std(ddof=1) / np.sqrt(len(values))),
        unsubscribes=float(np.mean([run.unsubscribes for run in runs])),
        sends=float(np.mean([run.sends for run in runs])),
        share_of_optimum=float(values.mean() / exact[0]),
        setting=setting,
    )


def show(name: str, row: dict[str, Cell]) -> None:
    """One world's part of the table."""
    print(f"\n{name:16s}      value    +-   share  unsubscribes     sends  setting")
    for policy, c in row.items():
        setting = ", ".join(f"{number:g}" for number in c.setting)
        print(
            f"  {policy:16s} {c.value:8.1f} {c.error:5.1f}  {c.share_of_optimum:6.3f}"
            f"  {c.unsubscribes:12.1f}  {c.sends:8.0f}  {setting}",
            flush=True,
        )


def vars_of(c: Cell) -> dict[str, float | list[float]]:
    """A cell for JSON."""
    return {
        "value": round(c.value, 2),
        "error": round(c.error, 2),
        "unsubscribes": round(c.unsubscribes, 2),
        "sends": round(c.sends, 1),
        "share_of_optimum": round(c.share_of_optimum, 4),
        "setting": list(c.setting),
    }


if __name__ == "__main__":
    main()
