"""The mergeable totals of a log: what one chunk contributes, and how chunks and shards add up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np

from engine.errors import BadInput
from engine.evaluation.arrays import Ints, Mask, Matrix, Vector
from engine.evaluation.calibration import Draws, draws_by_arm, draws_by_size
from engine.evaluation.estimators import importance_weights
from engine.evaluation.log import OUTCOMES, Log, LoggedBatch, Prices, outcome
from engine.evaluation.policies import TargetPolicy
from engine.evaluation.reward_model import RewardModel
from engine.evaluation.settings import Settings
from engine.evaluation.sums import (
    PolicySums,
    Rows,
    UserSums,
    policy_and_user_sums,
    policy_sums,
)

DAY = 86_400.0


class Addable(Protocol):
    """Anything that merges by addition."""

    def __add__(self, other: Self) -> Self: ...


Part = TypeVar("Part", bound=Addable)
Key = TypeVar("Key")


def merged(parts: Iterable[Part]) -> Part:
    """The sum of all parts, neighbours first: a row is regrouped log2(parts) times, not parts."""
    stack: list[tuple[int, Part]] = []
    for part in parts:
        rank, total = 0, part
        while stack and stack[-1][0] == rank:
            total, rank = stack.pop()[1] + total, rank + 1
        stack.append((rank, total))
    if not stack:
        raise BadInput("there is nothing to add up: give at least one log with rows")
    total = stack.pop()[1]
    while stack:
        total = stack.pop()[1] + total
    return total


def added(first: Mapping[Key, Part], second: Mapping[Key, Part]) -> dict[Key, Part]:
    """Two tables added entry by entry; an entry of one alone stays."""
    both = {key: first[key] + second[key] for key in first if key in second}
    return {**first, **second, **both}


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums by outcome, draws by group; `users` is empty where errors are not clustered."""

    sums: dict[str, PolicySums]
    users: dict[str, UserSums]
    draws: dict[str, Draws]  # "arm" and "size", where the whole law was logged
    by_day: dict[int, Draws]  # draws by arm of each day
    not_binary: frozenset[str]  # outcomes seen with a value that is no event and no part of one

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            added(self.sums, other.sums),
            added(self.users, other.users),
            added(self.draws, other.draws),
            added(self.by_day, other.by_day),
            self.not_binary | other.not_binary,
        )


def batch_totals(
    log: Log,
    batch: LoggedBatch,
    policies: Sequence[TargetPolicy],
    settings: Settings,
    models: Mapping[str, RewardModel],
    fold: Ints | None,
    against: int | None,
) -> Totals:
    """Everything one chunk contributes; gaps are to policy `against`, or to the logger."""
    targets = [policy.pmf(batch, log.arms) for policy in policies]
    base = np.ones(len(batch))
    if against is not None:
        base = importance_weights(targets[against], batch.action, batch.propensity)
    sums: dict[str, PolicySums] = {}
    users: dict[str, UserSums] = {}
    not_binary = set()
    for name in outcome_names(batch):
        qhat = qhat_of(models, name, batch, fold)
        rows = _rows(log, batch, name, targets, settings, qhat, base)
        if settings.clustered and log.named_users:
            sums[name], users[name] = policy_and_user_sums(rows, batch.user)
        else:
            sums[name] = policy_sums(rows)
        if not _events(name, rows.reward).all():
            not_binary.add(name)
    draws = {}
    if batch.pmf is not None:
        draws["arm"] = draws_by_arm(batch.pmf, batch.action)
        draws["size"] = draws_by_size(batch.pmf, batch.action)
    return Totals(sums, users, draws, _draws_by_day(batch), frozenset(not_binary))


def _events(name: str, reward: Vector) -> Mask:
    """(n,) which values are an event or none; an unsubscribe that names no send is shared out.

    The squares of shares are below those of whole events, so intervals of events hold for them.
    """
    shared: Mask = (reward >= 0.0) & (reward <= 1.0)
    whole: Mask = (reward == 0.0) | (reward == 1.0)
    return shared if name == "unsubscribe" else whole


def _draws_by_day(batch: LoggedBatch) -> dict[int, Draws]:
    """Draws by arm of each day of 86,400 seconds."""
    if batch.pmf is None:
        return {}
    day = (batch.time // DAY).astype(np.int64)
    return {
        int(number): draws_by_arm(batch.pmf[day == number], batch.action[day == number])
        for number in np.unique(day)
    }


def outcome_names(batch: LoggedBatch) -> list[str]:
    """Outcomes of a log; with clicks also `worth` (of the clicks) and realised `utility`."""
    names = [name for name in OUTCOMES if name in batch.outcomes]
    return [*names, "worth", "utility"] if "click" in names else names


def reward(batch: LoggedBatch, name: str, prices: Prices) -> Vector:
    """The column summed for an outcome; utility without its send cost, which enters exactly."""
    if name == "utility":
        free = Prices(prices.click, prices.unsubscribe, 0.0)
        return outcome(batch, "utility", free)
    if name == "worth":
        return prices.click * batch.value * batch.outcomes["click"]
    return outcome(batch, name, prices)


def _rows(
    log: Log,
    batch: LoggedBatch,
    name: str,
    targets: list[Matrix],
    settings: Settings,
    qhat: Matrix | None,
    base: Vector,
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
        reference=base,
        unprompted=unprompted(log, name),
    )


def support(batch: LoggedBatch) -> Matrix | None:
    """The logged law, 0 where the arm was not eligible; None where it was not recorded."""
    if batch.pmf is None or batch.eligible is None:
        return batch.pmf
    return np.where(batch.eligible, batch.pmf, 0.0)


def unprompted(log: Log, name: str) -> bool:
    """Whether abstaining can earn an outcome; worth and utility follow what they are made of."""
    parts = {"worth": ("click",), "utility": ("click", "unsubscribe")}.get(name, (name,))
    return not log.unprompted.isdisjoint(parts)


def qhat_of(
    models: Mapping[str, RewardModel], name: str, batch: LoggedBatch, fold: Ints | None
) -> Matrix | None:
    """Model values (n, K) of an outcome for a batch, or None without models."""
    return None if fold is None else models[name].predict(batch, fold)
