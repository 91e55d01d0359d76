"""What the bandit brought against the holdout or business as usual, per user.

Users were dealt to the arms by a hash, so the mean of an outcome per user may be compared as it is:
no weights, no model, no forecast. A user counts for the arm he was first seen in with everything he
did afterwards, also if it came to nothing or could not be sent (intention to treat). Users, not
decisions, are the units: decisions of one user hang together, and a policy changes how many there
are. Intervals are Welch's, for means of unequal variances (Welch 1947).

Before any difference is believed, the numbers of users must fit the shares (sample-ratio test,
chi-square): where they do not, something drops users of one arm, and differences mean nothing.

Limits: Welch's interval rests on the mean of many users; with fewer than `LEAST_USERS` users in
whom the outcome happened none is given. Several intervals of 95% are not all right at once with
95%.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Final

from scipy.stats import chi2
from scipy.stats import t as t_law

from engine.arms import Arm, Shares
from engine.evaluation.intervals import Interval

LEAST_USERS: Final = 10
"""Users with any of an outcome, in both arms together, from which on it is compared."""
MISMATCH: Final = 1e-3
"""A sample-ratio test below this is a fault and no accident."""
LEAST_EXPECTED: Final = 5.0
"""Expected users of an arm from which on chi-square is the law of the test."""
SUBJECTS: Final = (Arm.BANDIT, Arm.BUSINESS_AS_USUAL, Arm.RANDOM)
"""The first of these that the log has is compared with every other arm of it."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Of one outcome over the users of an arm."""

    users: int
    total: float
    squares: float
    """Sum of each user's own sum, squared."""
    touched: int
    """Users whose sum is not 0."""

    @property
    def mean(self) -> float:
        """Per user."""
        return self.total / self.users

    @property
    def squared_error(self) -> float:
        """Variance of the mean; infinite for a single user."""
        if self.users < 2:
            return inf
        spread = max(0.0, self.squares - self.total * self.mean)
        return spread / (self.users - 1) / self.users


@dataclass(frozen=True, slots=True)
class ArmUsers:
    """The users first seen in an arm, and what came of them."""

    arm: Arm
    users: int
    changed: int
    """How many of them were seen in another arm later."""
    outcomes: Mapping[str, Moments]


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean per user of one arm minus that of another."""

    outcome: str
    subject: Arm
    reference: Arm
    value: float
    interval: Interval | None
    """None: too few users in whom it happened."""
    relative: float | None
    """Of the reference's mean; None where that is not above 0."""


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Whether the arms' users fit their shares."""

    expected: Mapping[Arm, float]
    """Users by share, of all that were seen."""
    p_value: float | None
    """None: too few users to tell."""

    @property
    def mismatch(self) -> bool:
        """Whether the differences should not be trusted."""
        return self.p_value is not None and self.p_value < MISMATCH


def differences(arms: Sequence[ArmUsers], alpha: float = 0.05) -> list[Difference]:
    """The subject against each other arm, outcome by outcome; nothing where there is but one."""
    by_arm = {each.arm: each for each in arms}
    subject = next((by_arm[arm] for arm in SUBJECTS if arm in by_arm), None)
    if subject is None:
        return []
    return [
        difference(outcome, subject, other, alpha)
        for other in arms
        if other is not subject
        for outcome in subject.outcomes
    ]


def difference(
    outcome: str, subject: ArmUsers, reference: ArmUsers, alpha: float = 0.05
) -> Difference:
    """One outcome of two arms."""
    a, b = subject.outcomes[outcome], reference.outcomes[outcome]
    told = a.touched + b.touched >= LEAST_USERS
    return Difference(
        outcome=outcome,
        subject=subject.arm,
        reference=reference.arm,
        value=a.mean - b.mean,
        interval=welch(a, b, alpha) if told else None,
        relative=(a.mean - b.mean) / b.mean if b.mean > 0 else None,
    )


def welch(a: Moments, b: Moments, alpha: float = 0.05) -> Interval | None:
    """Interval of a.mean - b.mean; None with a single user or without any spread."""
    first, second = a.squared_error, b.squared_error
    both = first + second
    if not 0.0 < both < inf:
        return None
    freedom = both**2 / (first**2 / (a.users - 1) + second**2 / (b.users - 1))
    reach = float(t_law.ppf(1.0 - alpha / 2.0, freedom)) * sqrt(both)
    value = a.mean - b.mean
    return Interval(value - reach, value + reach)


def sample_ratio(users: Mapping[Arm, int], shares: Shares) -> SampleRatio:
    """Chi-square of the arms' users against their shares; p = 0 for users without a share."""
    total = sum(users.values())
    expected = {arm: share * total for arm, share in shares.by_arm().items() if share > 0}
    if any(count and arm not in expected for arm, count in users.items()):
        return SampleRatio(expected, 0.0)
    if len(expected) == 1 or min(expected.values()) < LEAST_EXPECTED:
        return SampleRatio(expected, None)
    distance = sum((users.get(arm, 0) - want) ** 2 / want for arm, want in expected.items())
    return SampleRatio(expected, float(chi2.sf(distance, len(expected) - 1)))
