"""Tuning and running: every run is one row of a CSV, and a run that has its row is not made again.

Tuning climbs: from the better of two starts, one axis at a time, a neighbouring value is kept when
it is better on the tuning seeds, until no neighbour is or the trials are spent. The best three then
meet on more seeds, so that a setting which was lucky twice (a flat cost above all that is believed
at first never sends in every other population) does not stand for its policy. All these seeds draw
other populations than the judged ones.

Racing saves the time of those who cannot win: after the first seeds a policy whose paired
difference to the leader lies, by the upper end of its 95% interval, more than a tenth of the
leader's value behind, runs no further. Its row says how many seeds it had. A policy whose outcome
is asked for by itself (`Contestant.raced` is false) is never dropped, nor does one that knows the
truth lead.
"""

import csv
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from time import process_time
from typing import Final

import numpy as np

from benchmarks.learning.arenas import Arena, optimum
from benchmarks.learning.contestants import Contestant, Setting, contestants, written
from benchmarks.learning.pacing import Priced
from benchmarks.learning.rationed import FirstCome
from benchmarks.learning.statistics import difference
from engine.worlds.population import Population
from engine.worlds.simulation import simulate
from engine.worlds.world import Policy

TUNING_SEEDS: Final = (101, 102)
FINAL_SEEDS: Final = (*TUNING_SEEDS, 103, 104, 105, 106)
FINALISTS: Final = 3
FIRST_SEEDS: Final = 5
FAR_BEHIND: Final = 0.1
OPTIMUM: Final = "optimum"
"""The exact value, by dynamic programming; of the budget world a bound."""
OPTIMUM_RUN: Final = "optimum-run"
"""Its policy, on the dice that everybody else gets."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run. `size` tells two sizes of an arena apart."""

    arena: str
    size: str
    policy: str
    setting: str
    seed: int
    value: float
    """Sum over sends of v x p_click less send costs: the mean of the value with less noise."""
    unsubscribes: float
    sends: float
    decisions: int
    seconds: float


Key = tuple[str, str, str, str, int]


