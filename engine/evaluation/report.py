"""A comparison in print: a table for the terminal, JSON for machines, one HTML page for people.

The page is one file without scripts or outside links; its plots are inline SVG. A refused line
shows the word and its reasons where the number would be.
"""

import json
from dataclasses import asdict
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

from engine.evaluation.abstention import HeldBack
from engine.evaluation.compare import Comparison
from engine.evaluation.diagnostics import Judgement
from engine.evaluation.plots import bars, frontier, held_back_plot, weight_lines
from engine.evaluation.scoring import Scored

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .25rem .7rem; text-align: right }
td:first-child, th:first-child, td.words { text-align: left } tr { border-bottom: 1px solid #ddd }
.refuse { color: #a11 } .weak { color: #a60 } .ok { color: #161 } svg { margin: .5rem 1rem .5rem 0 }
"""
HEADER = ("policy", "outcome", "verdict", "value", "interval", "difference", "p", "reasons")


def table(comparison: Comparison) -> str:
    """Aligned text, one line per policy and outcome."""
    lines = [HEADER, *[_cells(scored) for scored in comparison.scored]]
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEADER))]
    printed = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(line.rstrip() for line in printed) + "\n"


def _cells(scored: Scored) -> tuple[str, ...]:
    verdict, reasons = scored.judgement.verdict.value, "; ".join(scored.judgement.reasons)
    if scored.value is None or scored.interval is None:
        return (scored.policy, scored.outcome, verdict, "refused", "", "", "", reasons)
    span = f"[{scored.interval.lower:.5g}, {scored.interval.upper:.5g}]"
    gap, p = "", ""
    if scored.difference is not None:
        inner = scored.difference.interval
        gap = f"{scored.difference.value:+.5g} [{inner.lower:+.5g}, {inner.upper:+.5g}]"
        p = f"{scored.difference.p_value:.2g}"
    return (scored.policy, scored.outcome, verdict, f"{scored.value:.5g}", span, gap, p, reasons)


def as_dict(comparison: Comparison, held: list[HeldBack] | None = None) -> dict[str, Any]:
    """Everything a machine may want; refused lines have null where numbers would be."""
    return {
        "format": 1,
        "log": comparison.log,
        "rows": comparison.rows,
        "users": comparison.users,
        "reference": comparison.reference,
        "log_verdict": _judgement(comparison.log_judgement),
        "logged_means": comparison.logged_means,
        "send_rates": comparison.send_rates,
        "lines": [_line(scored) for scored in comparison.scored],
        "held_back": [asdict(each) for each in held or []],
    }


def _judgement(judgement: Judgement) -> dict[str, Any]:
    return {"verdict": judgement.verdict.value, "reasons": list(judgement.reasons)}


def _line(scored: Scored) -> dict[str, Any]:
    return {
        "policy": scored.policy,
        "outcome": scored.outcome,
        **_judgement(scored.judgement),
        "value": scored.value,
        "interval": None if scored.interval is None else asdict(scored.interval),
        "difference": None if scored.difference is None else asdict(scored.difference),
        "estimators": {name: {"value": v, "se": se} for name, (v, se) in scored.points.items()},
        "diagnostics": None if scored.diagnostics is None else asdict(scored.diagnostics),
    }


def as_json(comparison: Comparison, held: list[HeldBack] | None = None) -> str:
    """JSON text; numbers that are not finite become null, as JSON has none."""
    return json.dumps(_finite(as_dict(comparison, held)), indent=1) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def page(comparison: Comparison, held: list[HeldBack] | None = None) -> str:
    """The whole HTML page."""
    rows = "\n".join(_html_row(scored) for scored in comparison.scored)
    head = "".join(f"<th>{name}</th>" for name in HEADER)
    log = comparison.log_judgement
    doubts = "".join(f"<p class={log.verdict.value}>{escape(reason)}</p>" for reason in log.reasons)
    plots = [frontier(comparison), weight_lines(comparison), bars(comparison)]
    plots.append(held_back_plot(held or []))
    title = f"Policies on {escape(comparison.log)}"
    users = "" if comparison.users is None else f", {comparison.users:,} users"
    intro = (
        f"{comparison.rows:,} decisions{users}; differences are paired, to "
        f"{escape(comparison.reference)}; p is Holm-adjusted over the policies."
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<style>{STYLE}</style><h1>{title}</h1><p>{intro}</p>{doubts}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"{''.join(plots)}</html>\n"
    )


def _html_row(scored: Scored) -> str:
    cells = [escape(cell) for cell in _cells(scored)]
    verdict = f"<td class={scored.judgement.verdict.value}>{cells[2]}</td>"
    middle = "".join(f"<td>{cell}</td>" for cell in cells[3:7])
    return (
        f"<tr><td>{cells[0]}</td><td class=words>{cells[1]}</td>{verdict}{middle}"
        f"<td class=words>{cells[7]}</td></tr>"
    )


def write_whole(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
