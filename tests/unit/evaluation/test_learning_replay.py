"""Learners replayed on logs: same rows, order and values as by hand, and as online."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from engine.errors import BadInput
from engine.evaluation.arrays import Ids, Mask, Matrix, Vector
from engine.evaluation.learning_replay import (
    Learner,
    Replayed,
    Row,
    dr_ns,
    drawn,
    progressive,
    rejection,
    replay,
    rows_of,
    uniform,
    uniforms,
)
from engine.evaluation.log import LoggedBatch
from tests.unit.evaluation.logs import batch_of, draw, sample

ARMS, D = 4, 3


@dataclass
class Ucb1:
    """Deterministic; plays every arm once first."""

    pulls: Vector = field(default_factory=lambda: np.zeros(ARMS))
    total: Vector = field(default_factory=lambda: np.zeros(ARMS))

    def probabilities(self, features: Vector, eligible: Mask) -> Vector:  # noqa: ARG002
        mean = self.total / np.maximum(self.pulls, 1.0)
        bonus = np.sqrt(2.0 * np.log(max(self.pulls.sum(), 1.0)) / np.maximum(self.pulls, 1e-12))
        score = np.where(self.pulls == 0.0, np.inf, mean + bonus)
        best = int(np.argmax(np.where(eligible, score, -np.inf)))
        return np.asarray(np.eye(ARMS)[best])

    def learn(self, features: Vector, arm: int, reward: float) -> None:  # noqa: ARG002
        self.pulls[arm] += 1.0
        self.total[arm] += reward


@dataclass
class LinUcb:
    """One ridge regression per arm; `spread` mixes in uniform play so that weights stay small."""

    spread: float = 0.0
    a: Matrix = field(default_factory=lambda: np.tile(np.eye(D), (ARMS, 1, 1)))
    b: Matrix = field(default_factory=lambda: np.zeros((ARMS, D)))

    def probabilities(self, features: Vector, eligible: Mask) -> Vector:  # noqa: ARG002
        inverse = np.linalg.inv(self.a)
        theta = np.einsum("kij,kj->ki", inverse, self.b)
        bonus = np.sqrt(np.einsum("i,kij,j->k", features, inverse, features))
        best = int(np.argmax(theta @ features + 0.5 * bonus))
        return np.asarray((1.0 - self.spread) * np.eye(ARMS)[best] + self.spread / ARMS)

    def learn(self, features: Vector, arm: int, reward: float) -> None:
        self.a[arm] += np.outer(features, features)
        self.b[arm] += reward * features


THETA = np.array([[0.0, 0.1, 0.0], [0.6, 0.1, 0.0], [0.1, 0.6, 0.0], [0.1, 0.1, 0.5]])


def world_log(n: int, seed: int, uniform_logger: bool = True) -> LoggedBatch:
    """Contexts on the simplex, rewards Bernoulli(theta_a . x)."""
    rng = np.random.default_rng(seed)
    x = rng.dirichlet(np.ones(D), n)
    law = np.full((n, ARMS), 1.0 / ARMS)
    if not uniform_logger:
        law = 0.6 * rng.dirichlet(np.ones(ARMS), n) + 0.1
    action = draw(law, rng)
    reward = (rng.random(n) < (x * THETA[action]).sum(axis=1)).astype(float)
    made = batch_of(sample(n, k=ARMS))
    return replace(
        made,
        action=action,
        propensity=law[np.arange(n), action],
        pmf=law,
        eligible=np.ones((n, ARMS), dtype=np.bool_),
        features=x,
        outcomes={"click": reward},
    )


def world_rows(n: int, seed: int, uniform_logger: bool = True) -> list[Row]:
    return list(rows_of([world_log(n, seed, uniform_logger)], "click"))


@pytest.mark.parametrize("make", [Ucb1, LinUcb])
def test_replay_matches_the_loop_written_by_hand(make: type[Ucb1] | type[LinUcb]) -> None:
    rows = world_rows(1500, seed=1)
    mine, kept, rewards = make(), [], []
    for row in rows:
        if int(np.argmax(mine.probabilities(row.features, row.eligible))) == row.arm:
            mine.learn(row.features, row.arm, row.reward)
            kept.append(row.row_id)
            rewards.append(row.reward)
    found = replay(rows, make())
    assert tuple(kept) == found.accepted
    assert np.mean(rewards) == found.value


def test_dr_ns_given_its_uniforms_matches_the_loop_written_by_hand() -> None:
    rows = world_rows(600, seed=2, uniform_logger=False)
    mine, c, top, bottom, ratios, kept = LinUcb(0.2), 0.4, 0.0, 0.0, [], []
    for row in rows:
        law = mine.probabilities(row.features, row.eligible)
        top += c * law[row.arm] / row.propensity * row.reward
        bottom += c
        ratios.append(row.propensity / law[row.arm])
        if uniform(row.row_id, 1) < c * law[row.arm] / row.propensity:
            mine.learn(row.features, row.arm, row.reward)
            kept.append(row.row_id)
            c = min(0.4, sorted(ratios)[int(0.05 * (len(ratios) - 1))])
    found = dr_ns(rows, LinUcb(0.2), c_max=0.4, q=0.05)
    assert tuple(kept) == found.accepted
    assert top / bottom == pytest.approx(found.value, rel=1e-12)


def test_replay_refuses_a_log_that_is_not_uniform() -> None:
    with pytest.raises(BadInput, match="uniform logs only"):
        replay(world_rows(50, seed=3, uniform_logger=False), Ucb1())


def test_replay_on_an_adaptive_log_is_refused_at_its_first_uneven_row() -> None:
    rows = world_rows(50, seed=3)
    rows[20] = replace(rows[20], propensity=0.6)
    with pytest.raises(BadInput, match="row 20"):
        replay(rows, Ucb1())


def test_rejection_counts_the_rows_it_could_not_weigh_fully() -> None:
    rows = world_rows(400, seed=4, uniform_logger=False)
    assert rejection(rows, LinUcb(0.2), c=0.1 / 0.85).violations == 0
    assert rejection(rows, LinUcb(0.2), c=0.9).violations > 0


def test_the_same_rows_give_the_same_answer_however_they_are_chunked() -> None:
    log = world_log(400, seed=5)
    whole = dr_ns(rows_of([log], "click"), LinUcb(0.3))
    parts = [log.take(slice(start, start + 37)) for start in range(0, 400, 37)]
    assert whole == dr_ns(rows_of(parts, "click"), LinUcb(0.3))


def test_uniform_numbers_depend_on_the_id_not_the_order_and_look_uniform() -> None:
    ids: Ids = np.arange(100_000, dtype=np.uint64)
    u = uniforms(ids, 3)
    assert u[::-1].tolist() == uniforms(ids[::-1], 3).tolist()
    assert u[17] == uniform(17, 3)
    counts, _ = np.histogram(u, 50, (0.0, 1.0))
    assert ((counts - 2000.0) ** 2 / 2000.0).sum() < 90.0  # chi-squared 49: 90 is p = 3e-4
    assert abs(np.corrcoef(u, uniforms(ids, 4))[0, 1]) < 0.02


def test_a_law_is_drawn_by_its_cumulative_edges() -> None:
    law = np.array([0.0, 0.5, 0.0, 0.5])
    assert [drawn(law, u) for u in (0.0, 0.49, 0.5, 0.99)] == [1, 1, 3, 3]


def online(steps: int, seed: int, learner: Learner) -> float:
    """The learner itself in the world: mean reward of `steps` decisions."""
    rng = np.random.default_rng(seed)
    total = 0.0
    for x in rng.dirichlet(np.ones(D), steps):
        law = learner.probabilities(x, np.ones(ARMS, dtype=np.bool_))
        arm = drawn(law, rng.random())
        reward = float(rng.random() < THETA[arm] @ x)
        learner.learn(x, arm, reward)
        total += reward
    return total / steps


def test_a_learner_online_and_in_replay_earn_the_same_within_two_standard_errors() -> None:
    """1,200 uniform rows give about 300 steps; 12 logs each; q = 0 keeps DR-ns unbiased."""
    runs = range(12)
    by_replay = [replay(world_rows(1200, seed=100 + k), LinUcb(0.3)) for k in runs]
    uneven = [world_rows(1200, seed=200 + k, uniform_logger=False) for k in runs]
    by_dr = [dr_ns(rows, LinUcb(0.3), c_max=0.12) for rows in uneven]
    for found in (by_replay, by_dr):
        values = [result.value for result in found]
        steps = int(np.mean([len(result.accepted) for result in found]))
        truth = [online(steps, seed=300 + k, learner=LinUcb(0.3)) for k in range(40)]
        se = np.hypot(np.std(values) / len(values) ** 0.5, np.std(truth) / len(truth) ** 0.5)
        assert abs(np.mean(values) - np.mean(truth)) < 2.0 * se


def test_progressive_validation_learns_from_every_row() -> None:
    rows = world_rows(300, seed=6)
    found = progressive(rows, LinUcb(0.3))
    assert len(found.accepted) == 300
    assert 0.1 < found.value < 0.6


@dataclass
class Stubborn:
    """Takes one arm, whatever it learns."""

    arm: int

    def probabilities(self, features: Vector, eligible: Mask) -> Vector:  # noqa: ARG002
        return np.asarray(np.eye(ARMS)[self.arm])

    def learn(self, features: Vector, arm: int, reward: float) -> None:
        """Nothing to learn."""


def unanswered(found: Replayed) -> bool:
    return np.isnan(found.value) and found.se == np.inf


def test_a_learner_of_an_arm_nobody_drew_gets_no_value() -> None:
    """A model's forecast of it is no evidence either; 0.0 with an error of 0 was said before."""
    rows = [replace(row, arm=1) for row in world_rows(200, seed=7)]
    modelled = [replace(row, qhat=np.full(ARMS, 0.4)) for row in rows]
    for given in (rows, modelled):
        assert unanswered(replay(given, Stubborn(2)))
        assert unanswered(rejection(given, Stubborn(2), c=0.25))
        assert unanswered(dr_ns(given, Stubborn(2)))
        assert unanswered(progressive(given, Stubborn(2)))
        assert not unanswered(dr_ns(given, Stubborn(1)))


def test_one_row_shows_no_spread() -> None:
    row = [replace(world_rows(1, seed=8)[0], arm=1)]
    for found in (replay(row, Stubborn(1)), dr_ns(row, Stubborn(1)), progressive(row, Stubborn(1))):
        assert unanswered(found)
