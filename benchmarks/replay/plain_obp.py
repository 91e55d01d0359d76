"""What obp's IPS and DR compute, written out in numpy, for machines where obp does not import.

Leaves out obp's checks of its inputs, so it is a faster rival than obp itself: a ratio against it
is a lower bound of the ratio against the package.
"""

from typing import Any

import numpy as np

from benchmarks.replay.fixture import Arrays


def plain_calls(made: Arrays) -> dict[str, Any]:
    """Functions that run the same numpy expressions as obp's estimators."""
    n = made.action.size
    pi, q = made.target[:, :, None], made.qhat[:, :, None]

    def ips() -> float:
        position = np.zeros(n, dtype=int)
        weight = pi[np.arange(n), made.action, position] / made.propensity
        return float((made.reward * weight).mean())

    def dr() -> float:
        position = np.zeros(n, dtype=int)
        weight = pi[np.arange(n), made.action, position] / made.propensity
        factual = q[np.arange(n), made.action, position]
        base = np.average(
            q[np.arange(n), :, position], weights=pi[np.arange(n), :, position], axis=1
        )
        return float((base + weight * (made.reward - factual)).mean())

    return {"ips": ips, "dr": dr}
