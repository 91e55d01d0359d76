"""Small logs with known truth for the tests of this room."""

from dataclasses import dataclass

import numpy as np

from engine.evaluation.arrays import Ints, Matrix, Vector
from engine.evaluation.log import LoggedBatch
from engine.evaluation.sums import Rows


@dataclass(frozen=True, slots=True)
class Sample:
    """Arrays of one simulated log with one target policy and a model of the outcome."""

    logged: Matrix
    target: Matrix
    action: Ints
    p: Vector
    r: Vector
    qhat: Matrix
    truth: float

    def rows(self, start: int = 0, stop: int | None = None) -> Rows:
        part = slice(start, stop)
        return Rows(
            self.action[part],
            self.p[part],
            self.r[part],
            [self.target[part], self.logged[part]],
            self.qhat[part],
            self.logged[part],
        )


def sample(n: int, k: int = 4, seed: int = 0, rate: float = 0.2, floor: float = 0.05) -> Sample:
    """Arm 0 abstains and earns nothing; arms differ; the model is off by a fifth."""
    rng = np.random.default_rng(seed)
    logged = rng.dirichlet(np.ones(k), n) * (1.0 - k * floor) + floor
    target = rng.dirichlet(np.ones(k), n)
    chance = rate * np.linspace(0.0, 2.0, k) * np.ones((n, 1))
    action = draw(logged, rng)
    r = (rng.random(n) < chance[np.arange(n), action]).astype(float)
    truth = float((target * chance).sum(axis=1).mean())
    return Sample(logged, target, action, logged[np.arange(n), action], r, 1.2 * chance, truth)


def draw(pmf: Matrix, rng: np.random.Generator) -> Ints:
    """One column per row, drawn from the row's probabilities."""
    edges = pmf.cumsum(axis=1)
    drawn: Ints = (edges < rng.random((len(pmf), 1)) * edges[:, -1:]).sum(axis=1)
    return drawn


def batch_of(made: Sample, users: int | None = None) -> LoggedBatch:
    """The same log as a batch; `users` spreads the rows over that many users."""
    n = made.action.size
    ids = np.arange(n, dtype=np.uint64)
    return LoggedBatch(
        row_id=ids,
        user=ids % np.uint64(users or n),
        time=np.arange(n, dtype=float),
        action=made.action,
        propensity=made.p,
        outcomes={"click": made.r, "unsubscribe": np.zeros(n)},
        value=np.ones(n),
        send_cost=np.zeros(n),
        pmf=made.logged,
        eligible=made.logged > 0.0,
        targets={"target": made.target},
    )
