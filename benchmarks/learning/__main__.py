"""Every world x every policy: tune, run on common random numbers, compare in pairs.

    python -m benchmarks.learning [--quick | --full] [--json] [--world W] [--policy P] [--again P]

Rows go to a CSV as they are made, and a run that is broken off goes on from there; after a change
to the code, --again makes the rows of the policies it touched anew. The usual form holds 20 seeds
in every arena, most of them at a quarter of their world's size; --full has the worlds at their own
size, which matters, since learning takes data; --quick two small arenas, three seeds and settings
that are not tuned. With --policy, who starts from the costs of somebody left out starts from plain
ones.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks.learning import peers
from benchmarks.learning.arenas import ARENAS, FULL, QUICK, Arena
from benchmarks.learning.contest import Book, Contest, hold_all
from benchmarks.learning.contestants import DEFAULT, FRONTIER, Contestant, contestants, quick
from benchmarks.learning.reporting import (
    Line,
    against_flat,
    as_json,
    draw_shares,
    draw_tradeoff,
    lines,
    markdown,
    summary,
)

SEEDS: Final = range(20)
QUICK_SEEDS: Final = range(3)
RESULTS: Final = Path(__file__).parent / "results"


def main() -> None:
    """Run, then report."""
    asked = _asked()
    # One thread per process: the pool is what uses the cores. Set before workers import numpy.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    arenas, who, seeds = _plan(asked)
    for absent in peers.missing():
        print(f"{absent} is not installed and takes no part; `pip install .[peers]` brings it.")
    out = Path(tempfile.mkdtemp(prefix="learning-")) if asked.quick else RESULTS
    out = asked.out or out
    book = Book(out / "runs.csv", asked.again or [])
    contests = {name: Contest(name, arena, who, seeds) for name, arena in arenas.items()}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.workers, mp_context=context) as pool:
        hold_all(list(contests.values()), book, pool)
    tables = {name: lines(arenas[name], c, book, seeds, who) for name, c in contests.items()}
    report(out, arenas, tables)
    if asked.json:
        worlds = {name: as_json(table) for name, table in tables.items()}
        print(json.dumps({"default": DEFAULT, "worlds": worlds}))


def report(out: Path, arenas: Mapping[str, Arena], tables: Mapping[str, Sequence[Line]]) -> None:
    """Print the tables, write them, draw them."""
    single = [markdown(name, arenas[name], table) for name, table in tables.items()]
    text = "\n".join([summary(tables), *single])
    if FRONTIER in tables:
        text += f"\n{against_flat(tables[FRONTIER])}"
    print(text)
    (out / "table.md").write_text(text)
    try:
        draw_shares(tables, out / "shares.png")
        if FRONTIER in tables:
            draw_tradeoff(FRONTIER, tables[FRONTIER], out / "tradeoff.png")
    except ModuleNotFoundError as absent:
        print(f"{absent.name} is not installed, so nothing was drawn; `pip install .[plot]`.")
    print(f"rows, tables and plots: {out}", file=sys.stderr)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--full", action="store_true", help="worlds at their own size; a day or so")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--world", action="append", choices=list(ARENAS), help="only this arena")
    parser.add_argument("--policy", action="append", help="only names that begin so")
    parser.add_argument(
        "--again", action="append", help="make the rows of names that begin so anew"
    )
    parser.add_argument("--seeds", type=int, help=f"default {len(SEEDS)}")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--out", type=Path, help="folder of CSV, table and plots")
    found = parser.parse_args()
    if found.full and any(name not in FULL for name in found.world or []):
        parser.error(f"with --full there are the arenas {', '.join(FULL)}; leave out --full")
    if found.quick and any(name not in QUICK for name in found.world or []):
        parser.error(f"with --quick there are the arenas {', '.join(QUICK)}; leave out --quick")
    return found


def _plan(
    asked: argparse.Namespace,
) -> tuple[dict[str, Arena], dict[str, Contestant], Sequence[int]]:
    """Arenas, contestants and seeds."""
    arenas = QUICK if asked.quick else FULL if asked.full else ARENAS
    arenas = {n: a for n, a in arenas.items() if not asked.world or n in asked.world}
    who = quick() if asked.quick else contestants()
    prefixes = tuple(asked.policy or [""])
    who = {name: c for name, c in who.items() if name.startswith(prefixes)}
    seeds = QUICK_SEEDS if asked.quick else SEEDS
    return arenas, who, range(asked.seeds) if asked.seeds else seeds


if __name__ == "__main__":
    main()
