"""Duolingo's sleeping, recovering bandit (Yancey and Settles, KDD 2020, the Recovering Difference
Softmax Algorithm), learning online.

    s_m    = (mu+_m - mu-_m) / mu-_m     mu+: mean click of rounds where m was sent; mu-: of those
                                         where it could have been and another was; both weighted by
                                         the inverse of the probability of what was sent
    s*_m   = s_m - gamma 2^(-d / 15)     d: days since this user was sent m; none: no penalty
    P(m)   proportional to exp(s*_m / tau) over the messages that are awake

Differences: s_m is shrunk by n / (n + 105), a rule of thumb for their shrinkage; rewards are clicks
at once, theirs arrive the next day; gamma and tau are tuned to the world. Silence is no arm of
theirs, one message is sent in every round; a round is therefore due only after a tuned number of
days since the user's last. The scores know neither context nor burden.
"""

import numpy as np

from benchmarks.learning.ledger import Ledger
from engine.worlds.chance import Kind, uniforms
from engine.worlds.population import Population
from engine.worlds.world import ABSTAIN_INDEX, Batch, Bools, Events, Floats, Ints

RECOVERY_DAYS = 15.0
SHRINKAGE = 105.0


class SleepingRecovering:
    """One message per round, a round every so many days."""

    def __init__(self, world: Population, seed: int, gap: float, gamma: float, tau: float) -> None:
        self._world, self._seed, self._gap = world, seed, gap
        self._gamma, self._tau = gamma, tau
        k = len(world.messages)
        self._sent = np.full((world.n_users, k), -np.inf)  # day of the last send of each message
        self._own, self._others = np.zeros((2, k)), np.zeros((2, k))  # weights, weighted clicks
        self._count = np.zeros(k)
        self._ledger: Ledger[tuple[int, float, Bools]] = Ledger(world)

    def act(self, batch: Batch) -> Ints:
        """Draw from the softmax for those whose round it is."""
        users = batch.users
        due = batch.at - self._sent[users].max(axis=1) >= self._gap - 1e-9
        law = self._law(batch)
        drawn = uniforms(self._seed, users, batch.step, Kind.POLICY)
        picked = (law.cumsum(axis=1) <= drawn[:, None]).sum(axis=1).clip(max=law.shape[1] - 1)
        actions = np.where(due, picked, ABSTAIN_INDEX)
        for i in np.flatnonzero(actions != ABSTAIN_INDEX).tolist():
            user, m = int(users[i]), int(actions[i])
            self._sent[user, m] = batch.at
            what = (m, float(law[i, m]), batch.available)
            self._ledger.open(user, batch.step, batch.at, what)
        return actions

    def observe(self, events: Events, until: float) -> None:
        """Count clicks for the message that was sent and for those that were not."""
        for (m, chance, available), clicked, _ in self._ledger.close(events, until):
            told = np.array([1.0, float(clicked)]) / max(chance, 1e-3)
            self._own[:, m] += told
            self._count[m] += 1
            others = available.copy()
            others[m] = False
            self._others[:, others] += told[:, None]

    def scores(self) -> Floats:
        """(K,) s_m; 0 while nothing is known."""
        mu = [
            np.divide(c, w, out=np.zeros_like(w), where=w > 0) for w, c in (self._own, self._others)
        ]
        known = (mu[1] > 0) & (self._count > 0)
        raw = np.divide(mu[0] - mu[1], mu[1], out=np.zeros_like(mu[0]), where=known)
        shrunk: Floats = raw * self._count / (self._count + SHRINKAGE)
        return shrunk

    def _law(self, batch: Batch) -> Floats:
        days = batch.at - self._sent[batch.users]
        score = self.scores() - self._gamma * 2.0 ** (-days / RECOVERY_DAYS)
        score = np.where(batch.available, score, -np.inf) / self._tau
        raised = np.exp(score - score.max(axis=1, keepdims=True))
        law: Floats = raised / raised.sum(axis=1, keepdims=True)
        return law
