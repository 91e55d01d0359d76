"""UCI Bank Marketing (2008-2013): phone outreach with the number of contacts. Observational.

Where to get it: UCI Machine Learning Repository, "Bank Marketing" (doi 10.24432/C5K306), CC BY 4.0;
`bank-additional-full.csv` or `bank-full.csv`. Cite Moro, Cortez, Rita (2014).

Nobody drew the calls, so there are no propensities and no policy value can come from it: `compare`
refuses. Its use is a warm start: features known before the call and the outcome. `duration` is
known only after the call and is left out on purpose.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine.errors import BadInput
from engine.evaluation.arrays import Matrix, Vector
from engine.evaluation.log import CHUNK_ROWS, Log, LoggedBatch, concatenate
from engine.evaluation.readers.tables import numbers, open_table

FEATURES = {
    "age": "age / 40.0",
    "contacts": "ln(campaign)",
    "contacts_before": "ln(1 + previous)",
    "bought_before": "CAST(poutcome = 'success' AS INT)",
    "cellular": "CAST(contact = 'cellular' AS INT)",
    "loan": "CAST(loan = 'yes' AS INT)",
    "housing": "CAST(housing = 'yes' AS INT)",
}


def bank_marketing(path: Path) -> Log:
    """The log, marked observational; propensities are nan because none exist."""
    table = open_table(path, delimiter=";")
    table.require(["y", "campaign", "previous", "poutcome", "contact", "loan", "housing", "age"])
    chosen = {"y": "CAST(y = 'yes' AS INT)"} | FEATURES

    def read(rows: int) -> Iterator[LoggedBatch]:
        start = 0
        for chunk in table.select(chosen, rows):
            n = len(chunk["y"])
            ids = np.arange(start, start + n, dtype=np.uint64)
            yield LoggedBatch(
                row_id=ids,
                user=ids,
                time=np.zeros(n),
                action=np.ones(n, dtype=np.int64),
                propensity=np.full(n, np.nan),
                outcomes={"conversion": numbers(chunk["y"])},
                value=np.ones(n),
                send_cost=np.zeros(n),
                features=np.stack([numbers(chunk[name]) for name in FEATURES], axis=1),
            )
            start += n

    return Log(
        path.name, ("abstain", "call"), read, randomised=False, feature_names=tuple(FEATURES)
    )


def warm_start(log: Log, outcome: str) -> tuple[Matrix, Vector]:
    """Features (n, d) and outcome (n,) of a log, for fitting a prior; no propensity is needed."""
    batch = concatenate(list(log.read(CHUNK_ROWS)))
    if batch.features is None or outcome not in batch.outcomes:
        known = ", ".join(batch.outcomes)
        raise BadInput(
            f"no warm start for {outcome!r} in {log.name}: expected features and {known}"
        )
    return batch.features, batch.outcomes[outcome]
