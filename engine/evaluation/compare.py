"""Policies side by side on one log: estimates, intervals, paired differences, verdicts.

At most three streaming passes: borders of time (adaptive logs only), outcome models, sums. Memory is
one chunk plus, where errors are clustered, one line per user.

Headline and interval of an outcome: IPS with the size-biased gamma interval where events are rare;
DR (IPS without a model) with the clustered delta interval where they are not; realised utility from
two rare parts by MOVER, the target's send cost entering exactly. A refused line carries no number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import numpy as np
from scipy.special import ndtr

from engine.errors import BadInput
from engine.evaluation import estimates as est
from engine.evaluation.arrays import Ints, Matrix, Vector
from engine.evaluation.calibration import (
    Draws,
    calibration,
    draws_by_arm,
    draws_by_size,
    judge_calibration,
    size_names,
)
from engine.evaluation.diagnostics import (
    BELIEVED,
    Diagnostics,
    Judgement,
    Limits,
    Verdict,
    diagnose,
    judge,
)
from engine.evaluation.intervals import Interval, mover, normal_interval
from engine.evaluation.log import CHUNK_ROWS, Log, LoggedBatch, Prices, outcome
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
from engine.evaluation.sums import (
    REWARD,
    PolicySums,
    Rows,
    UserSums,
    policy_and_user_sums,
    policy_sums,
    require_rows,
)

RARE_RATE = 0.05  # a 0/1 outcome below this rate in the log is treated as rare
LOGGER = "the log itself"  # the reference when no policy is named
Progress = Callable[[str, int], None]  # called with the name of the pass and rows done so far


@dataclass(frozen=True, slots=True)
class Settings:
    """How to compare."""

    prices: Prices = Prices()
    alpha: float = 0.05
    model: bool = True  # fit outcome models for DM, DR, SNDR
    clustered: bool = True  # treat users, not rows, as independent
    limits: Limits = Limits()
    chunk_rows: int = CHUNK_ROWS


@dataclass(frozen=True, slots=True)
class Difference:
    """Paired difference to the reference; p_value is Holm-adjusted over the policies compared."""

    value: float
    interval: Interval
    p_value: float


@dataclass(frozen=True, slots=True)
class Scored:
    """One policy on one outcome. Refused: value, interval and difference are None, points empty."""

    policy: str
    outcome: str
    judgement: Judgement
    diagnostics: Diagnostics | None
    value: float | None = None
    interval: Interval | None = None
    difference: Difference | None = None
    points: dict[str, tuple[float, float]] = field(default_factory=dict)  # name -> (value, se)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything a report prints."""

    log: str
    rows: int
    users: int | None
    reference: str
    scored: tuple[Scored, ...]
    send_rates: dict[str, float]
    logged_means: dict[str, float]
    log_judgement: Judgement
    draws: Draws | None
    arms: tuple[str, ...]
    sums: dict[str, PolicySums]

    def line(self, policy: str, outcome_name: str) -> Scored:
        """The line of one policy on one outcome."""
        for scored in self.scored:
            if (scored.policy, scored.outcome) == (policy, outcome_name):
                return scored
        raise BadInput(
            f"nothing was scored for policy {policy!r} on {outcome_name!r}, expected one of "
            f"{sorted({(s.policy, s.outcome) for s in self.scored})}"
        )


