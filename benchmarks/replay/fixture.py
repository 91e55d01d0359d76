"""One million rows to be timed on, and obp's estimators where the package imports."""

import importlib
import importlib.util
import sys
import types
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.evaluation.arrays import Ints, Matrix, Vector


@dataclass(frozen=True, slots=True)
class Arrays:
    """A log in memory with one target and one outcome model."""

    logged: Matrix
    target: Matrix
    qhat: Matrix
    action: Ints
    propensity: Vector
    reward: Vector


def make_arrays(n: int, arms: int, seed: int = 0) -> Arrays:
    """Clicks at 0.5%, made in blocks so that making them takes no more memory than holding them."""
    rng = np.random.default_rng(seed)
    logged, target, qhat = (np.empty((n, arms)) for _ in range(3))
    action = np.empty(n, dtype=np.int64)
    for start in range(0, n, 100_000):
        part = slice(start, min(n, start + 100_000))
        size = part.stop - part.start
        logged[part] = _normalised(0.1 + rng.random((size, arms)))
        target[part] = _normalised(rng.random((size, arms)) ** 3)
        qhat[part] = 0.01 * rng.random((size, arms))
        edges = np.cumsum(logged[part], axis=1)
        action[part] = (edges < rng.random((size, 1)) * edges[:, -1:]).sum(axis=1)
    propensity = logged[np.arange(n), action]
    reward = (rng.random(n) < 0.005).astype(np.float64)
    return Arrays(logged, target, qhat, action, propensity, reward)


def _normalised(weights: Matrix) -> Matrix:
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def obp_estimators() -> Any | None:
    """The module obp.ope, or None; obp imports torch on start, which no estimator uses."""
    if importlib.util.find_spec("obp") is None:
        return None
    if importlib.util.find_spec("torch") is None:
        _stand_in_for_torch()
    try:
        return importlib.import_module("obp.ope")
    except ImportError:
        return None


def _stand_in_for_torch() -> None:
    for name in ("", ".nn", ".nn.functional", ".optim", ".utils", ".utils.data"):
        module = types.ModuleType(f"torch{name}")
        module.__dict__.update(__path__=[], __getattr__=_any_class)
        sys.modules[module.__name__] = module
        parent, _, leaf = module.__name__.rpartition(".")
        if parent:
            setattr(sys.modules[parent], leaf, module)


def _any_class(name: str) -> type:
    """A class of any name; the names Python itself asks of a module stay missing."""
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def obp_calls(ope: Any, made: Arrays) -> dict[str, Any]:
    """Functions that run obp's IPS and bare DR once on the arrays."""
    given = {
        "reward": made.reward,
        "action": made.action,
        "pscore": made.propensity,
        "action_dist": made.target[:, :, None],
        "estimated_rewards_by_reg_model": made.qhat[:, :, None],
    }
    ips, dr = ope.InverseProbabilityWeighting(), ope.DoublyRobust()
    return {
        "ips": lambda: float(ips.estimate_policy_value(**given)),
        "dr": lambda: float(dr.estimate_policy_value(**given)),
    }
