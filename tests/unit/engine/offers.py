"""Options to choose among, written by hand or generated."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from engine.decision import Floats
from engine.exploration import Explorer, Options, as_logged, rounded, with_floor
from engine.valuation import abstain_reward

Entry = TypeVar("Entry", bound=np.generic)


def offer(
    mean: Sequence[float],
    own: Sequence[float],
    cost: Sequence[float],
    *,
    shared: float = 0.0,
    value: float = 1.0,
    p0: float = 0.0,
    rho: float = 1.0,
) -> Options:
    """One user's options; net and the abstain reward follow."""
    net = value * (expit(np.array(mean, float)) - p0) - np.array(cost, float)
    offered = np.ones((1, len(mean)), np.bool_)
    return Options(
        mean=np.array([mean], float),
        shared=np.array([shared]),
        own=np.array([own], float),
        cost=np.array([cost], float),
        net=net[None],
        value=np.array([value]),
        p0=np.array([p0]),
        abstain_reward=abstain_reward(net[None], offered, rho),
        offered=offered,
    )


def with_rho(options: Options, rho: float) -> Options:
    """The same options, silence rewarded by another share of the shortfall."""
    return replace(options, abstain_reward=abstain_reward(options.net, options.offered, rho))


def permuted(options: Options, order: Sequence[int]) -> Options:
    """The candidates in another order."""
    columns = {
        name: getattr(options, name)[:, list(order)]
        for name in ("mean", "own", "cost", "net", "offered")
    }
    return replace(options, **columns)


def together(offers: Sequence[Options]) -> Options:
    """Many users in one batch, padded to the longest list of candidates."""
    width = max(one.mean.shape[1] for one in offers)

    def padded(columns: Sequence[NDArray[Entry]]) -> NDArray[Entry]:
        return np.concatenate([np.pad(c, ((0, 0), (0, width - c.shape[1]))) for c in columns])

    return Options(
        mean=padded([one.mean for one in offers]),
        shared=np.concatenate([one.shared for one in offers]),
        own=padded([one.own for one in offers]),
        cost=padded([one.cost for one in offers]),
        net=padded([one.net for one in offers]),
        value=np.concatenate([one.value for one in offers]),
        p0=np.concatenate([one.p0 for one in offers]),
        abstain_reward=np.concatenate([one.abstain_reward for one in offers]),
        offered=padded([one.offered for one in offers]),
    )


def as_drawn(explorer: Explorer, options: Options, floor: float = 0.01) -> tuple[Floats, Floats]:
    """What the policy draws from: messages (N, K) and abstain (N,); harmless up to a cost of 0.02.

    A tighter bound than the default one, so that generated offers fall on both sides of it.
    """
    harmless = options.offered & (options.cost <= 0.02) & (options.value > 0)[:, None]
    return as_logged(with_floor(rounded(explorer.probabilities(options)), harmless, floor))


def _floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


@st.composite
def offers(draw: st.DrawFn, least: int = 0, most: int = 20) -> Options:
    """Realistic options of one user: own/shared at least 0.3, or nothing shared, or steps."""
    size = draw(st.integers(least, most))
    mean = draw(st.lists(_floats(-7.0, 1.0), min_size=size, max_size=size))
    cost = draw(st.lists(_floats(0.0, 0.5), min_size=size, max_size=size))
    width = st.one_of(st.just(0.05), st.just(1.5), _floats(0.03, 2.0))
    own = draw(st.lists(width, min_size=size, max_size=size))
    shared = draw(st.one_of(st.just(0.0), _floats(0.0, min(own, default=1.0) / 0.3)))
    if shared == 0.0:
        certain = draw(st.sets(st.integers(0, max(size - 1, 0)), max_size=size))
        own = [0.0 if k in certain else width for k, width in enumerate(own)]
    return offer(
        mean,
        own,
        cost,
        shared=shared,
        value=draw(st.sampled_from([1.0, 0.1, 7.0])),
        p0=draw(st.sampled_from([0.0, 0.0, 0.02])),
        rho=draw(st.sampled_from([0.0, 0.5, 1.0])),
    )
