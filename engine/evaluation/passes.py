"""The streaming passes over a log: borders of time, outcome models, sums.

Memory is one chunk plus, where errors are clustered, one line per user seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from engine.evaluation.arrays import Ints, Matrix, Vector
from engine.evaluation.calibration import Draws, draws_by_arm, draws_by_size
from engine.evaluation.log import Log, LoggedBatch, Prices, outcome
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
from engine.evaluation.sums import (
    PolicySums,
    Rows,
    UserSquares,
    UserSums,
    policy_and_user_sums,
    policy_sums,
)

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Totals:
    """The merged sums of the last pass, by outcome."""

    sums: dict[str, PolicySums]
    users: dict[str, UserSquares]
    by_arm: Draws | None
    by_size: Draws | None
    by_day: dict[int, Draws]  # draws by arm of each day
    binary: dict[str, bool]


def outcome_names(batch: LoggedBatch) -> list[str]:
    """Outcomes of a log; with clicks also `worth` (of the clicks) and realised `utility`."""
    names = [name for name in ("click", "unsubscribe", "conversion") if name in batch.outcomes]
    return [*names, "worth", "utility"] if "click" in names else names


def reward(batch: LoggedBatch, name: str, prices: Prices) -> Vector:
    """The column summed for an outcome; utility without its send cost, which enters exactly."""
    if name == "utility":
        free = Prices(prices.click, prices.unsubscribe, 0.0)
        return outcome(batch, "utility", free)
    if name == "worth":
        return prices.click * batch.value * batch.outcomes["click"]
    return outcome(batch, name, prices)


def totals_of(
    log: Log, policies: Sequence[TargetPolicy], settings: Settings, tell: Progress
) -> Totals:
    """Everything a comparison needs from the log."""
    folds = folding(log, settings, tell) if settings.model else None
    models = models_of(log, settings, folds, tell) if folds is not None else {}
    sums: dict[str, PolicySums] = {}
    users: dict[str, list[UserSums]] = {}
    draws: list[Draws] | None = None
    days: dict[int, Draws] = {}
    binary: dict[str, bool] = {}
    done = 0
    for batch in log.batches(settings.chunk_rows):
        targets = [policy.pmf(batch, log.arms) for policy in policies]
        fold = None if folds is None else folds(batch)
        for name in outcome_names(batch):
            rows = _rows(log, batch, name, targets, settings, qhat_of(models, name, batch, fold))
            part = _summed(rows, batch, settings, users.setdefault(name, []))
            sums[name] = sums[name] + part if name in sums else part
            zero_one = bool(((rows.reward == 0.0) | (rows.reward == 1.0)).all())
            binary[name] = binary.get(name, True) and zero_one
        draws = _more_draws(batch, draws)
        _add_days(batch, days)
        done += len(batch)
        tell("estimates", done)
    merged = {name: reduce(add, parts).squares() for name, parts in users.items() if parts}
    by_arm, by_size = draws or (None, None)
    return Totals(sums, merged, by_arm, by_size, days, binary)


def _rows(
    log: Log,
    batch: LoggedBatch,
    name: str,
    targets: list[Matrix],
    settings: Settings,
    qhat: Matrix | None,
) -> Rows:
    prices = settings.prices
    cost = batch.send_cost if prices.send is None else np.full(len(batch), prices.send)
    return Rows(
        batch.action,
        batch.propensity,
        reward(batch, name, prices),
        targets,
        qhat,
        support(batch),
        size=prices.click * batch.value if name == "worth" else None,
        send_cost=cost if name == "utility" else None,
        unprompted=unprompted(log, name),
    )


def support(batch: LoggedBatch) -> Matrix | None:
    """The logged law, 0 where the arm was not eligible; None where it was not recorded."""
    if batch.pmf is None or batch.eligible is None:
        return batch.pmf
    return np.where(batch.eligible, batch.pmf, 0.0)


def _summed(
    rows: Rows, batch: LoggedBatch, settings: Settings, users: list[UserSums]
) -> PolicySums:
    if not settings.clustered:
        return policy_sums(rows)
    part, by_user = policy_and_user_sums(rows, batch.user)
    users.append(by_user)
    if len(users) > 1 and users[-1].users.size >= users[-2].users.size / 2:
        users[-2:] = [users[-2] + users[-1]]
    return part


def _more_draws(batch: LoggedBatch, draws: list[Draws] | None) -> list[Draws] | None:
    if batch.pmf is None:
        return draws
    found = [draws_by_arm(batch.pmf, batch.action), draws_by_size(batch.pmf, batch.action)]
    return found if draws is None else [a + b for a, b in zip(draws, found, strict=True)]


def _add_days(batch: LoggedBatch, days: dict[int, Draws]) -> None:
    """Draws by arm of each day (86,400 seconds) of the batch, added to what is there."""
    if batch.pmf is None:
        return
    day = (batch.time // DAY).astype(np.int64)
    for number in np.unique(day):
        rows = day == number
        found = draws_by_arm(batch.pmf[rows], batch.action[rows])
        days[int(number)] = days[int(number)] + found if int(number) in days else found


def folding(log: Log, settings: Settings, tell: Progress) -> Callable[[LoggedBatch], Ints]:
    """Folds by user, or by stretch of time where the logger adapted."""
    if not log.adaptive:
        return user_folds
    first, last, done = np.inf, -np.inf, 0
    for batch in log.batches(settings.chunk_rows):
        first, last = min(first, batch.time.min()), max(last, batch.time.max())
        done += len(batch)
        tell("time", done)
    edges = np.linspace(first, last, 2 * FOLDS + 1)[1:-1]
    return lambda batch: time_folds(batch, edges)


def models_of(
    log: Log, settings: Settings, folds: Callable[[LoggedBatch], Ints], tell: Progress
) -> dict[str, RewardModel]:
    """A model of every outcome, fitted in one pass over all folds."""
    count = 2 * FOLDS if log.adaptive else FOLDS
    sums: dict[str, ModelSums] = {}
    done = 0
    for batch in log.batches(settings.chunk_rows):
        fold = folds(batch)
        for name in outcome_names(batch):
            r = reward(batch, name, settings.prices)
            part = model_sums(batch, r, fold, len(log.arms), count)
            sums[name] = sums[name] + part if name in sums else part
        done += len(batch)
        tell("models", done)
    solve = past_only if log.adaptive else cross_fitted
    return {name: solve(total, unprompted(log, name)) for name, total in sums.items()}


def unprompted(log: Log, name: str) -> bool:
    """Whether abstaining can earn an outcome; worth and utility follow the click."""
    return ("click" if name in ("worth", "utility") else name) in log.unprompted


def qhat_of(
    models: dict[str, RewardModel], name: str, batch: LoggedBatch, fold: Ints | None
) -> Matrix | None:
    """Model values (n, K) of an outcome for a batch, or None without models."""
    return None if fold is None else models[name].predict(batch, fold)
