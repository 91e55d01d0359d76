"""From rows to a table, a JSON object and two plots.

The table has one line per policy of an arena: mean value with its share of the exact optimum, and
the paired difference to the best of the others, each with a 95% t-interval; then unsubscribes,
sends, seeds and the setting. The others are the policies that are not ours and do not know the
truth; the best of them is held against the second best. A summary has one line per arena.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.arenas import Arena
from benchmarks.learning.contest import OPTIMUM, OPTIMUM_RUN, Book, Contest, Row, size_of
from benchmarks.learning.contestants import DEFAULT, Contestant, written
from benchmarks.learning.statistics import Interval, difference, interval

DPI = 110
FEWEST = 0.5
"""Fewer unsubscribes than this are drawn here, on a logarithmic axis."""
OURS = "forbear-"
NEVER = "never"
HEADINGS = (
    *("policy", "value", "share of optimum", "against the best other", "unsubscribes", "sends"),
    *("ms", "seeds", "setting"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One policy in one arena."""

    policy: str
    value: Interval
    share: Interval
    """Of the exact optimum, seed by seed."""
    against: str
    lead: Interval
    """Paired difference to `against`, as a share of that one's mean value."""
    unsubscribes: float
    sends: float
    milliseconds: float
    """Of processor time per decision, learning included."""
    setting: str


def lines(
    arena: Arena, contest: Contest, book: Book, seeds: Sequence[int], who: Mapping[str, Contestant]
) -> list[Line]:
    """All policies of one arena, best first."""
    by_policy = _rows(arena, contest, book, seeds)
    exact = {row.seed: row.value for row in by_policy[OPTIMUM]}
    values = {name: {row.seed: row.value for row in rows} for name, rows in by_policy.items()}
    fair = [name for name in values if name in who and not who[name].knows_truth]
    others = [name for name in fair if not name.startswith(OURS)]
    if not set(others) - {NEVER}:  # ours alone, beside silence
        others = fair
    ranked = sorted(others, key=lambda name: -_mean(values[name]))
    made = []
    for name, rows in by_policy.items():
        against = ranked[1] if name == ranked[0] and len(ranked) > 1 else ranked[0]
        gap, base = difference(values[name], values[against]), abs(_mean(values[against])) or 1.0
        lead = Interval(gap.mean / base, gap.low / base, gap.high / base, gap.n)
        made.append(
            Line(
                name,
                interval([row.value for row in rows]),
                interval([row.value / exact[row.seed] for row in rows]),
                against,
                lead,
                float(np.mean([row.unsubscribes for row in rows])),
                float(np.mean([row.sends for row in rows])),
                1e3 * float(np.mean([row.seconds / max(1, row.decisions) for row in rows])),
                _named(name, rows[0].setting, who),
            )
        )
    return sorted(made, key=lambda line: -line.value.mean)


def _rows(arena: Arena, contest: Contest, book: Book, seeds: Sequence[int]) -> dict[str, list[Row]]:
    settings = {policy: written(x) for policy, x in contest.settings.items()}
    settings |= {OPTIMUM: "", OPTIMUM_RUN: ""}
    found = {
        policy: [
            row
            for seed in seeds
            if (row := book.get((contest.name, size_of(arena), policy, setting, seed))) is not None
        ]
        for policy, setting in settings.items()
    }
    return {policy: rows for policy, rows in found.items() if rows}


def _mean(values: Mapping[int, float]) -> float:
    return float(np.mean(list(values.values())))


def _named(policy: str, setting: str, who: Mapping[str, Contestant]) -> str:
    """The setting with the names of its axes: leave_cost=5 flat_cost=0.2."""
    if policy not in who:
        return ""
    axes = [axis.name for axis in who[policy].axes]
    return " ".join(f"{a}={x}" for a, x in zip(axes, setting.split(), strict=True))


