"""The streaming passes over a log or its shards: borders of time, outcome models, totals.

Each pass maps one function over the shards and adds up what comes back, so a thread pool, processes
or Ray may do the mapping: `spread` is anything shaped like the builtin `map`. Shards of one log are
logs with the same arms and facts; they may share users.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from engine.evaluation.arrays import Ints
from engine.evaluation.log import Log, LoggedBatch
from engine.evaluation.policies import TargetPolicy
from engine.evaluation.reward_model import (
    FOLDS,
    ModelSums,
    RewardModel,
    cross_fitted,
    model_sums,
    past_only,
    time_folds,
    user_folds,
)
from engine.evaluation.settings import Progress, Settings
from engine.evaluation.totals import (
    Totals,
    added,
    batch_totals,
    merged,
    outcome_names,
    reward,
    unprompted,
)

Folds = Callable[[LoggedBatch], Ints]
Spread = Callable[[Callable[[Log], Any], Iterable[Log]], Iterable[Any]]


def totals_of(
    shards: Sequence[Log],
    policies: Sequence[TargetPolicy],
    settings: Settings,
    tell: Progress,
    spread: Spread = map,
    against: int | None = None,
) -> Totals:
    """Everything a comparison needs, from all shards."""
    folds, models = nuisance(shards, settings, tell, spread)
    one = partial(_totals, policies, settings, folds, models, against, tell)
    found: Totals = merged(spread(one, shards))
    return found


def nuisance(
    shards: Sequence[Log], settings: Settings, tell: Progress, spread: Spread = map
) -> tuple[Folds | None, dict[str, RewardModel]]:
    """Folds and outcome models, or (None, {}) where none are wanted."""
    if not settings.model:
        return None, {}
    folds = _folding(shards, settings, tell, spread)
    log, total = shards[0], dict[str, ModelSums]()
    for found in spread(partial(_model_sums, settings, folds, tell), shards):
        total = added(total, found)
    solve = past_only if log.adaptive else cross_fitted
    return folds, {name: solve(sums, unprompted(log, name)) for name, sums in total.items()}


def _totals(
    policies: Sequence[TargetPolicy],
    settings: Settings,
    folds: Folds | None,
    models: Mapping[str, RewardModel],
    against: int | None,
    tell: Progress,
    log: Log,
) -> Totals:
    def parts() -> Iterable[Totals]:
        done = 0
        for batch in log.batches(settings.chunk_rows):
            fold = None if folds is None else folds(batch)
            yield batch_totals(log, batch, policies, settings, models, fold, against)
            done += len(batch)
            tell("estimates", done)

    return merged(parts())


def _folding(shards: Sequence[Log], settings: Settings, tell: Progress, spread: Spread) -> Folds:
    """Folds by user, or by stretch of time where the logger adapted."""
    if not shards[0].adaptive:
        return user_folds
    spans = list(spread(partial(_time_span, settings, tell), shards))
    first, last = min(low for low, _ in spans), max(high for _, high in spans)
    return partial(time_folds, edges=np.linspace(first, last, 2 * FOLDS + 1)[1:-1])


def _time_span(settings: Settings, tell: Progress, log: Log) -> tuple[float, float]:
    first, last, done = np.inf, -np.inf, 0
    for batch in log.batches(settings.chunk_rows):
        first, last = min(first, batch.time.min()), max(last, batch.time.max())
        done += len(batch)
        tell("time", done)
    return float(first), float(last)


def _model_sums(settings: Settings, folds: Folds, tell: Progress, log: Log) -> dict[str, ModelSums]:
    count = 2 * FOLDS if log.adaptive else FOLDS
    total: dict[str, ModelSums] = {}
    done = 0
    for batch in log.batches(settings.chunk_rows):
        fold = folds(batch)
        found = {
            name: model_sums(
                batch, reward(batch, name, settings.prices), fold, len(log.arms), count
            )
            for name in outcome_names(batch)
        }
        total = added(total, found)
        done += len(batch)
        tell("models", done)
    return total
