"""The one kind of world there is: probabilities whose logits add up.

    click        sigmoid( click_logit[regime, user, message] + moment . moment_effect
                          - click_fatigue[user] * burden )
    unsubscribe  sigmoid( unsubscribe_logit[regime, user, message]
                          - moment_relief * moment . moment_effect
                          + unsubscribe_fatigue[user] * burden )

A regime is a stretch of time with the same tastes and the same catalog; drift is many regimes, a
catalog change two. Moments are independent standard normal numbers, drawn afresh for each
decision, so their effect on the logits is one normal number and an expectation over moments is an
integral in one dimension (Gauss-Hermite). Limit: burden acts linearly on both logits, and moments
have no memory.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from engine.worlds.chance import Kind, normals
from engine.worlds.world import AT_ONCE, Bools, Column, Delay, Floats, Ints, Message

MOMENT_NODES = 15


@dataclass(frozen=True, slots=True)
class Population:
    """A `World` held in arrays: N users, K messages, R regimes, S steps, M moment keys."""

    name: str
    messages: tuple[Message, ...]
    values: Floats  # (N,)
    times: Floats  # (S,) days
    horizon: float  # days
    half_life: float  # days
    send_cost: float
    lasting: dict[str, Column]  # key -> (N,)
    click_logit: Floats  # (R, N, K) at burden 0, in a moment of effect 0
    unsubscribe_logit: Floats  # (R, N, K)
    click_fatigue: Floats  # (N,) click logit lost per unit of burden
    unsubscribe_fatigue: Floats  # (N,) unsubscribe logit gained per unit of burden
    regimes: Ints  # (S,) the regime of each step
    availability: Bools  # (R, K)
    presence: Floats  # (N,) probability of a decision at any one step
    moment_keys: tuple[str, ...] = ()
    moment_effect: tuple[float, ...] = ()  # (M,) click logit per unit of each moment key
    moment_relief: float = 0.0  # share of that effect by which the unsubscribe logit falls
    click_delay: Delay = AT_ONCE
    unsubscribe_delay: Delay = AT_ONCE
    daily_sends: int | None = None

    @property
    def n_users(self) -> int:
        """See `World`."""
        return len(self.values)

    @property
    def user_keys(self) -> tuple[str, ...]:
        """See `World`."""
        return tuple(self.lasting)

    def moments(self, seed: int, users: Ints, step: int) -> Floats:
        """Standard normal draws: (n, M)."""
        kinds = range(Kind.MOMENT, Kind.MOMENT + len(self.moment_keys))
        columns = [normals(seed, users, step, kind) for kind in kinds]
        return np.stack(columns, axis=1) if columns else np.zeros((len(users), 0))

    def moment_nodes(self) -> tuple[Floats, Floats]:
        """Gauss-Hermite nodes along the direction in which moments matter."""
        size = float(np.linalg.norm(self.moment_effect))
        if size == 0.0:
            return np.zeros((1, len(self.moment_keys))), np.ones(1)
        nodes, weights = np.polynomial.hermite_e.hermegauss(MOMENT_NODES)
        return np.outer(nodes, np.array(self.moment_effect) / size), weights / weights.sum()

    def context(self, users: Ints, moments: Floats) -> dict[str, Column]:
        """Lasting keys, then moment keys."""
        known = {key: column[users] for key, column in self.lasting.items()}
        return known | {key: moments[:, i] for i, key in enumerate(self.moment_keys)}

    def regime(self, step: int) -> int:
        """See `World`."""
        return int(self.regimes[step])

    def available(self, step: int) -> Bools:
        """Row of `availability`: (K,)."""
        row: Bools = self.availability[self.regimes[step]]
        return row

    def click_probability(self, users: Ints, burden: Floats, step: int, moments: Floats) -> Floats:
        """The first formula above: (n, K)."""
        shift = moments @ np.array(self.moment_effect) - self.click_fatigue[users] * burden
        p: Floats = expit(self.click_logit[self.regimes[step], users] + shift[:, None])
        return p

    def unsubscribe_probability(
        self, users: Ints, burden: Floats, step: int, moments: Floats
    ) -> Floats:
        """The second formula above: (n, K)."""
        relief = self.moment_relief * (moments @ np.array(self.moment_effect))
        shift = self.unsubscribe_fatigue[users] * burden - relief
        p: Floats = expit(self.unsubscribe_logit[self.regimes[step], users] + shift[:, None])
        return p