class Book:
    """The rows, in memory and in a CSV that grows with every run.

    Rows do not know which code made them: after a change, those of the policies it touched have to
    be made `again` (beginnings of their names).
    """

    def __init__(self, path: Path, again: Sequence[str] = ()) -> None:
        self._path, self._lock = path, threading.Lock()
        self._rows: dict[Key, Row] = {}
        for row in _sound(path):
            if not row.policy.startswith(tuple(again)):
                self._keep(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(",".join(field.name for field in fields(Row)) + "\n")
        self._write(self._rows.values())

    def get(self, key: Key) -> Row | None:
        """The row of a run that has been made."""
        return self._rows.get(key)

    def add(self, rows: Sequence[Row]) -> None:
        """Keep and write rows."""
        with self._lock:
            for row in rows:
                self._keep(row)
            self._write(rows)

    def rows(self) -> list[Row]:
        """All rows."""
        return list(self._rows.values())

    def _write(self, rows: Iterable[Row]) -> None:
        with self._path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(asdict(row).values() for row in rows)

    def _keep(self, row: Row) -> None:
        self._rows[row.arena, row.size, row.policy, row.setting, row.seed] = row


def _sound(path: Path) -> list[Row]:
    """The rows of a CSV, but for a line that was being written when a run was broken off."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [_row(fact) for fact in csv.DictReader(file) if None not in fact.values()]


def _row(fact: Mapping[str, str]) -> Row:
    return Row(
        fact["arena"],
        fact["size"],
        fact["policy"],
        fact["setting"],
        int(fact["seed"]),
        float(fact["value"]),
        float(fact["unsubscribes"]),
        float(fact["sends"]),
        int(fact["decisions"]),
        float(fact["seconds"]),
    )


def size_of(arena: Arena) -> str:
    """Users x days."""
    return f"{arena.users}x{arena.days}"


def run(name: str, arena: Arena, policy: str, setting: Setting, seed: int) -> list[Row]:
    """One run, in whatever process; of the optimum also its exact value."""
    world = arena.draw(seed)
    size, started = size_of(arena), process_time()
    rows = []
    if policy == OPTIMUM_RUN:
        value, left, sends, acting = optimum(world)
        taken = process_time() - started
        rows.append(Row(name, size, OPTIMUM, "", seed, value, left, sends, 0, taken))
    else:
        acting = within_budget(world, contestants()[policy].make(world, seed, setting), seed)
    outcome = simulate(world, acting, seed)
    return [
        Row(
            name,
            size,
            policy,
            written(setting),
            seed,
            outcome.expected_value,
            outcome.unsubscribes,
            outcome.sends,
            outcome.decisions,
            process_time() - started,
        ),
        *rows,
    ]


def within_budget(world: Population, policy: Policy, seed: int) -> Policy:
    """Slots go to those who come first, unless the policy has a price for them."""
    if world.daily_sends is None or isinstance(policy, Priced):
        return policy
    return FirstCome(world, policy, seed)


class Contest:
    """One arena's part: tune, run, race. Several contests share a book and a pool of processes."""

    def __init__(
        self, name: str, arena: Arena, taking_part: Mapping[str, Contestant], seeds: Sequence[int]
    ) -> None:
        self.name, self._arena, self._seeds = name, arena, seeds
        self._all = {
            policy: who
            for policy, who in taking_part.items()
            if (not who.only or name in who.only) and (not arena.cast or policy in arena.cast)
        }
        self.settings: dict[str, Setting] = {}

    def hold(self, book: Book, pool: Executor) -> None:
        """Everything, in order."""
        for policy, who in self._all.items():
            self.settings[policy] = self._tuned(policy, who, book, pool)
        self._judge(list(self._all), self._seeds[:FIRST_SEEDS], book, pool)
        for start in range(FIRST_SEEDS, len(self._seeds), FIRST_SEEDS):
            part = self._seeds[start : start + FIRST_SEEDS]
            self._judge(self._still_racing(book), part, book, pool)

    def _judge(
        self, policies: Sequence[str], seeds: Sequence[int], book: Book, pool: Executor
    ) -> None:
        wanted = [(policy, self.settings[policy]) for policy in policies] + [(OPTIMUM_RUN, ())]
        self._rows([(policy, setting, s) for s in seeds for policy, setting in wanted], book, pool)

    def _rows(
        self, runs: Sequence[tuple[str, Setting, int]], book: Book, pool: Executor
    ) -> list[Row]:
        """The rows of these runs; those that are missing are made at once, side by side."""
        size = size_of(self._arena)
        keys = [(self.name, size, policy, written(x), seed) for policy, x, seed in runs]
        missing: list[Future[list[Row]]] = [
            pool.submit(run, self.name, self._arena, *asked)
            for asked, key in zip(runs, keys, strict=True)
            if book.get(key) is None
        ]
        for future in missing:
            book.add(future.result())
        rows = [book.get(key) for key in keys]
        return [row for row in rows if row is not None]

    def _tuned(self, policy: str, who: Contestant, book: Book, pool: Executor) -> Setting:
        """The best setting found within the trials."""
        start = self._start(who)
        if who.borrows or not who.trials:
            return start
        plain = tuple(axis.start for axis in who.axes)

        def worth(settings: Sequence[Setting], seeds: Sequence[int] = TUNING_SEEDS) -> list[float]:
            runs = [(policy, setting, seed) for setting in settings for seed in seeds]
            values = [row.value for row in self._rows(runs, book, pool)]
            return [float(v) for v in np.reshape(values, (len(settings), -1)).mean(axis=1)]

        axes = [axis.values for axis in who.axes]
        finalists = climbed((start, plain), axes, who.trials, worth)[:FINALISTS]
        values = worth(finalists, FINAL_SEEDS)
        return finalists[values.index(max(values))]

    def _start(self, who: Contestant) -> Setting:
        found: dict[str, float] = {}
        if who.starts_from is not None and who.starts_from in self._all:
            other = self._all[who.starts_from]
            tuned = self.settings[who.starts_from]
            found = {axis.name: x for axis, x in zip(other.axes, tuned, strict=True)}
        return tuple(found.get(axis.name, axis.start) for axis in who.axes)

    def _still_racing(self, book: Book) -> list[str]:
        values = {policy: self._values(policy, book) for policy in self._all}
        leader = max(
            (policy for policy, who in self._all.items() if not who.knows_truth),
            key=lambda policy: float(np.mean(list(values[policy].values()))),
        )
        best = float(np.mean(list(values[leader].values())))

        def alive(policy: str) -> bool:
            if not self._all[policy].raced or policy == leader:
                return True
            return difference(values[policy], values[leader]).high > -FAR_BEHIND * best

        return [policy for policy in self._all if alive(policy)]

    def _values(self, policy: str, book: Book) -> dict[int, float]:
        size, setting = size_of(self._arena), written(self.settings[policy])
        rows = [book.get((self.name, size, policy, setting, seed)) for seed in self._seeds]
        return {row.seed: row.value for row in rows if row is not None}


def climbed(
    starts: Sequence[Setting],
    axes: Sequence[tuple[float, ...]],
    trials: int,
    worth: Callable[[Sequence[Setting]], list[float]],
) -> list[Setting]:
    """The settings of a grid that climbing from the best of `starts` meets, best first.

    Both neighbours on an axis are asked about together; a walk along an axis goes on while it pays.
    """

    def at(place: Sequence[int]) -> Setting:
        return tuple(axis[i] for axis, i in zip(axes, place, strict=True))

    places = list(dict.fromkeys(_nearest(start, axes) for start in starts))
    known = dict(zip(places, worth([at(place) for place in places]), strict=True))
    best = max(known, key=lambda place: known[place])
    settled, axis = 0, 0
    while settled < len(axes) and len(known) < trials:
        sides = [
            (*best[:axis], best[axis] + step, *best[axis + 1 :])
            for step in (-1, 1)
            if 0 <= best[axis] + step < len(axes[axis])
        ]
        new = [place for place in sides if place not in known]
        known |= dict(zip(new, worth([at(place) for place in new]) if new else [], strict=True))
        top = max([best, *sides], key=lambda place: known[place])
        settled = settled + 1 if top == best else 0
        axis = (axis + 1) % len(axes) if top == best else axis
        best = top
    return [at(place) for place in sorted(known, key=lambda place: -known[place])]


def _nearest(setting: Setting, axes: Sequence[tuple[float, ...]]) -> tuple[int, ...]:
    """Places on the axes."""
    return tuple(
        int(np.abs(np.array(axis) - x).argmin()) for axis, x in zip(axes, setting, strict=True)
    )


def hold_all(contests: Sequence[Contest], book: Book, pool: Executor) -> None:
    """All contests side by side; the pool is what limits them."""
    with ThreadPoolExecutor(len(contests)) as threads:
        for done in [threads.submit(contest.hold, book, pool) for contest in contests]:
            done.result()
