"""Open Bandit Dataset, small version (ZOZO, 2019): fashion items shown in three positions.

Where to get it: it ships inside the Python package `obp` (folder `obp/dataset/obd`), and the full
version is linked from the repository st-tech/zr-obp. Cite Saito et al. (arXiv 2008.07146).

No abstain arm: column 0 stays empty. The uniform logs know their whole law; the BTS logs recorded
only the chosen item's propensity. The three rows of one impression are not independent; there is no
user id, so rows of one timestamp and context count as one user.
"""

import json
from pathlib import Path

import numpy as np
from scipy.special import betainc, expit
from scipy.special import betaincinv as beta_quantile

from engine.errors import BadInput
from engine.evaluation.arrays import AnyArray, Matrix, Vector
from engine.evaluation.log import CHUNK_ROWS, Log, LoggedBatch, log_in_memory
from engine.evaluation.policies import Computed
from engine.evaluation.readers.tables import numbers, open_table, stable_id

POSITIONS = 3
QUANTILES = 30  # grid points per item; 240 change the policy value by 1 in 2 million


def open_bandit(path: Path, items: int) -> Log:
    """One log file, e.g. `random_all.csv.gz` with 80 items."""
    table = open_table(path)
    table.require(["item_id", "position", "click", "propensity_score"])
    user = "timestamp || user_feature_0 || user_feature_1 || user_feature_2 || user_feature_3"
    chosen = {
        "item": "item_id",
        "position": "position",
        "click": "click",
        "p": "propensity_score",
        "time": "epoch(CAST(timestamp AS TIMESTAMPTZ))",
        "user": stable_id(f"({user})"),
    }
    chunks = list(table.select(chosen, CHUNK_ROWS))
    read = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chosen}
    arms = ("abstain", *[f"item {number}" for number in range(items)])
    return log_in_memory(
        path.name,
        arms,
        _batch(read, items),
        adaptive=path.name.startswith("bts"),
        feature_names=tuple(f"position {number + 1}" for number in range(POSITIONS)),
    )


def _batch(read: dict[str, AnyArray], items: int) -> LoggedBatch:
    n, p = read["item"].size, numbers(read["p"])
    position = read["position"].astype(np.int64) - 1
    offered = np.ones((n, items + 1), dtype=np.bool_)
    offered[:, 0] = False
    uniform = bool(np.allclose(p, 1.0 / items, rtol=1e-9))
    return LoggedBatch(
        row_id=np.arange(n, dtype=np.uint64),
        user=read["user"].astype(np.uint64),
        time=numbers(read["time"]),
        action=read["item"].astype(np.int64) + 1,
        propensity=p,
        outcomes={"click": numbers(read["click"])},
        value=np.ones(n),
        send_cost=np.zeros(n),
        pmf=offered / items if uniform else None,
        eligible=offered,
        features=np.eye(POSITIONS)[position],
    )


def bts_policy(priors: Path, campaign: str) -> Computed:
    """Bernoulli Thompson sampling from fixed Beta priors, as exact probabilities by position.

    theta ~ Beta(alpha, beta) per item; the three largest fill the positions in order. The published
    recipe estimates these probabilities from draws; here they are integrated, so nothing is random.
    """
    given = json.loads(priors.read_text())[campaign]
    law = top_ranks(np.array(given["alpha"]), np.array(given["beta"]))

    def probabilities(batch: LoggedBatch, arms: tuple[str, ...]) -> Matrix:
        if batch.features is None or len(arms) != law.shape[1] + 1:
            raise BadInput(
                f"the BTS policy of campaign {campaign!r} has {law.shape[1]} items, the log "
                f"{len(arms) - 1}: use the priors of the log's own campaign"
            )
        position = batch.features.argmax(axis=1)
        return np.hstack((np.zeros((len(batch), 1)), law[position]))

    return Computed("bts", probabilities)


def top_ranks(alpha: Vector, beta: Vector) -> Matrix:
    """(3, K) chance that item i has rank 1, 2, 3 among independent Beta(alpha, beta) draws.

    P(rank r) = integral of P(exactly r - 1 others exceed t) dF_i(t), on a grid of pooled quantiles.
    """
    levels = expit(np.linspace(-12.0, 12.0, QUANTILES))
    grid = np.unique(beta_quantile(alpha[:, None], beta[:, None], levels))
    below = betainc(alpha[:, None], beta[:, None], grid)  # (K, G) F_i at the grid
    between = (grid[:-1] + grid[1:]) / 2.0
    middle = np.asarray(betainc(alpha[:, None], beta[:, None], between), dtype=np.float64)
    law = np.empty((POSITIONS, alpha.size))
    for item in range(alpha.size):
        others: Matrix = np.delete(middle, item, axis=0)
        law[:, item] = _exceeding(others) @ np.diff(below[item])
    normalised: Matrix = law / law.sum(axis=1, keepdims=True)
    return normalised


def _exceeding(below: Matrix) -> Matrix:
    """(3, G) chance that exactly 0, 1, 2 of the others exceed each level; below (K - 1, G)."""
    count = np.zeros((POSITIONS, below.shape[1]))
    count[0] = 1.0
    for chance in below:
        count[1:] = count[1:] * chance + count[:-1] * (1.0 - chance)
        count[0] *= chance
    return count
