"""A budget of a tenth of the users per day: a price for each slot, or first come, first served?

    python -m benchmarks.budget [--quick] [--json] [--seeds N]

The same learner in the same populations with the same dice, 20 seeds paired: served as they come,
at the engine's price, and at a price by dual descent. Beside it what the two ways are worth to
somebody who knows the truth: nobody's learner can expect a larger ratio than theirs for long. Two
worlds: `budget`, where a click of every user is worth the same, and one where clicks differ in
worth as in `spread_values` (98% of users within a factor of 100).
"""

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from benchmarks.budget.study import POLICIES, WORLDS, ratios, run
from benchmarks.learning.statistics import interval

SIZE, QUICK_SIZE = (150, 120), (150, 40)


def measured(world: str, seeds: range, size: tuple[int, int], workers: int) -> dict[str, object]:
    """One world: print its table, and give it back."""
    names = list(POLICIES)
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        asked = {(n, s): pool.submit(run, world, n, s, size) for n in names for s in seeds}
        found = {key: future.result() for key, future in asked.items()}
    values = {n: [found[n, s][0] for s in seeds] for n in names}
    sends = {n: sum(found[n, s][1] for s in seeds) / len(seeds) for n in names}
    told = ratios(values)
    print(f"\n{world}: {size[0]} users, {size[1]} days, {len(seeds)} seeds")
    print("| policy | value | sends | ratio to first come |\n| --- | --- | --- | --- |")
    for name in names:
        mean = interval(values[name]).mean
        ratio = told.get(name)
        shown = f"{ratio.mean:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]" if ratio else ""
        print(f"| {name} | {mean:.0f} | {sends[name]:.0f} | {shown} |", flush=True)
    return {
        name: {"ratio": ratio.mean, "low": ratio.low, "high": ratio.high}
        for name, ratio in told.items()
    }


def main() -> None:
    """Both worlds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small worlds, three seeds")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--seeds", type=int, help="default 20")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    asked = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    size = QUICK_SIZE if asked.quick else SIZE
    seeds = range(asked.seeds or (3 if asked.quick else 20))
    told = {world: measured(world, seeds, size, asked.workers) for world in WORLDS}
    if asked.json:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
