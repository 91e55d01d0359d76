"""The best single message, chosen honestly: on other users than those it is scored on.

Reporting the best of k messages at the value that made it best is the winner's curse. Here every
user is scored with the message that earned most, by self-normalised weighting, among the users of
the other folds, so the policy's estimate is that of "pick the best message from data like these".
"""

from collections.abc import Sequence

import numpy as np

from engine.evaluation.arrays import Ints, Matrix
from engine.evaluation.log import ABSTAIN, CHUNK_ROWS, Log, LoggedBatch, Prices, realised_utility
from engine.evaluation.policies import Computed, candidates, one_hot
from engine.evaluation.reward_model import FOLDS, user_folds

NAME = "best single message"


def best_single(shards: Sequence[Log], prices: Prices, rows: int = CHUNK_ROWS) -> Computed:
    """The cross-fitted policy; one pass over the log, or over its shards."""
    arms = len(shards[0].arms)
    earned, weight = np.zeros((FOLDS, arms)), np.zeros((FOLDS, arms))
    for log in shards:
        for batch in log.batches(rows):
            cell = user_folds(batch) * arms + batch.action
            w = 1.0 / batch.propensity
            utility = w * realised_utility(batch, prices)
            earned += np.bincount(cell, utility, FOLDS * arms).reshape(FOLDS, arms)
            weight += np.bincount(cell, w, FOLDS * arms).reshape(FOLDS, arms)
    best = best_of_other_folds(earned, weight)

    def probabilities(batch: LoggedBatch, names: tuple[str, ...]) -> Matrix:
        wanted = best[user_folds(batch)]
        able = candidates(batch, names)[np.arange(len(batch)), wanted]
        return one_hot(np.where(able, wanted, ABSTAIN), len(names))

    return Computed(NAME, probabilities)


def best_of_other_folds(earned: Matrix, weight: Matrix) -> Ints:
    """(F,) for each fold the message (never abstaining) with the largest mean in all others."""
    others, mass = earned.sum(axis=0) - earned, weight.sum(axis=0) - weight
    mean = np.divide(others, mass, out=np.full_like(others, -np.inf), where=mass > 0.0)
    mean[:, ABSTAIN] = -np.inf
    best: Ints = mean.argmax(axis=1)
    return best
