"""The service's own decision log, as `forbear export` writes it: JSONL or Parquet.

One record per decision in the form of `engine.decision_log.to_json`, with its labels beside it:
`click` and `unsubscribe` (0, 1, or null while the attribution window is open), optionally
`conversion` and `censored`. A decision that is censored or was never drawn (propensity null) is
left out whole: neither its outcome nor its weight counts. So is everything from the first open
decision on: abstentions resolve at once and sends wait for their windows, so what is resolved of
the last days is mostly silence, and its weights would not average 1.

Only the arms that draw by a law over all their candidates count: the bandit and the random arm.
What the holdout and business as usual do, they do with probability 1, so no weight can turn their
rows into another policy's; leaving their users out changes no row of the others. The shadow's
answers were never carried out. `by_arm` compares the arms themselves.

The logger learned while it logged, so the log is called adaptive. Forecasts are kept as the stored
targets `forecast:click` and `forecast:unsubscribe`, for re-pricing and for the calibration of
abstaining, and p0, the forecast of the outcome without a send, beside them. An outcome that some
abstention of the log had is taken for one that also happens unprompted. The abstain reward is in
the file and is not read. Limit: one send cost per row, the mean over its candidates.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from engine.arms import Arm
from engine.errors import BadInput
from engine.evaluation.arrays import AnyArray, Matrix
from engine.evaluation.log import OUTCOMES, Log, LoggedBatch
from engine.evaluation.readers.record_types import RECORD_TYPES
from engine.evaluation.readers.tables import (
    Table,
    fetched,
    literal,
    numbers,
    open_table,
    stable_id,
)

REQUIRED = ("decision_id", "user_id", "at", "value", "burden", "candidates", "action", "propensity")
LABELS = ("abstain_propensity", "click", "unsubscribe")
DRAWN_ARMS = (Arm.BANDIT, Arm.RANDOM)
ROUNDING = 1e-4  # float32 propensities of many candidates may miss 1 by this much


def decision_log(path: Path, context: tuple[str, ...] = ()) -> Log:
    """The log in `path`; `context` names numeric context keys to use as features beside burden."""
    table = open_table(path, known=RECORD_TYPES)
    table.require([*REQUIRED, *LABELS])
    table.refuse_duplicates("decision_id")
    table, notes = _drawn_arms(table)
    seen = fetched(
        "SELECT DISTINCT m FROM (SELECT unnest([c.message for c in candidates]) AS m "  # noqa: S608
        f"FROM {table.source}) ORDER BY m",
        path,
    )
    arms = ("abstain", *[str(name) for (name,) in seen])
    kept = f"(SELECT * FROM {table.source} WHERE {_settled(table)})"  # noqa: S608
    _refuse_unsettled(kept, path)
    for name in context:
        _refuse_unknown(name, kept, path)
    settled = Table(path, table.types, kept)

    def read(rows: int) -> Iterator[LoggedBatch]:
        for chunk in settled.select(_expressions(table, arms, context), rows):
            yield _batch(chunk, len(arms), context)

    outcomes = {name: f"CAST({name} AS DOUBLE)" for name in OUTCOMES if name in table.types}
    return Log(
        path.name,
        arms,
        read,
        adaptive=True,
        feature_names=("burden", *context),
        unprompted=settled.unprompted("action IS NULL", outcomes),
        notes=notes,
    )


def _refuse_unsettled(source: str, path: Path) -> None:
    if not fetched(f"SELECT 1 FROM {source} LIMIT 1", path):  # noqa: S608
        raise BadInput(
            f"{path.name} holds no drawn decision that is settled, with none open before it; "
            "wait until the first attribution windows have closed and export again"
        )


def _refuse_unknown(feature: str, source: str, path: Path) -> None:
    told = f"SELECT 1 FROM {source} WHERE context[{literal(feature)}] IS NOT NULL LIMIT 1"  # noqa: S608
    if not fetched(told, path):
        raise BadInput(
            f"--feature {feature!r} stands in no context of {path.name}; expected a key that "
            "requests had: correct it"
        )


def _drawn_arms(table: Table) -> tuple[Table, tuple[str, ...]]:
    """The rows of arms that draw, and a sentence on the others; a log without arms has one."""
    if "arm" not in table.types:
        return table, ()
    counted = fetched(f"SELECT arm, count(*) FROM {table.source} GROUP BY 1 ORDER BY 1", table.path)  # noqa: S608
    others = {str(arm): rows for arm, rows in counted if arm not in DRAWN_ARMS}
    if not others:
        return table, ()
    told = ", ".join(f"{rows:,} of {arm}" for arm, rows in others.items())
    if len(others) == len(counted):
        raise BadInput(
            f"{table.path.name} holds decisions of no arm but these: {told}; expected some of "
            f"{' or '.join(DRAWN_ARMS)}, because no other policy can be weighed by a rule's rows: "
            "compare arms with `forbear arms`"
        )
    names = ", ".join(literal(arm) for arm in DRAWN_ARMS)
    kept = f"(SELECT * FROM {table.source} WHERE arm IN ({names}))"  # noqa: S608
    note = f"left out, because their actions were not drawn: {told}; see `forbear arms`"
    return Table(table.path, table.types, kept), (note,)


def _settled(table: Table) -> str:
    """The condition of a row that counts."""
    drawn = "propensity IS NOT NULL"
    if "censored" in table.types:
        drawn += " AND NOT COALESCE(censored, false)"
    still_open = f"{drawn} AND (click IS NULL OR unsubscribe IS NULL)"
    first = f'SELECT min(CAST("at" AS DOUBLE)) FROM {table.source} WHERE {still_open}'  # noqa: S608
    return f"""{drawn} AND CAST("at" AS DOUBLE) < COALESCE(({first}), 'Infinity'::DOUBLE)"""


def _expressions(table: Table, arms: tuple[str, ...], context: tuple[str, ...]) -> dict[str, str]:
    listed = "[" + ", ".join(literal(arm) for arm in arms) + "]"
    costs = "list_avg([c.annoyance.send_cost for c in candidates])"
    chosen = {
        "row_id": stable_id("decision_id"),
        "user": stable_id("user_id"),
        "at": 'CAST("at" AS DOUBLE)',
        "action": f"COALESCE(list_position({listed}, action), 1) - 1",
        "propensity": "CAST(propensity AS DOUBLE)",
        "abstain_propensity": "CAST(abstain_propensity AS DOUBLE)",
        "click": "CAST(click AS DOUBLE)",
        "unsubscribe": "CAST(unsubscribe AS DOUBLE)",
        "value": "CAST(value AS DOUBLE)",
        "send_cost": f"COALESCE({costs}, 0.0)",
        "burden": "CAST(burden AS DOUBLE)",
        "arms": f"[list_position({listed}, c.message) - 1 for c in candidates]",
    }
    for name in ("p_click", "p_unsubscribe"):
        chosen[name] = f"[CAST(c.{name} AS DOUBLE) for c in candidates]"
    chosen["law"] = "[CAST(c.propensity AS DOUBLE) for c in candidates]"
    for name in context:
        chosen[f"context:{name}"] = f"COALESCE(TRY_CAST(context[{literal(name)}] AS DOUBLE), 0.0)"
    for name in ("conversion", "p0"):
        if name in table.types:
            chosen[name] = f"COALESCE(CAST({name} AS DOUBLE), 0.0)"
    return chosen


def _batch(chunk: dict[str, AnyArray], arms: int, context: tuple[str, ...]) -> LoggedBatch:
    n = len(chunk["action"])
    spread = _Spread(chunk["arms"], arms)
    law = spread.matrix(chunk["law"])
    law[:, 0] = numbers(chunk["abstain_propensity"])
    total = law.sum(axis=1, keepdims=True)
    law = np.where(abs(total - 1.0) < ROUNDING, law / total, law)
    eligible = spread.matrix(chunk["law"], present=True) > 0.0
    eligible[:, 0] = True
    outcomes = {name: numbers(chunk[name]) for name in ("click", "unsubscribe")}
    if "conversion" in chunk:
        outcomes["conversion"] = numbers(chunk["conversion"])
    features = [numbers(chunk["burden"]), *[numbers(chunk[f"context:{name}"]) for name in context]]
    action = chunk["action"].astype(np.int64)
    return LoggedBatch(
        row_id=chunk["row_id"].astype(np.uint64),
        user=chunk["user"].astype(np.uint64),
        time=numbers(chunk["at"]),
        action=action,
        propensity=_drawn(law, action, numbers(chunk["propensity"])),
        outcomes=outcomes,
        value=numbers(chunk["value"]),
        send_cost=numbers(chunk["send_cost"]),
        pmf=law,
        eligible=eligible,
        features=np.stack(features, axis=1).reshape(n, -1),
        p0=numbers(chunk["p0"]) if "p0" in chunk else None,
        targets={
            "forecast:click": spread.matrix(chunk["p_click"]),
            "forecast:unsubscribe": spread.matrix(chunk["p_unsubscribe"]),
        },
    )


def _drawn(law: Matrix, action: AnyArray, logged: AnyArray) -> AnyArray:
    """The law's own entry where it agrees with the logged propensity, else the latter."""
    entry = law[np.arange(len(action)), action]
    return np.where(abs(entry - logged) <= ROUNDING * entry, entry, logged)


class _Spread:
    """Puts per-candidate lists of a chunk into (n, K) matrices."""

    def __init__(self, arms: AnyArray, width: int) -> None:
        self.shape = (len(arms), width)
        sizes = np.fromiter((len(each) for each in arms), np.int64, len(arms))
        self.rows = np.repeat(np.arange(len(arms)), sizes)
        self.columns = _flat(arms).astype(np.int64)

    def matrix(self, lists: AnyArray, present: bool = False) -> Matrix:
        """(n, K) values, or 1 wherever a candidate was present; 0 elsewhere."""
        found = np.zeros(self.shape)
        found[self.rows, self.columns] = 1.0 if present else _flat(lists)
        return found


def _flat(lists: AnyArray) -> np.ndarray[tuple[int], np.dtype[Any]]:
    parts = [each for each in lists if len(each)]
    return np.concatenate(parts) if parts else np.zeros(0)
