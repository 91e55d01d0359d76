"""Whether an estimate may be believed: ok, weak or refuse, with the reasons in words.

Points and intervals assume that the logged propensity is the law that was sampled and that the log
could draw whatever the target wants. Neither is visible in an interval, so it is checked here. A
refused estimate has no number: printing one with a footnote is how footnotes get lost.

The limits are starting points set on simulated logs, never on a result. Limit of the checks: a
target's support is known only where the whole logged law (or certainty, p = 1) was recorded.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from engine.evaluation.estimates import Estimate, event_error, standard_error
from engine.evaluation.sums import ONE, PolicySums, W, column

WRONG_WEIGHTS = "wrong propensities, wrong join or lost rows"
TOP_SHARE = 0.01  # share of rows, by weight, whose part of the estimate is reported


class Verdict(StrEnum):
    """What may be done with an estimate."""

    OK = "ok"
    WEAK = "weak"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a diagnostic turns an estimate weak or refused."""

    refuse_unlogged: float = 0.01
    refuse_ess: float = 200.0
    refuse_events: float = 5.0
    refuse_top_row: float = 0.25
    refuse_mean_w: float = 0.1  # |mean w - 1| beyond this, and significant
    weak_ess_share: float = 0.01
    weak_events: float = 30.0
    weak_z: float = 3.0


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What the weights of one policy look like on one outcome."""

    rows: float
    mean_w: float
    z_mean_w: float  # (mean w - 1) / se; beyond +-3: wrong propensities, wrong join or lost rows
    ess: float  # (sum w)^2 / sum w^2
    max_w: float
    zero_rows: float
    top_row_w: float  # share of sum w in the largest row
    top_row_wr: float  # share of sum |w r| in the largest row
    top_percent: float  # share of sum |w r| in the 1% of rows with the largest weights
    events: float  # effective events; nan for a dense outcome, whose spread speaks for itself
    unlogged: float  # mean target mass on arms the log could not contain
    law_known: bool  # whether the whole logged law was recorded on every row
    sure_rows: float  # share of rows logged with p = 1 whose target wanted something else
    min_p: float


def diagnose(sums: PolicySums, policy: int, estimate: Estimate, rare: bool) -> Diagnostics:
    """Diagnostics of one policy; `rare` outcomes are events, and counted in effective events."""
    n, sum_w, sum_w2 = sums.n, sums.total(policy, W), sums.product(policy, W, W)
    mean = sum_w / n
    total_wr = float(sums.weight_bins[policy, 1].sum())
    events = effective_events(estimate.value, event_error(sums, policy))
    return Diagnostics(
        rows=n,
        mean_w=mean,
        z_mean_w=_z_mean_weight(sums, policy),
        ess=sum_w**2 / sum_w2 if sum_w2 > 0.0 else 0.0,
        max_w=float(sums.max_w[policy]),
        zero_rows=float(sums.zero_w[policy]),
        top_row_w=float(sums.max_w[policy]) / sum_w if sum_w > 0.0 else 1.0,
        top_row_wr=float(sums.max_wr[policy]) / total_wr if total_wr > 0.0 else 0.0,
        top_percent=top_share(sums, policy),
        events=events if rare else float("nan"),
        unlogged=float(sums.unlogged[policy]) / n,
        law_known=sums.law_rows == n,
        sure_rows=float(sums.sure[policy]) / n,
        min_p=sums.min_p,
    )


def _z_mean_weight(sums: PolicySums, policy: int) -> float:
    n, place = sums.n, column(policy, W)
    influence = np.zeros(sums.gram.shape[0])
    excess = sums.total(policy, W) / n - 1.0
    influence[place], influence[ONE] = 1.0, -1.0 - excess
    se = standard_error(sums, Estimate(excess, influence))
    if se > 1e-12:
        return excess / se
    return 0.0 if abs(excess) < 1e-9 else float(np.copysign(np.inf, excess))


def effective_events(value: float, se: float) -> float:
    """K = V n_eff with n_eff = V (1 - V) / se^2: events of a plain sample with the same error."""
    if not (value > 0.0 and se > 0.0):
        return 0.0
    return value * value * max(0.0, 1.0 - value) / se**2


def top_share(sums: PolicySums, policy: int) -> float:
    """Share of sum |w r| in the top 1% of rows by weight, to the width of a weight bin."""
    rows, earned = sums.weight_bins[policy]
    if earned.sum() == 0.0:
        return 0.0
    above = np.cumsum(rows[::-1]) - rows[::-1]  # rows in heavier bins
    wanted = TOP_SHARE * sums.n
    part = np.clip((wanted - above) / np.maximum(rows[::-1], 1.0), 0.0, 1.0)
    return float(part @ earned[::-1] / earned.sum())


# -- the verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and the sentences that explain it."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()

    def __add__(self, other: "Judgement") -> "Judgement":
        """The stricter verdict with both sets of reasons, each once."""
        order = list(Verdict)
        worst = max(self.verdict, other.verdict, key=order.index)
        return Judgement(worst, tuple(dict.fromkeys(self.reasons + other.reasons)))


BELIEVED = Judgement(Verdict.OK)


def judge(d: Diagnostics, limits: Limits | None = None) -> Judgement:
    """The verdict on one estimate."""
    limits = limits or Limits()
    refusals, doubts = _refusals(d, limits), _doubts(d, limits)
    if refusals:
        return Judgement(Verdict.REFUSE, (*refusals, *doubts))
    return Judgement(Verdict.WEAK if doubts else Verdict.OK, tuple(doubts))


def _refusals(d: Diagnostics, limits: Limits) -> list[str]:
    spread = abs(d.mean_w - 1.0) / abs(d.z_mean_w) if d.z_mean_w else 0.0
    missing = max(d.unlogged, 0.0 if d.law_known else 1.0 - d.mean_w - limits.weak_z * spread)
    checks = [
        (
            d.sure_rows > limits.refuse_unlogged,
            f"deterministic logger: p = 1 on {d.sure_rows:.1%} of rows whose choice differs",
        ),
        (
            missing > limits.refuse_unlogged,
            f"{missing:.1%} of the policy's choices could not occur in the log",
        ),
        (
            abs(d.z_mean_w) > limits.weak_z and abs(d.mean_w - 1.0) > limits.refuse_mean_w,
            f"mean weight {d.mean_w:.3f}, not 1 (z = {d.z_mean_w:.1f}): {WRONG_WEIGHTS}",
        ),
        (d.ess < limits.refuse_ess, f"effective sample size {d.ess:.0f} of {d.rows:.0f} rows"),
        (d.events < limits.refuse_events, f"{d.events:.1f} effective events"),
        (
            max(d.top_row_w, d.top_row_wr) > limits.refuse_top_row,
            f"one row carries {max(d.top_row_w, d.top_row_wr):.0%} of the estimate",
        ),
    ]
    return [sentence for failed, sentence in checks if failed]


def _doubts(d: Diagnostics, limits: Limits) -> list[str]:
    checks = [
        (
            d.ess < limits.weak_ess_share * d.rows,
            f"effective sample size is {d.ess / d.rows:.2%} of the rows",
        ),
        (
            limits.refuse_events <= d.events < limits.weak_events,
            f"only {d.events:.0f} effective events",
        ),
        (
            abs(d.z_mean_w) > limits.weak_z and abs(d.mean_w - 1.0) <= limits.refuse_mean_w,
            f"mean weight {d.mean_w:.3f} differs from 1 (z = {d.z_mean_w:.1f})",
        ),
        (
            not d.law_known,
            "the log does not hold the whole law that was sampled: support cannot be checked",
        ),
    ]
    return [sentence for failed, sentence in checks if failed]
