"""`forbear evaluate`: what other policies would have earned on a log, and may one be let through?

Prints a table, and on request writes one HTML page and one JSON file, each whole or not at all. The
gate is for pipelines: exit code 3 unless the policy beats its reference.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from engine.errors import BadInput
from engine.evaluation import report
from engine.evaluation.abstention import HeldBack, held_back
from engine.evaluation.compare import Comparison, compare
from engine.evaluation.gate import gate
from engine.evaluation.log import OUTCOMES, Log, Prices
from engine.evaluation.readers.bank_marketing import bank_marketing
from engine.evaluation.readers.decision_log import decision_log
from engine.evaluation.readers.fatigue_rollout import fatigue_rollout
from engine.evaluation.readers.hillstrom import hillstrom
from engine.evaluation.readers.mapped import Columns, mapped_log
from engine.evaluation.readers.open_bandit import open_bandit
from engine.evaluation.settings import Settings
from engine.evaluation.specs import policy_of
from service.destinations import check_destination

GATE_CLOSED = 3
READERS: Mapping[str, Callable[[Path], Log]] = {
    "hillstrom": hillstrom,
    "bank-marketing": bank_marketing,
    "fatigue-rollout": fatigue_rollout,
    "open-bandit-all": partial(open_bandit, items=80),
    "open-bandit-men": partial(open_bandit, items=34),
    "open-bandit-women": partial(open_bandit, items=46),
}
"""Public data sets; each reader's text says where to get the file."""
FORMATS = ("decision-log", *READERS)


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked on the command line."""

    log: Path
    format: str
    policies: Sequence[str]
    against: str | None
    prices: Prices
    columns: Sequence[str]
    """ROLE=COLUMN for a log of any shape; then the format is not looked at."""
    features: Sequence[str]


def evaluate(asked: Question, html: Path | None, json: Path | None, *, judge: bool) -> int:
    """Print the comparison and write what was asked for; the exit code."""
    for path in (html, json):
        if path is not None:
            check_destination(path)
    log = read_log(asked)
    comparison, names = _compared(log, asked)
    sys.stdout.write(report.table(comparison))
    sys.stdout.writelines(f"{note}\n" for note in log.notes)
    held = _held_back(log, asked.prices)
    if html is not None:
        report.write_whole(html, report.page(comparison, held))
    if json is not None:
        report.write_whole(json, report.as_json(comparison, held))
    return _judged(comparison, names) if judge else 0


def read_log(asked: Question) -> Log:
    """The log, by its format or by a mapping of its columns."""
    if not asked.log.exists():
        raise BadInput(f"{asked.log} does not exist; name an exported log or a data set's file")
    if asked.columns:
        return mapped_log(asked.log, columns_of(asked.columns, tuple(asked.features)))
    if asked.format == "decision-log":
        return decision_log(asked.log, tuple(asked.features))
    if asked.format not in READERS:
        raise BadInput(
            f"--format {asked.format!r} is not known; expected one of {', '.join(FORMATS)}, or "
            "--column ROLE=COLUMN for a log of another shape"
        )
    return READERS[asked.format](asked.log)


def columns_of(given: Sequence[str], features: tuple[str, ...]) -> Columns:
    """The mapping in ROLE=COLUMN pairs."""
    known = {field.name for field in fields(Columns)} - {"target_prefixes", "features"}
    roles: dict[str, str] = {}
    targets: dict[str, str] = {}
    for pair in given:
        role, _, column = pair.partition("=")
        if role.startswith("target:") and column:
            targets[role.removeprefix("target:")] = column
        elif role in known and column:
            roles[role] = column
        else:
            raise BadInput(
                f"--column {pair!r} cannot be used; expected ROLE=COLUMN with a role of "
                f"{', '.join(sorted(known))}, or target:POLICY=PREFIX"
            )
    missing = {"action", "propensity"} - set(roles)
    if missing:
        raise BadInput(
            f"no column was named for {' and '.join(sorted(missing))}; add --column "
            f"{min(missing)}=..., without which nothing can be weighted"
        )
    if roles.keys().isdisjoint(OUTCOMES):
        raise BadInput(
            "no column was named for an outcome; add --column click=..., unsubscribe=... or "
            "conversion=..., without which there is nothing to compare"
        )
    return Columns(**roles, target_prefixes=targets, features=features)


def _compared(log: Log, asked: Question) -> tuple[Comparison, list[str]]:
    """The comparison, and the policies' names in the order asked for, the reference last."""
    wanted = asked.policies or _usual(log, asked.prices)
    specs = list(dict.fromkeys([*wanted, *([asked.against] if asked.against else [])]))
    policies = [policy_of(spec, log, asked.prices) for spec in specs]
    names = [policy.name for policy in policies]
    reference = None if asked.against is None else names[specs.index(asked.against)]
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,.0f} rows"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        tasks = {}

        def tell(stage: str, rows: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=None)
            bar.update(tasks[stage], completed=rows)

        return compare(log, policies, Settings(asked.prices), reference, tell), names


def _usual(log: Log, prices: Prices) -> list[str]:
    """What is compared where nobody names policies: simple rules, and other prices if possible.

    The repriced ones draw the frontier of value against unsubscribes.
    """
    if not log.randomised:
        return ["never", "random"]
    usual = ["never", "random", "best"]
    if next(log.batches(1)).pmf is not None:
        usual.append("logged")
    if _has_forecasts(log):
        usual += [f"repriced:{factor * prices.unsubscribe:g}" for factor in (0.25, 1.0, 4.0)]
    return usual


def _has_forecasts(log: Log) -> bool:
    return "forecast:click" in next(log.batches(1)).targets


def _held_back(log: Log, prices: Prices) -> list[HeldBack]:
    """Calibration of abstaining, where the log holds forecasts."""
    if not log.randomised or not _has_forecasts(log):
        return []
    return held_back(log.batches(), log.arms, prices)


def _judged(comparison: Comparison, names: Sequence[str]) -> int:
    judged = [name for name in names if name != comparison.reference]
    if len(judged) != 1:
        raise BadInput(
            f"--gate was given {len(judged)} policies to judge; expected exactly one --policy "
            "besides --against"
        )
    result = gate(comparison, judged[0])
    for sentence in result.sentences:
        sys.stdout.write(f"{sentence}\n")
    sys.stdout.write(f"{judged[0]}: {'let through' if result.passed else 'kept out'}\n")
    return 0 if result.passed else GATE_CLOSED
