"""The coverage study: its cell-by-cell logs are the same logs, and its promises hold."""

import numpy as np
import pytest

from benchmarks.coverage import study
from benchmarks.coverage.__main__ import CLICK, UNSUBSCRIBE, summary
from benchmarks.coverage.__main__ import study as whole_study
from benchmarks.coverage.simulator import draw_logs, make_world
from engine.evaluation import estimates
from engine.evaluation.sums import Rows, policy_sums


def test_interval_from_cell_counts_is_the_interval_of_the_rows_they_stand_for() -> None:
    world = make_world(0.05, 0.01, seed=3)
    counts = draw_logs(world, 3000, 1, np.random.default_rng(3))
    segments, arms = world.logger.shape
    cells = np.repeat(np.arange(segments * arms), counts.rows[0].astype(int))
    clicked = np.concatenate(
        [np.arange(rows) < clicks for rows, clicks in zip(*_ints(counts), strict=True)]
    )
    segment, arm = np.divmod(cells, arms)
    rows = Rows(
        arm, world.logger[segment, arm], clicked.astype(float), [world.targets["far"][segment]]
    )
    expected = estimates.gamma_interval(policy_sums(rows), 0)
    found = study.gamma(study.trials(world, "far", counts)[0].cell, counts.clicks[0])
    assert [expected.lower, expected.upper] == pytest.approx([found.lower, found.upper], rel=1e-9)


def _ints(counts: object) -> tuple[list[int], list[int]]:
    return counts.rows[0].astype(int), counts.clicks[0].astype(int)  # type: ignore[attr-defined]


def test_mean_rates_of_the_log_are_the_stated_ones() -> None:
    world = make_world(CLICK, UNSUBSCRIBE, seed=0)
    assert pytest.approx(CLICK) == world.logged_rate(world.click)
    assert pytest.approx(UNSUBSCRIBE) == world.logged_rate(world.unsubscribe)


def test_default_intervals_cover_and_stay_narrow() -> None:
    """400 logs a cell: se of 0.95 is 0.011, so 0.92 allows 2.7 of them below nominal."""
    figures = summary(whole_study(logs_per_world=20))
    assert figures["least_default_coverage"] >= 0.92
    for name in ("click", "unsubscribe", "composite"):
        assert figures[f"width_ratio_{name}"] <= 0.65
