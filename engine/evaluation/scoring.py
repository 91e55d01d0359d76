"""From sums to one judged line per policy and outcome.

Headline and interval of an outcome: IPS with the size-biased gamma interval where events are rare;
DR (SNIPS without a model) with the clustered delta interval where they are not; realised utility
from two rare parts by MOVER, the target's send cost entering exactly. A refused line carries no
number, so nothing downstream can print one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from engine.evaluation import estimates as est
from engine.evaluation.calibration import calibration, judge_calibration, size_names
from engine.evaluation.diagnostics import (
    BELIEVED,
    Diagnostics,
    Judgement,
    Verdict,
    diagnose,
    judge,
)
from engine.evaluation.intervals import Interval, mover, normal_interval
from engine.evaluation.log import Log
from engine.evaluation.settings import Settings
from engine.evaluation.sums import REWARD, PolicySums, UserSquares
from engine.evaluation.totals import Totals, unprompted

SMALLEST_P = 1e-9  # smaller p values are printed as this
RARE_RATE = 0.05  # a 0/1 outcome below this rate in the log is treated as rare


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


def judge_log(log: Log, totals: Totals) -> Judgement:
    """What the log itself gives away: miscalibrated propensities, a logger that learned."""
    judgement = BELIEVED
    if totals.draws:
        judgement += judge_calibration(calibration(totals.draws["arm"]), log.arms)
        judgement += judge_calibration(calibration(totals.draws["size"]), size_names())
        judgement += _judge_days(log, totals)
    if log.adaptive:
        learned = "the logger adapted while it logged: fixed-sample intervals are approximate"
        judgement += Judgement(Verdict.WEAK, (learned,))
    return judgement


def _judge_days(log: Log, totals: Totals) -> Judgement:
    """The worst day's calibration by arm; its p value pays for having looked at every day."""
    if len(totals.by_day) < 2:
        return BELIEVED
    found = {day: calibration(draws) for day, draws in totals.by_day.items()}
    worst = min(found, key=lambda day: found[day].p_value)
    paid = min(1.0, found[worst].p_value * len(found))
    names = tuple(f"on day {worst}, {arm}" for arm in log.arms)
    return judge_calibration(replace(found[worst], p_value=paid), names)


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores one outcome."""

    outcome: str
    totals: Totals
    users: Mapping[str, UserSquares]  # by outcome, empty where errors are not clustered
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
        known = reference.verdict is not Verdict.REFUSE
        gaps = {
            k: self.gap(k, heads[k] - base)
            for k, name in enumerate(names)
            if known and name != against and judgements[k].verdict is not Verdict.REFUSE
        }
        adjusted = holm([gap.p_value for gap in gaps.values()])
        for (k, gap), p_value in zip(list(gaps.items()), adjusted, strict=True):
            gaps[k] = replace(gap, p_value=p_value)
        return [self.line(name, k, judgements[k], gaps.get(k)) for k, name in enumerate(names)]

    def line(self, name: str, policy: int, judged: Judgement, gap: Difference | None) -> Scored:
        """One line; refused lines carry no number."""
        diagnostics = self.diagnostics(policy)
        if judged.verdict is Verdict.REFUSE:
            return Scored(name, self.outcome, judged, diagnostics)
        value, interval = self.headline(policy).value, self.interval(policy)
        points = self.points(policy)
        return Scored(name, self.outcome, judged, diagnostics, value, interval, gap, points)

    def rare(self, name: str) -> bool:
        """Whether an outcome is made of events, whole or shared, that are rare in this log."""
        sums = self.totals.sums.get(name)
        if sums is None or name in self.totals.not_binary or unprompted(self.log, name):
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
        users = self.users.get(self.outcome)
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
        users = self.users.get(name)
        return est.gamma_interval(self.totals.sums[name], policy, self.settings.alpha, users)

    def utility_interval(self, policy: int) -> Interval:
        """MOVER of click worth and unsubscribes, less the exactly known send cost."""
        worth = est.ips(self.totals.sums["worth"], policy).value
        gained, price = self.gamma("worth", policy), self.settings.prices.unsubscribe
        lost, leaving = 0.0, Interval(0.0, 0.0)
        if "unsubscribe" in self.totals.sums:
            lost = est.ips(self.totals.sums["unsubscribe"], policy).value
            leaving = self.gamma("unsubscribe", policy)
        inner = mover(worth, gained, lost, leaving, price)
        return inner.shifted(-est.send_cost(self.sums, policy))

    def points(self, policy: int) -> dict[str, tuple[float, float]]:
        """Every estimator's value and error."""
        modelled = {"dm", "dr", "sndr"}
        found = {}
        for name, point in est.POINTS.items():
            useful = self.settings.model or name not in modelled
            if useful and not (name == "send_only_snips" and unprompted(self.log, self.outcome)):
                estimate = point(self.sums, policy)
                found[name] = (estimate.value, self.error(estimate))
        return found

    def gap(self, policy: int, difference: est.Estimate) -> Difference:
        """Paired difference with the p value at which its interval first touches 0."""

        def interval(alpha: float) -> Interval:
            if self.rare(self.outcome):
                return self.rare_gap(self.outcome, policy, alpha)
            if self.rare_parts:
                return self.utility_gap(policy, difference.value, alpha)
            return normal_interval(difference.value, self.error(difference), alpha)

        found = interval(self.settings.alpha)
        return Difference(difference.value, found, touching_level(interval))

    def rare_gap(self, name: str, policy: int, alpha: float) -> Interval:
        """Gap of a rare part to the reference."""
        return est.gap_interval(self.totals.sums[name], policy, alpha, self.users.get(name))

    def utility_gap(self, policy: int, value: float, alpha: float) -> Interval:
        """MOVER of the gaps of worth and unsubscribes; the rest of the value is exact send cost."""
        parts = {"worth": 1.0, "unsubscribe": self.settings.prices.unsubscribe}
        gaps = {
            name: self.rare_gap(name, policy, alpha) for name in parts if name in self.totals.sums
        }
        middle = {name: est.gap_value(self.totals.sums[name], policy) for name in gaps}
        lost = middle.get("unsubscribe", 0.0), gaps.get("unsubscribe", Interval(0.0, 0.0))
        inner = mover(middle["worth"], gaps["worth"], *lost, parts["unsubscribe"])
        exact = value - middle["worth"] + parts["unsubscribe"] * lost[0]
        return inner.shifted(exact)

    def diagnostics(self, policy: int) -> Diagnostics:
        """Diagnostics of this outcome's headline."""
        return diagnose(self.sums, policy, est.ips(self.sums, policy), self.rare(self.outcome))

    def judged(self, policy: int) -> Judgement:
        """The verdict on one policy; utility also inherits doubts about its clicks."""
        if est.send_rate(self.sums, policy) == 0.0 and not unprompted(self.log, self.outcome):
            return BELIEVED  # never sends, so it earns exactly nothing
        judgement = judge(self.diagnostics(policy), self.settings.limits)
        if self.rare_parts:
            clicks = est.ips(self.totals.sums["click"], policy)
            found = diagnose(self.totals.sums["click"], policy, clicks, rare=True)
            judgement += judge(found, self.settings.limits)
        return judgement


def touching_level(interval: Callable[[float], Interval]) -> float:
    """The p value that belongs to an interval: the alpha at which it first touches 0."""
    low, high = SMALLEST_P, 1.0
    if 0.0 in interval(high):
        return 1.0
    if 0.0 not in interval(low):
        return low
    for _ in range(24):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if 0.0 in interval(middle) else (low, middle)
    return high


def holm(p_values: list[float]) -> list[float]:
    """Holm-adjusted p values in the given order: comparing many policies finds one by chance."""
    order = np.argsort(p_values)
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = running
    return adjusted
