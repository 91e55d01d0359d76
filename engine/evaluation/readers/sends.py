"""Settled sends of the service's own log, in order of time: what a choice of half-life rests on.

Sends of every arm count. The log names messages but not their attributes, so a message is known by
its id alone. Rows that were censored, or still wait for a label, are left out.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.catalog import Catalog, Message
from engine.context import Hashes
from engine.errors import BadInput
from engine.evaluation.readers.record_types import RECORD_TYPES
from engine.evaluation.readers.tables import fetched, open_table
from engine.half_life import Send

REQUIRED = ("decision_id", "user_id", "at", "context", "action", "censored", "click", "unsubscribe")


def sends(path: Path, most: int) -> list[Send]:
    """The latest settled sends of the log in `path`, at most so many, oldest first."""
    table = open_table(path, known=RECORD_TYPES)
    table.require(REQUIRED)
    table.refuse_duplicates("decision_id")
    rows = fetched(
        f"""
        SELECT * FROM (
            SELECT CAST(user_id AS VARCHAR), CAST("at" AS DOUBLE) AS moment, to_json(context),
                action, CAST(click AS DOUBLE), CAST(unsubscribe AS DOUBLE)
            FROM {table.source}
            WHERE action IS NOT NULL AND NOT COALESCE(censored, false)
                AND click IS NOT NULL AND unsubscribe IS NOT NULL
            ORDER BY moment DESC LIMIT {most}
        ) ORDER BY moment
        """,  # noqa: S608 - a quoted path and a whole number
        path,
    )
    if not rows:
        raise BadInput(
            f"{path.name} holds no send whose labels are settled; wait until the first attribution "
            "windows have closed and export again"
        )
    hashes: dict[str, Hashes] = {}
    return [_send(row, hashes) for row in rows]


def _send(row: tuple[Any, ...], hashes: dict[str, Hashes]) -> Send:
    user, at, context, action, click, unsubscribe = row
    if action not in hashes:
        hashes[action] = Catalog(1, {action: Message(id=action)}).hashes(np.array([0]))[0]
    known = {key: value for key, value in json.loads(context or "{}").items() if value is not None}
    return Send(user, at, known, hashes[action], bool(click), unsubscribe)
