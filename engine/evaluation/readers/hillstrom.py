"""Hillstrom / MineThatData e-mail challenge (2008): 64,000 customers, two e-mails or none.

Where to get it: the publisher's file `Kevin_Hillstrom_MineThatData_E-MailAnalytics_...csv`, linked
from the post "The MineThatData E-Mail Analytics And Data Mining Challenge" (20 March 2008).

`visit` plays the part of the click and `spend` that of the conversion value; both also happen
without an e-mail, so abstaining earns too. There is no unsubscribe.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine.evaluation.arrays import AnyArray
from engine.evaluation.log import CHUNK_ROWS, Log, LoggedBatch, concatenate, log_in_memory
from engine.evaluation.readers.tables import numbers, open_table, quoted

ARMS = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
FEATURES = {
    "recency": "recency / 12.0",
    "history": "ln(history) / 7.0",
    "mens": "mens",
    "womens": "womens",
    "newbie": "newbie",
    "urban": "CAST(zip_code = 'Urban' AS INT)",
    "rural": "CAST(zip_code = 'Rural' AS INT)",
    "web": "CAST(channel = 'Web' AS INT)",
    "phone": "CAST(channel = 'Phone' AS INT)",
}


def hillstrom(path: Path) -> Log:
    """The 64,000 decisions; propensity exactly 1/3 for each arm."""
    table = open_table(path)
    table.require(["segment", "visit", "spend", "recency", "history", "zip_code", "channel"])
    names = ("segment", "visit", "spend")
    chosen = {name: quoted(name) for name in names} | FEATURES
    batch = concatenate(list(_batches(table.select(chosen, CHUNK_ROWS))))
    return log_in_memory(
        "hillstrom",
        ARMS,
        batch,
        named_users=False,
        feature_names=tuple(FEATURES),
        unprompted=frozenset({"click", "conversion"}),
    )


def _batches(chunks: Iterator[dict[str, AnyArray]]) -> Iterator[LoggedBatch]:
    start = 0
    for chunk in chunks:
        n = len(chunk["segment"])
        ids = np.arange(start, start + n, dtype=np.uint64)
        action = np.array([ARMS.index(name) for name in chunk["segment"]], dtype=np.int64)
        yield LoggedBatch(
            row_id=ids,
            user=ids,
            time=np.zeros(n),
            action=action,
            propensity=np.full(n, 1.0 / 3.0),
            outcomes={"click": numbers(chunk["visit"]), "conversion": numbers(chunk["spend"])},
            value=np.ones(n),
            send_cost=np.zeros(n),
            pmf=np.full((n, 3), 1.0 / 3.0),
            features=np.stack([numbers(chunk[name]) for name in FEATURES], axis=1),
        )
        start += n
