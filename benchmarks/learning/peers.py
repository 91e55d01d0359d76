"""Peers in Python: MABWiser, contextualbandits, bayesianbandits; each where it is installed.

All see what `features.py` gives, learn in one batch per step, and are scored in one call per step:
the fastest way to use them. What each can express decides what it is given:

    mabwiser-*          a reward per arm, silence being one more arm that earns 0; a send earns
                        click - L x unsubscribe - F
    contextualbandits   success or not per arm: a click of somebody who stays; a send goes out where
                        its best score exceeds a tuned threshold
    bayesianbandits     forecasts that are priced at decision time, as ours are: the click sampled
                        (Thompson), the unsubscribe at its mean, both with a full covariance over
                        user, category x user and message
"""

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from benchmarks.learning.features import Features
from benchmarks.learning.ledger import Ledger
from engine.worlds.population import Population
from engine.worlds.world import ABSTAIN_INDEX, Batch, Events, Floats, Ints

PACKAGES = ("mabwiser", "contextualbandits", "bayesianbandits")


def missing() -> list[str]:
    """Packages that are not installed."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


class Scorer(Protocol):
    """One library: scores for deciding, outcomes for learning."""

    def scores(self, x: Floats) -> Floats:
        """(n, d) -> (n, K): what sending each message is worth more than silence, as sampled."""

    def learn(self, x: Floats, arms: Ints, clicked: Floats, left: Floats) -> None:
        """Decisions whose outcome is known; arm K is silence."""


class Peer:
    """A library as a policy: the best available message where it is worth more than silence."""

    def __init__(self, world: Population, scorer: Scorer, *, teach_silence: bool) -> None:
        self._scorer, self._teach_silence = scorer, teach_silence
        self._features = Features(world)
        self._ledger: Ledger[tuple[Floats, int]] = Ledger(world)

    def act(self, batch: Batch) -> Ints:
        """Score everybody at once."""
        x = self._features.rows(batch)
        if not len(x):
            return np.zeros(0, dtype=np.int64)
        scores = np.where(batch.available, self._scorer.scores(x), -np.inf)
        actions = np.where(scores.max(axis=1) > 0.0, scores.argmax(axis=1), ABSTAIN_INDEX)
        silence = scores.shape[1]
        for i in range(len(actions)):
            arm = silence if actions[i] == ABSTAIN_INDEX else int(actions[i])
            if arm != silence or self._teach_silence:
                self._ledger.open(int(batch.users[i]), batch.step, batch.at, (x[i], arm))
        return actions

    def observe(self, events: Events, until: float) -> None:
        """Learn all that is known, in one batch."""
        closed = list(self._ledger.close(events, until))
        if closed:
            x = np.stack([row for (row, _), _, _ in closed])
            arms = np.array([arm for (_, arm), _, _ in closed])
            outcome = np.array([[clicked, left] for _, clicked, left in closed], dtype=np.float64)
            self._scorer.learn(x, arms, outcome[:, 0], outcome[:, 1])


class MabWiser:
    """Disjoint linear models, one per arm; LinTS or LinUCB."""

    def __init__(
        self, world: Population, seed: int, law: str, alpha: float, leave: float, flat: float
    ) -> None:
        mab: Any = importlib.import_module("mabwiser.mab")
        k = len(world.messages)
        self._silence, self._leave, self._flat = k, leave, flat
        self._mab = mab.MAB(list(range(k + 1)), getattr(mab.LearningPolicy, law)(alpha), seed=seed)
        self._begun = False

    def scores(self, x: Floats) -> Floats:
        """Expectations (LinTS: sampled) less silence's; before the first lesson all alike."""
        if not self._begun:
            return np.random.default_rng(0).random((len(x), self._silence))
        told = self._mab.predict_expectations(x)
        told = [told] if isinstance(told, dict) else told
        found = np.array([[one[k] for k in range(self._silence + 1)] for one in told])
        return np.asarray(found[:, :-1] - found[:, -1:])

    def learn(self, x: Floats, arms: Ints, clicked: Floats, left: Floats) -> None:
        """Rewards of sends; 0 of silence."""
        reward = np.where(arms == self._silence, 0.0, clicked - self._leave * left - self._flat)
        teach = self._mab.partial_fit if self._begun else self._mab.fit
        teach(arms.tolist(), reward, x)
        self._begun = True


