"""`price_ratio`: a decision with the price of patience over the same one without, alternating.

Three cases: one user, 32 users in one call, and one user half of whose context passes (the price
then averages over recent moments).
"""

import numpy as np

from benchmarks.latency.workload import Workload
from engine.decision import Request, UserState
from engine.moments import Kind
from engine.patience import ConstantPatience, LearnedPatience
from engine.policy import Model, Policy, decide
from service.clock import stopwatch

BATCH = 32


def measure(workload: Workload, calls: int) -> dict[str, float]:
    """Medians of the paired ratios."""
    keys = sorted(workload.contexts[0])
    lasting: dict[str, Kind] = dict.fromkeys(keys, "user")
    passing: dict[str, Kind] = lasting | dict.fromkeys(keys[::2], "moment")
    return {
        "price_ratio": _ratio(workload, lasting, 1, calls),
        "price_ratio_batch": _ratio(workload, lasting, BATCH, max(calls // BATCH, 15)),
        "price_ratio_moments": _ratio(workload, passing, 1, calls),
    }


def _ratio(workload: Workload, keys: dict[str, Kind], size: int, calls: int) -> float:
    without, priced = (
        Model(Policy(patience=patience), workload.model.snapshot, workload.model.catalog)
        for patience in (ConstantPatience(), LearnedPatience(keys=keys))
    )
    candidates = tuple(workload.model.catalog.messages)
    known = workload.contexts
    ratios = []
    for call in range(2 * calls):  # the first half warms up: kinds of users, recent moments
        asked = [
            Request(f"user-{i}", known[i % len(known)], candidates)
            for i in range(call * size, (call + 1) * size)
        ]
        ratios.append(_taken(priced, asked) / _taken(without, asked))
    return float(np.median(ratios[calls:]))


def _taken(model: Model, asked: list[Request]) -> float:
    """Seconds of one call, drawn alike with and without a price."""
    states = [UserState()] * len(asked)
    names, rng = ["00-0123"] * len(asked), np.random.default_rng(6)
    start = stopwatch()
    decide(model, asked, states, names, now=0.0, rng=rng)
    return stopwatch() - start