def compare(
    log: Log,
    policies: Sequence[TargetPolicy],
    settings: Settings | None = None,
    against: str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Score every policy on every outcome of the log, against one of them or the log itself."""
    settings = settings or Settings()
    names = [policy.name for policy in policies]
    if len(set(names)) != len(names) or (against is not None and against not in names):
        raise BadInput(
            f"policies {names} compared with {against!r}: expected different names and a reference "
            "among them"
        )
    if not log.randomised:
        return _observational(log, names, against)
    tell = progress or (lambda _stage, _rows: None)
    totals = _totals(log, policies, settings, tell)
    return _scored(log, names, settings, against, totals)


def _observational(log: Log, names: list[str], against: str | None) -> Comparison:
    refusal = Judgement(
        Verdict.REFUSE,
        ("observational log: nobody drew the actions, so no policy value can come from it",),
    )
    lines = tuple(Scored(name, "utility", refusal, None) for name in names)
    return Comparison(
        log.name, 0, None, against or LOGGER, lines, {}, {}, refusal, None, log.arms, {}
    )


# -- passes


@dataclass(frozen=True, slots=True)
class Totals:
    """The merged sums of the last pass, by outcome."""

    sums: dict[str, PolicySums]
    users: dict[str, UserSums]
    by_arm: Draws | None
    by_size: Draws | None
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


def _totals(
    log: Log, policies: Sequence[TargetPolicy], settings: Settings, tell: Progress
) -> Totals:
    folds = _folding(log, settings, tell) if settings.model else None
    models = _models(log, settings, folds, tell) if folds is not None else {}
    sums: dict[str, PolicySums] = {}
    users: dict[str, list[UserSums]] = {}
    draws: list[Draws] | None = None
    binary: dict[str, bool] = {}
    done = 0
    for batch in log.batches(settings.chunk_rows):
        targets = [policy.pmf(batch, log.arms) for policy in policies]
        fold = None if folds is None else folds(batch)
        for name in outcome_names(batch):
            rows = _rows(log, batch, name, targets, settings, _qhat(models, name, batch, fold))
            part = _summed(rows, batch, settings, users.setdefault(name, []))
            sums[name] = sums[name] + part if name in sums else part
            zero_one = bool(((rows.reward == 0.0) | (rows.reward == 1.0)).all())
            binary[name] = binary.get(name, True) and zero_one
        draws = _more_draws(batch, draws)
        done += len(batch)
        tell("estimates", done)
    merged = {name: reduce(add, parts) for name, parts in users.items() if parts}
    by_arm, by_size = draws or (None, None)
    return Totals(sums, merged, by_arm, by_size, binary)


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
        unprompted=name in log.unprompted,
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


def _folding(log: Log, settings: Settings, tell: Progress) -> Callable[[LoggedBatch], Ints]:
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


def _models(
    log: Log, settings: Settings, folds: Callable[[LoggedBatch], Ints], tell: Progress
) -> dict[str, RewardModel]:
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
    earned = log.unprompted & {"click", "conversion"}
    earns = {
        name: name in earned or (name in ("worth", "utility") and bool(earned)) for name in sums
    }
    return {name: solve(total, earns[name]) for name, total in sums.items()}


def _qhat(
    models: dict[str, RewardModel], name: str, batch: LoggedBatch, fold: Ints | None
) -> Matrix | None:
    return None if fold is None else models[name].predict(batch, fold)


# -- scoring


def _scored(
    log: Log, names: list[str], settings: Settings, against: str | None, totals: Totals
) -> Comparison:
    first = next(iter(totals.sums.values()))
    require_rows(first)
    log_judgement = judge_log(log, totals.by_arm, totals.by_size)
    lines: list[Scored] = []
    for outcome_name in totals.sums:
        if outcome_name != "worth":
            scorer = Scorer(outcome_name, totals, settings, log)
            lines += scorer.lines(names, against, log_judgement)
    return Comparison(
        log=log.name,
        rows=int(first.n),
        users=next((u.users.size for u in totals.users.values()), None),
        reference=against or LOGGER,
        scored=tuple(lines),
        send_rates={name: est.send_rate(first, k) for k, name in enumerate(names)},
        logged_means={
            name: est.logged_mean(sums).value
            for name, sums in totals.sums.items()
            if name != "worth"
        },
        log_judgement=log_judgement,
        draws=totals.by_arm,
        arms=log.arms,
        sums=totals.sums,
    )


def judge_log(log: Log, by_arm: Draws | None, by_size: Draws | None) -> Judgement:
    """What the log itself gives away: miscalibrated propensities, a logger that learned."""
    judgement = BELIEVED
    if by_arm is not None and by_size is not None:
        judgement += judge_calibration(calibration(by_arm), log.arms)
        judgement += judge_calibration(calibration(by_size), size_names())
    if log.adaptive:
        learned = "the logger adapted while it logged: fixed-sample intervals are approximate"
        judgement += Judgement(Verdict.WEAK, (learned,))
    return judgement


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores one outcome."""

    outcome: str
    totals: Totals
    settings: Settings
    log: Log

    @property
    def sums(self) -> PolicySums:
        """Sums of this outcome."""
        return self.totals.sums[self.outcome]

    def lines(
        self, names: list[str], against: str | None, log_judgement: Judgement
    ) -> list[Scored]:
        """A line for every policy, differences adjusted over the policies."""
        heads = [self.headline(k) for k in range(len(names))]
        base = est.logged_mean(self.sums) if against is None else heads[names.index(against)]
        judgements = [self.judged(k) + log_judgement for k in range(len(names))]
        reference = BELIEVED if against is None else judgements[names.index(against)]
        gaps = [
            None if name == against else self.gap(head, base)
            for name, head in zip(names, heads, strict=True)
        ]
        adjusted = holm([1.0 if gap is None else gap.p_value for gap in gaps])
        return [
            self.line(name, k, judgements[k], reference, gaps[k], adjusted[k])
            for k, name in enumerate(names)
        ]

    def line(
        self,
        name: str,
        policy: int,
        judgement: Judgement,
        reference: Judgement,
        gap: Difference | None,
        p_value: float,
    ) -> Scored:
        """One line; refused lines carry no number."""
        diagnostics = self.diagnostics(policy)
        if judgement.verdict is Verdict.REFUSE:
            return Scored(name, self.outcome, judgement, diagnostics)
        if gap is not None and reference.verdict is not Verdict.REFUSE:
            gap = Difference(gap.value, gap.interval, p_value)
        else:
            gap = None
        head = self.headline(policy)
        return Scored(
            name,
            self.outcome,
            judgement,
            diagnostics,
            head.value,
            self.interval(policy),
            gap,
            self.points(policy),
        )

    def rare(self, name: str) -> bool:
        """Whether an outcome is 0/1 and rare in this log."""
        sums = self.totals.sums.get(name)
        if sums is None or not self.totals.binary[name] or name in self.log.unprompted:
            return False
        return float(sums.gram[0, REWARD]) / sums.n < RARE_RATE

    @property
    def rare_parts(self) -> bool:
        """Whether utility is made of rare parts: then MOVER, else delta."""
        parts = [name for name in ("click", "unsubscribe") if name in self.totals.sums]
        return self.outcome == "utility" and all(self.rare(name) for name in parts)

    def headline(self, policy: int) -> est.Estimate:
        """IPS for rare events; DR, or SNIPS without a model, for dense outcomes."""
        if self.rare(self.outcome) or self.rare_parts:
            return est.ips(self.sums, policy)
        return est.dr(self.sums, policy) if self.settings.model else est.snips(self.sums, policy)

    def error(self, estimate: est.Estimate) -> float:
        """Clustered error where asked for, else row-wise."""
        users = self.totals.users.get(self.outcome)
        if users is None:
            return est.standard_error(self.sums, estimate)
        return est.clustered_error(users, estimate, self.sums.n)

    def interval(self, policy: int) -> Interval:
        """The default interval of this outcome."""
        alpha = self.settings.alpha
        if self.rare(self.outcome):
            return self.gamma(self.outcome, policy)
        if self.rare_parts:
            return self.utility_interval(policy)
        head = self.headline(policy)
        return normal_interval(head.value, self.error(head), alpha)

    def gamma(self, name: str, policy: int) -> Interval:
        """Gamma interval of a rare part."""
        users = self.totals.users.get(name)
        return est.gamma_interval(self.totals.sums[name], policy, self.settings.alpha, users)

    def utility_interval(self, policy: int) -> Interval:
        """MOVER of click worth and unsubscribes, less the exactly known send cost."""
        sums, price = self.totals.sums, self.settings.prices.unsubscribe
        worth, gained = est.ips(sums["worth"], policy).value, self.gamma("worth", policy)
        paid = est.send_cost(self.sums, policy)
        lost, leaving = 0.0, Interval(0.0, 0.0)
        if "unsubscribe" in sums and price > 0.0:
            lost = est.ips(sums["unsubscribe"], policy).value
            leaving = self.gamma("unsubscribe", policy)
        inner = mover(worth, gained, lost, leaving, price)
        return Interval(inner.lower - paid, inner.upper - paid)

    def points(self, policy: int) -> dict[str, tuple[float, float]]:
        """Every estimator's value and error."""
        modelled = {"dm", "dr", "sndr"}
        found = {}
        for name, point in est.POINTS.items():
            useful = self.settings.model or name not in modelled
            if useful and not (name == "send_only_snips" and self.earns_unprompted):
                estimate = point(self.sums, policy)
                found[name] = (estimate.value, self.error(estimate))
        return found

    @property
    def earns_unprompted(self) -> bool:
        """Whether abstaining can earn this outcome."""
        return self.outcome in self.log.unprompted or (
            self.outcome == "utility" and bool(self.log.unprompted)
        )

    def gap(self, head: est.Estimate, base: est.Estimate) -> Difference:
        """Paired difference with its unadjusted two-sided p value."""
        difference = head - base
        se = self.error(difference)
        z = abs(difference.value) / se if se > 0.0 else 0.0
        interval = normal_interval(difference.value, se, self.settings.alpha)
        return Difference(difference.value, interval, float(2.0 * ndtr(-z)))

    def diagnostics(self, policy: int) -> Diagnostics:
        """Diagnostics of this outcome's headline."""
        return diagnose(self.sums, policy, est.ips(self.sums, policy), self.rare(self.outcome))

    def judged(self, policy: int) -> Judgement:
        """The verdict on one policy; utility also inherits doubts about its clicks."""
        judgement = judge(self.diagnostics(policy), self.settings.limits)
        if self.rare_parts:
            clicks = est.ips(self.totals.sums["click"], policy)
            found = diagnose(self.totals.sums["click"], policy, clicks, rare=True)
            judgement += judge(found, self.settings.limits)
        return judgement


def holm(p_values: list[float]) -> list[float]:
    """Holm-adjusted p values in the given order: comparing many policies finds one by chance."""
    order = np.argsort(p_values)
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = running
    return adjusted
