"""Upworthy Research Archive, exploratory set: thousands of randomised headline tests as counts.

Where to get it: osf.io/jd64p (Matias, Munger, Aubin Le Quere, Ebersole 2021), CC BY 4.0; aggregate
impressions and clicks per test and arm into columns test_id, randomization_risk, arm, impressions,
clicks.

Only counts: no contexts, no abstain arm. Tests of the window in which a cache broke the
randomisation (randomization_risk = 1) are dropped. The question it can answer is which arm of a
test is best, and how much of the winner's lead is luck.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.evaluation.arrays import Vector
from engine.evaluation.log import CHUNK_ROWS, Log, LoggedBatch, log_in_memory
from engine.evaluation.readers.tables import numbers, open_table


@dataclass(frozen=True, slots=True)
class CountedTest:
    """One randomised test: impressions and clicks per arm, (arms,)."""

    name: str
    impressions: Vector
    clicks: Vector


def upworthy(path: Path) -> list[CountedTest]:
    """Every test whose randomisation is not in doubt."""
    table = open_table(path)
    names = ["test_id", "randomization_risk", "arm", "impressions", "clicks"]
    table.require(names)
    chunks = list(table.select({name: name for name in names}, CHUNK_ROWS))
    read = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in names}
    clean = read["randomization_risk"] == 0
    ids = read["test_id"][clean].astype(str)
    order = np.lexsort((read["arm"][clean], ids))
    labels, starts = np.unique(ids[order], return_index=True)
    impressions = np.split(numbers(read["impressions"][clean])[order], starts[1:])
    clicks = np.split(numbers(read["clicks"][clean])[order], starts[1:])
    return [CountedTest(str(i), n, k) for i, n, k in zip(labels, impressions, clicks, strict=True)]


def counted_log(test: CountedTest) -> Log:
    """The views of one test as rows, in arm order; p = 1 / arms."""
    arms, n = test.impressions.size, int(test.impressions.sum())
    action = np.repeat(np.arange(1, arms + 1), test.impressions.astype(np.int64))
    clicked = [
        np.arange(views) < clicks
        for views, clicks in zip(test.impressions, test.clicks, strict=True)
    ]
    ids = np.arange(n, dtype=np.uint64)
    law = np.full((n, arms + 1), 1.0 / arms)
    law[:, 0] = 0.0
    batch = LoggedBatch(
        row_id=ids,
        user=ids,
        time=np.zeros(n),
        action=action,
        propensity=np.full(n, 1.0 / arms),
        outcomes={"click": np.concatenate(clicked).astype(np.float64)},
        value=np.ones(n),
        send_cost=np.zeros(n),
        pmf=law,
    )
    names = ("abstain", *[f"arm {number}" for number in range(arms)])
    return log_in_memory(test.name, names, batch, named_users=False)
