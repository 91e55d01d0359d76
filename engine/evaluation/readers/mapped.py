"""A log of any team: say which column is what, get a `Log`.

One row per decision, abstentions included. An outcome that some abstention had is taken for one
that also happens without a send. If the file has one probability column per arm, all with
the same prefix, the whole logged law is known and support can be checked; otherwise every verdict
is at best weak. Target policies can be stored the same way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.errors import BadInput
from engine.evaluation.arrays import AnyArray, Matrix
from engine.evaluation.log import OUTCOMES, Log, LoggedBatch
from engine.evaluation.readers.tables import Table, literal, numbers, open_table, quoted, stable_id

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file by their role; a role left None is not in the file."""

    action: str
    propensity: str
    click: str | None = None
    unsubscribe: str | None = None
    conversion: str | None = None
    decision_id: str | None = None  # None: the row's number
    user: str | None = None  # None: every row is its own user
    time: str | None = None  # seconds or a timestamp
    value: str | None = None
    send_cost: str | None = None
    abstain: str | None = None  # the `action` that means nothing was sent; null does too
    law_prefix: str | None = None  # PREFIX + arm holds the logged probability of that arm
    target_prefixes: dict[str, str] = field(default_factory=dict)  # policy name -> prefix
    features: tuple[str, ...] = ()

    def named(self) -> list[str]:
        """Every single column the mapping names."""
        roles = (self.action, self.propensity, self.click, self.unsubscribe, self.conversion)
        rest = (self.decision_id, self.user, self.time, self.value, self.send_cost)
        return [name for name in (*roles, *rest, *self.features) if name is not None]


def mapped_log(path: Path, columns: Columns, adaptive: bool = False) -> Log:
    """The log in `path` read through a mapping; duplicate decision ids are refused at once."""
    table = open_table(path)
    table.require(columns.named())
    if columns.decision_id is not None:
        table.refuse_duplicates(columns.decision_id)
    arms = _arms(table, columns)
    prefixes = [*columns.target_prefixes.values()]
    prefixes += [] if columns.law_prefix is None else [columns.law_prefix]
    for prefix in prefixes:
        table.require([f"{prefix}{arm}" for arm in arms[1:]])

    abstained = f"{_column_of(columns, arms)} = 0"

    def read(rows: int) -> Iterator[LoggedBatch]:
        start = 0
        for chunk in table.select(_expressions(table, columns, arms), rows):
            yield _batch(chunk, columns, arms, start)
            start += len(chunk["action"])

    return Log(
        path.name,
        arms,
        read,
        adaptive=adaptive,
        named_users=columns.user is not None,
        feature_names=columns.features,
        unprompted=table.unprompted(abstained, _numbers(columns, OUTCOMES)),
    )


def _arms(table: Table, columns: Columns) -> tuple[str, ...]:
    """Abstain first, then every message seen, or every message with a logged probability."""
    seen = [str(value) for value in table.values(_action(columns))]
    if columns.law_prefix is not None:
        size = len(columns.law_prefix)
        listed = [c[size:] for c in table.types if c.startswith(columns.law_prefix)]
        seen = sorted({*seen, *listed})
    name = columns.abstain or "abstain"
    return (name, *[arm for arm in seen if arm != name])


def _action(columns: Columns) -> str:
    """The arm as text; an empty one is no arm."""
    return f"NULLIF(CAST({quoted(columns.action)} AS VARCHAR), '')"


def _column_of(columns: Columns, arms: tuple[str, ...]) -> str:
    """The column of the arm; no arm is column 0."""
    listed = ", ".join(literal(arm) for arm in arms)
    return f"COALESCE(list_position([{listed}], {_action(columns)}), 1) - 1"


def _expressions(table: Table, columns: Columns, arms: tuple[str, ...]) -> dict[str, str]:
    single = _numbers(columns, ("propensity", *OUTCOMES, "value", "send_cost"))
    chosen = {"action": _column_of(columns, arms), **single}
    for role in ("decision_id", "user"):
        name = getattr(columns, role)
        if name is not None:
            chosen[role] = stable_id(quoted(name))
    if columns.time is not None:
        chosen["time"] = _seconds(table, columns.time)
    for name in columns.features:
        chosen[f"feature:{name}"] = f"TRY_CAST({quoted(name)} AS DOUBLE)"
    for prefix in {columns.law_prefix, *columns.target_prefixes.values()} - {None}:
        for arm in arms:
            if f"{prefix}{arm}" in table.types:
                chosen[f"{prefix}{arm}"] = f"TRY_CAST({quoted(f'{prefix}{arm}')} AS DOUBLE)"
    return chosen


def _numbers(columns: Columns, roles: Sequence[str]) -> dict[str, str]:
    """The numbers of those roles that are in the file."""
    named = {role: getattr(columns, role) for role in roles}
    return {
        role: f"TRY_CAST({quoted(name)} AS DOUBLE)"
        for role, name in named.items()
        if name is not None
    }


def _seconds(table: Table, name: str) -> str:
    if table.types[name].startswith(NUMBERS):
        return f"CAST({quoted(name)} AS DOUBLE)"
    return f"epoch(CAST({quoted(name)} AS TIMESTAMPTZ))"


def _batch(
    chunk: dict[str, AnyArray], columns: Columns, arms: tuple[str, ...], start: int
) -> LoggedBatch:
    n = len(chunk["action"])
    numbered = np.arange(start, start + n, dtype=np.uint64)
    ids = chunk.get("decision_id", numbered).astype(np.uint64)
    law = None if columns.law_prefix is None else _matrix(chunk, columns.law_prefix, arms, n)
    return LoggedBatch(
        row_id=ids,
        user=chunk.get("user", ids).astype(np.uint64),
        time=numbers(chunk.get("time", np.zeros(n))),
        action=chunk["action"].astype(np.int64),
        propensity=numbers(chunk["propensity"]),
        outcomes={name: numbers(chunk[name]) for name in OUTCOMES if name in chunk},
        value=numbers(chunk.get("value", np.ones(n))),
        send_cost=numbers(chunk.get("send_cost", np.zeros(n))),
        pmf=law,
        eligible=None if law is None else law > 0.0,
        features=_features(chunk, columns),
        targets={
            name: _matrix(chunk, prefix, arms, n)
            for name, prefix in columns.target_prefixes.items()
        },
    )


def _matrix(chunk: dict[str, AnyArray], prefix: str, arms: tuple[str, ...], n: int) -> Matrix:
    """(n, K) probabilities; an arm without a column has 0, a missing value counts as 0."""
    absent = np.zeros(n)
    lines = [numbers(chunk.get(f"{prefix}{arm}", absent)) for arm in arms]
    return np.nan_to_num(np.stack(lines, axis=1), nan=0.0)


def _features(chunk: dict[str, AnyArray], columns: Columns) -> Matrix | None:
    if not columns.features:
        return None
    x = np.stack([numbers(chunk[f"feature:{name}"]) for name in columns.features], axis=1)
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise BadInput(
            f"row {row} of a chunk, column {columns.features[column]}: got {x[row, column]}, "
            "expected a number: fill the missing value or leave the feature out"
        )
    return x
