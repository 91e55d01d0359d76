"""What each arm draws from, given the law of the learned policy.

Whatever the arm, the vector is the law that is drawn from and logged, so propensities are exact.
The random arm's rows can speak for any policy; a rule's propensities are 1, and its rows tell what
that rule earns and nothing of any other.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.arms import Arm
from engine.decision import Floats

LEARNED: Final = frozenset({Arm.BANDIT, Arm.SHADOW})
"""Arms in which the learned policy has its say; the others know no trial and no abstain reward."""


def law_of_arms(
    law: Floats,
    arms: Sequence[Arm],
    offered: NDArray[np.bool_],
    harmless: NDArray[np.bool_],
) -> Floats:
    """(N, K) law of each user's arm; `law` is the learned one, what misses from 1 abstaining's.

    `harmless` are the candidates whose annoyance is within the set bound: the others are left out
    of the random arm.
    """
    if LEARNED.issuperset(arms):
        return law
    laws = law.copy()
    for user, arm in enumerate(arms):
        if arm is Arm.RANDOM:
            laws[user] = harmless[user] / (1.0 + harmless[user].sum())
        elif arm is Arm.BUSINESS_AS_USUAL:
            laws[user] = 0.0
            laws[user, :1] = offered[user, :1]
        elif arm is Arm.HOLDOUT:
            laws[user] = 0.0
    return laws