class Bootstrapped:
    """Bootstrapped Thompson sampling over logistic regressions, one set per arm."""

    def __init__(self, world: Population, seed: int, threshold: float, shrinkage: float) -> None:
        online: Any = importlib.import_module("contextualbandits.online")
        linear: Any = importlib.import_module("sklearn.linear_model")
        base = linear.SGDClassifier(loss="log_loss", alpha=shrinkage, random_state=seed + 1)
        self._threshold, self._begun = threshold, False
        self._policy = online.BootstrappedTS(
            base,
            nchoices=len(world.messages),
            nsamples=10,
            batch_train=True,
            beta_prior=((1.0, 3.0), 2),
            random_state=seed + 1,
            njobs_arms=1,
        )
        self._k = len(world.messages)

    def scores(self, x: Floats) -> Floats:
        """Sampled chances of success less the threshold."""
        if not self._begun:
            return np.random.default_rng(0).random((len(x), self._k))
        return np.asarray(self._policy.decision_function(x) - self._threshold)

    def learn(self, x: Floats, arms: Ints, clicked: Floats, left: Floats) -> None:
        """A success is a click of somebody who stays."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._policy.partial_fit(x, arms, clicked * (1.0 - left))
        self._begun = True


class BayesianGlm:
    """Two logistic regressions with full covariance; click sampled, unsubscribe at its mean.

    Their priors expect one outcome in two, at which nobody would send: the first step goes to all.
    """

    def __init__(
        self, world: Population, seed: int, precision: float, leave: float, flat: float
    ) -> None:
        bandits: Any = importlib.import_module("bayesianbandits")
        make = bandits.BayesianGLM
        self._click = make(alpha=precision, random_state=seed + 1)
        self._left = make(alpha=precision, random_state=seed + 1)
        self._leave, self._flat, self._begun = leave, flat, False
        kinds = sorted({str(sorted(m.attributes.items())) for m in world.messages})
        self._kind = np.array(
            [kinds.index(str(sorted(m.attributes.items()))) for m in world.messages]
        )
        self._kinds, self._k = len(kinds), len(world.messages)

    def scores(self, x: Floats) -> Floats:
        """Sampled click less the priced unsubscribe."""
        n = len(x)
        if not self._begun:
            return np.random.default_rng(0).random((n, self._k))
        rows = self._rows(np.repeat(x, self._k, axis=0), np.tile(np.arange(self._k), n))
        click = self._click.sample(rows)[0].reshape(n, self._k)
        left = np.asarray(self._left.predict(rows)).reshape(n, self._k)
        return np.asarray(click - self._leave * left - self._flat)

    def learn(self, x: Floats, arms: Ints, clicked: Floats, left: Floats) -> None:
        """Both outcomes of every send."""
        rows = self._rows(x, arms)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says so when five steps have not converged
            self._click.partial_fit(rows, clicked)
            self._left.partial_fit(rows, left)
        self._begun = True

    def _rows(self, x: Floats, arms: Ints) -> Floats:
        """User, category x user, message; the constant counts five times: its prior is wide."""
        crossed = np.zeros((len(x), self._kinds, x.shape[1]))
        crossed[np.arange(len(x)), self._kind[arms]] = x
        own = np.eye(self._k)[arms]
        return np.concatenate([x, 4.0 * x[:, -1:], crossed.reshape(len(x), -1), own], axis=1)


def mabwiser(law: str) -> Callable[[Population, int, tuple[float, ...]], Peer]:
    """LinTS or LinUCB; setting: L, F, alpha."""

    def make(world: Population, seed: int, setting: tuple[float, ...]) -> Peer:
        leave, flat, alpha = setting
        return Peer(world, MabWiser(world, seed, law, alpha, leave, flat), teach_silence=True)

    return make


def contextual(world: Population, seed: int, setting: tuple[float, ...]) -> Peer:
    """Setting: threshold, shrinkage."""
    threshold, shrinkage = setting
    return Peer(world, Bootstrapped(world, seed, threshold, shrinkage), teach_silence=False)


def bayesian(world: Population, seed: int, setting: tuple[float, ...]) -> Peer:
    """Setting: L, F, prior precision."""
    leave, flat, precision = setting
    return Peer(world, BayesianGlm(world, seed, precision, leave, flat), teach_silence=False)
