"""From sums to one judged line per policy and outcome.

Headline and interval of an outcome: IPS with the size-biased gamma interval where events are rare;
DR (SNIPS without a model) with the clustered delta interval where they are not; realised utility
from two rare parts by MOVER, the target's send cost entering exactly. A refused line carries no
number, so nothing downstream can print one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import ndtr

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
            if useful and not (name == "send_only_snips" and unprompted(self.log, self.outcome)):
                estimate = point(self.sums, policy)
                found[name] = (estimate.value, self.error(estimate))
        return found

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