def markdown(name: str, arena: Arena, table: Sequence[Line]) -> str:
    """One arena's table."""
    mark = f", {arena.mark}" if arena.mark else ""
    head = [
        f"### {name} ({arena.users} users, {arena.days} days{mark})",
        "",
        f"| {' | '.join(HEADINGS)} |",
        f"|{' --- |' * len(HEADINGS)}",
    ]
    return "\n".join([*head, *(_cells(line) for line in table), ""])


def summary(tables: Mapping[str, Sequence[Line]]) -> str:
    """The default beside the best of the others, arena by arena."""
    head = (
        *("arena", "share of optimum", "unsubscribes", "best of the others", "its share"),
        *("its unsubscribes", "against it", "seeds"),
    )
    rows = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for name, table in tables.items():
        by_name = {line.policy: line for line in table}
        ours = by_name.get(DEFAULT)
        if ours is None:
            continue
        best = by_name[ours.against]
        cells = (
            *(name, _spread(ours.share, ".1%"), f"{ours.unsubscribes:.1f}", best.policy),
            *(f"{best.share.mean:.1%}", f"{best.unsubscribes:.1f}"),
            *(_spread(ours.lead, ".1%", "+"), f"{ours.value.n}"),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([f"### {DEFAULT}, as shipped", "", *rows, ""])


def _cells(line: Line) -> str:
    lead = "" if line.policy in (OPTIMUM, OPTIMUM_RUN) else _spread(line.lead, ".1%", "+")
    return (
        f"| {line.policy} | {_spread(line.value, '.0f')} | {_spread(line.share, '.1%')} | {lead} "
        f"| {line.unsubscribes:.1f} | {line.sends:.0f} | {line.milliseconds:.2f} "
        f"| {line.value.n} | {line.setting} |"
    )


def _spread(found: Interval, form: str, sign: str = "") -> str:
    reach = found.high - found.mean
    extra = f" +- {reach:{form}}" if np.isfinite(reach) else ""
    return f"{found.mean:{sign}{form}}{extra}"


def as_json(table: Sequence[Line]) -> dict[str, dict[str, float | int | str]]:
    """One arena for machines; `lead_*` is the paired difference to `against`, as a share of it."""
    return {
        line.policy: {
            "value": round(line.value.mean, 3),
            "unsubscribes": round(line.unsubscribes, 3),
            "share_of_optimum": round(line.share.mean, 5),
            "against": line.against,
            "lead": round(line.lead.mean, 5),
            "lead_low": _finite(line.lead.low),
            "lead_high": _finite(line.lead.high),
            "sends": round(line.sends, 1),
            "seeds": line.value.n,
            "setting": line.setting,
        }
        for line in table
    }


def _finite(x: float) -> float:
    """JSON has no infinity: an interval from one seed reaches a thousandfold."""
    return round(float(np.clip(x, -1e3, 1e3)), 5)


def draw_shares(tables: Mapping[str, Sequence[Line]], path: Path) -> None:
    """Share of the optimum of every policy, one panel per arena."""
    plt = _plotting()
    columns = min(4, len(tables))
    rows = -(-len(tables) // columns)
    tallest = max(len(table) for table in tables.values())
    figure, axes = plt.subplots(
        rows, columns, figsize=(5.2 * columns, rows * (0.19 * tallest + 0.9)), squeeze=False
    )
    for axis in axes.flat[len(tables) :]:
        axis.set_axis_off()
    for axis, (name, table) in zip(axes.flat, tables.items(), strict=False):
        shown = [line for line in table if line.policy not in (OPTIMUM, "never")][::-1]
        for y, line in enumerate(shown):
            reach = min(line.share.high - line.share.mean, 1.0)
            axis.errorbar(
                line.share.mean, y, xerr=reach, fmt="o", ms=4, lw=1.2, color=colour(line.policy)
            )
        axis.set_yticks(range(len(shown)), [line.policy for line in shown], fontsize=7)
        axis.set_ylim(-0.7, len(shown) - 0.3)
        low = min(0.0, *(line.share.mean for line in shown))
        axis.set_xlim(max(-1.0, low - 0.02), 1.05)
        axis.axvline(1.0, color="0.7", lw=0.8)
        axis.grid(axis="x", color="0.92")
        axis.set_title(name, fontsize=9, loc="left")
        axis.set_xlabel("share of the exact optimum (95% interval)", fontsize=7)
        axis.tick_params(axis="x", labelsize=7)
    _save(figure, path)


def frontier(table: Sequence[Line]) -> list[Line]:
    """The default with both its costs multiplied by 1 to 3, fewest unsubscribes first."""
    swept = [line for line in table if line.policy == DEFAULT or is_swept(line.policy)]
    return sorted(swept, key=lambda line: line.unsubscribes)


def is_swept(policy: str) -> bool:
    """Whether this is the default with a multiplier: "forbear-rho1-x2"."""
    name, _, multiplier = policy.rpartition("-x")
    return name == DEFAULT and multiplier.replace(".", "").isdigit()


def against_flat(table: Sequence[Line]) -> str:
    """At the unsubscribes of every flat cost: the default's value there, by interpolation.

    Outside the range that the multipliers reach, the nearest end stands in, and is marked: it
    flatters us where the flat cost has fewer unsubscribes, and the flat cost where it has more.
    """
    swept = frontier(table)
    if len(swept) < 2:
        return ""
    left = [line.unsubscribes for line in swept]
    head = ("flat cost", "unsubscribes", "value", "the default's value there", "more by")
    rows = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for line in (line for line in table if line.policy.startswith("flat-")):
        there = float(np.interp(line.unsubscribes, left, [s.value.mean for s in swept]))
        more = f"{there / line.value.mean - 1.0:+.1%}" if line.value.mean > 0 else "never sends"
        mark = "" if left[0] <= line.unsubscribes <= left[-1] else " (nearest end)"
        rows.append(
            f"| {line.policy} | {line.unsubscribes:.1f} | {line.value.mean:.0f} "
            f"| {there:.0f}{mark} | {more} |"
        )
    return "\n".join(["### At the unsubscribes of a flat cost", "", *rows, ""])


def draw_tradeoff(name: str, table: Sequence[Line], path: Path) -> None:
    """Value against unsubscribes in one arena; the default's multipliers joined by a line."""
    plt = _plotting()
    figure, axis = plt.subplots(figsize=(9.5, 5.5))
    shown = [line for line in table if line.policy not in (OPTIMUM, "never")]
    for number, line in enumerate(shown, 1):
        place = (max(line.unsubscribes, FEWEST), line.value.mean)
        axis.scatter(*place, s=26, color=colour(line.policy), label=f"{number} {line.policy}")
        axis.annotate(f"{number}", place, xytext=(4, 3), textcoords="offset points", fontsize=6)
    swept = [(max(line.unsubscribes, FEWEST), line.value.mean) for line in frontier(table)]
    if len(swept) > 1:
        axis.plot(*zip(*swept, strict=True), color=colour(DEFAULT), lw=1.0)
    axis.set_xlabel("unsubscribes (logarithmic)")
    axis.set_ylabel("value (clicks x worth, less send costs)")
    axis.set_xscale("log")
    axis.margins(x=0.15)
    axis.set_ylim(bottom=min(0.0, *(line.value.mean for line in shown)))
    axis.grid(color="0.92")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=6, frameon=False)
    axis.set_title(f"{name}: value against unsubscribes, means over seeds", fontsize=10, loc="left")
    _save(figure, path)


def colour(policy: str) -> str:
    """One per family."""
    families = {"forbear": "#c1272d", "vw": "#1f5fa8", "flat": "#2b8a3e", "optimum": "#222222"}
    return families.get(policy.partition("-")[0], "#8a8a8a")


def _plotting() -> Any:
    """Plots without a display."""
    import matplotlib as mpl  # noqa: PLC0415  (only those who draw need the extra `plot`)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    return plt


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=DPI)
    _plotting().close(figure)
