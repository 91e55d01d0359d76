"""`decide_vs_vw`: one decision in process, ours against VW's, alternating call by call.

Ours: encode the context, score, price, compute the law, draw, and write the log row. VW's: build
the text of one shared and twenty action lines, parse it, predict with squarecb, draw; no record.
"""

import itertools
from typing import cast

import numpy as np
import vowpal_wabbit_next as vw

from benchmarks.latency.workload import Workload
from engine.decision import Context, Request, UserState
from engine.decision_log import to_row
from engine.policy import decide
from service.clock import stopwatch


class Vw:
    """VW cb_explore_adf with squarecb, as a caller uses it."""

    def __init__(self, workload: Workload) -> None:
        self._workspace = vw.Workspace(["--cb_explore_adf", "--squarecb", "-q", "UA", "--quiet"])
        self._parser = vw.TextFormatParser(self._workspace)
        self._actions = [
            f"|A id={m.id} category={m.attributes['category']}"
            for m in workload.model.catalog.messages.values()
        ]
        rng = np.random.default_rng(4)
        for context in workload.contexts * 4:
            chosen = int(rng.integers(len(self._actions)))
            label = f"{chosen}:{-float(rng.random() < 0.05)}:{1 / len(self._actions)} "
            lines = [self._shared(context), *self._actions]
            lines[chosen + 1] = label + lines[chosen + 1]
            self._workspace.learn_one([self._parser.parse_line(line) for line in lines])

    @staticmethod
    def _shared(context: Context) -> str:
        features = (
            f"{key}={value}" if isinstance(value, str) else f"{key}:{value}"
            for key, value in context.items()
        )
        return "shared |U " + " ".join(features)

    def decide(self, context: Context, draw: float) -> int:
        """Position of the drawn action."""
        lines = [self._shared(context), *self._actions]
        examples = [self._parser.parse_line(line) for line in lines]
        scores = cast(list[tuple[int, float]], self._workspace.predict_one(examples))
        total = 0.0
        for action, probability in scores:
            total += probability
            if draw < total:
                return action
        return scores[-1][0]


def measure(workload: Workload, calls: int) -> dict[str, float]:
    """Medians in microseconds, and VW's divided by ours."""
    peer, rng = Vw(workload), np.random.default_rng(5)
    candidates = tuple(workload.model.catalog.messages)
    ours, theirs = np.empty(calls), np.empty(calls)
    for call, context in zip(range(calls), itertools.cycle(workload.contexts), strict=False):
        start = stopwatch()
        asked = Request("user-1", context, candidates)
        (drawn,) = decide(workload.model, [asked], [UserState()], ["00-0123"], now=0.0, rng=rng)
        to_row(drawn.decision)
        middle = stopwatch()
        peer.decide(context, float(rng.random()))
        theirs[call] = stopwatch() - middle
        ours[call] = middle - start
    medians = 1e6 * float(np.median(ours)), 1e6 * float(np.median(theirs))
    return {
        "decide_us": medians[0],
        "vw_squarecb_us": medians[1],
        "decide_vs_vw": medians[1] / medians[0],
    }
