"""Sparse outreach logs whose true policy values are known, drawn cell by cell.

S segments x (1 abstain + 24 messages); a static logger with an exploration share of 0.2. A row's
weight and outcome law depend only on its (segment, arm) cell, so a log of n rows is one multinomial
count over 200 cells with binomial outcomes in each: exactly the law of n independent rows, without
ever making the rows. Thousands of logs of 100,000 rows take seconds.
"""

from dataclasses import dataclass

import numpy as np

from engine.evaluation.arrays import Matrix, Vector

SEGMENTS, MESSAGES = 8, 24
EXPLORED = 0.2
SPREAD = 0.5  # sd of the log of an outcome rate between cells


@dataclass(frozen=True, slots=True)
class World:
    """Laws per (segment, arm) cell; column 0 abstains and earns nothing. All (S, K)."""

    logger: Matrix
    click: Matrix
    unsubscribe: Matrix
    targets: dict[str, Matrix]

    def truth(self, target: str, outcome: Matrix) -> float:
        """True value of a target on an outcome, per decision."""
        return float((self.targets[target] * outcome).sum(axis=1).mean())

    def logged_rate(self, outcome: Matrix) -> float:
        """True rate of an outcome in the log, per decision."""
        return float((self.logger * outcome).sum(axis=1).mean())

    def weights(self, target: str) -> Vector:
        """W of every cell, (S K,)."""
        return (self.targets[target] / self.logger).ravel()


def make_world(click: float, unsubscribe: float, seed: int) -> World:
    """A logger trained on clicks, so that it prefers arms that are clicked, and two targets.

    click, unsubscribe: mean rates in the log. near: the logger's taste, twice as sharp; far: a
    taste of its own, as sharp, which by its nature earns less than the logger does.
    """
    rng = np.random.default_rng(seed)
    shape = (SEGMENTS, MESSAGES + 1)
    appeal, offence, chance, other = rng.normal(0.0, 1.0, (4, *shape))
    taste = 0.8 * appeal + 0.6 * chance
    logger = (1.0 - EXPLORED) * _softmax(taste) + EXPLORED / (MESSAGES + 1)
    targets = {"near": _softmax(2.0 * taste), "far": _softmax(2.0 * other)}
    clicks, leaves = _rates(click, appeal, logger), _rates(unsubscribe, offence, logger)
    return World(logger, clicks, leaves, targets)


def _softmax(score: Matrix) -> Matrix:
    odds = np.exp(score)
    pmf: Matrix = odds / odds.sum(axis=1, keepdims=True)
    return pmf


def _rates(mean: float, effect: Matrix, logger: Matrix) -> Matrix:
    """Log-normal rates over cells whose mean in the log is `mean`; abstaining earns nothing."""
    rates = np.exp(SPREAD * effect)
    rates[:, 0] = 0.0
    scaled: Matrix = mean * rates / (logger * rates).sum(axis=1).mean()
    return scaled


@dataclass(frozen=True, slots=True)
class Counts:
    """Many logs at once: rows, clicks and unsubscribes per cell, each (logs, S K)."""

    rows: Matrix
    clicks: Matrix
    unsubscribes: Matrix


def draw_logs(world: World, n: int, logs: int, rng: np.random.Generator) -> Counts:
    """`logs` independent logs of n rows."""
    cells = (world.logger / SEGMENTS).ravel()
    rows = rng.multinomial(n, cells / cells.sum(), logs)
    clicks = rng.binomial(rows, world.click.ravel())
    unsubscribes = rng.binomial(rows, world.unsubscribe.ravel())
    return Counts(rows.astype(float), clicks.astype(float), unsubscribes.astype(float))
