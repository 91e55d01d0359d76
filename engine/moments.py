"""What lasts and what passes: the moments a user may be met in, for expectations over the future.

A context key is `user` (country, tenure: it lasts) or `moment` (hour, hours since the last open: it
will be another next time). The value of the future is an expectation over moments; taking the one
at hand for lasting over- or undervalues it. Where nobody declares a key it is guessed: among users
met again, a moment varies nearly as much as between users, a lasting key hardly. Until enough users
have been met again, a key counts as lasting.

This is a process's own memory of recent requests, of whatever came of them: decisions that were
taught would show only the moments in which something was sent. Limit: all users share one pool.
"""

import warnings
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.catalog import Catalog
from engine.context import EncodedContext
from engine.decision import Context, Floats, Request, Value
from engine.snapshot import Snapshot

Kind: TypeAlias = Literal["user", "moment"]

POOL = 256
"""Recent moments kept."""
NODES = 6
"""Moments that stand for them in an expectation."""
MOST_LISTS = 256
"""Lists of candidates whose effects are remembered for one snapshot."""
FOLLOWED = 2048
"""Users whose contexts are compared with their last one, while kinds are being guessed."""
ENOUGH = 300
"""Comparisons after which a key's kind is guessed."""
PASSING = 0.3
"""Share of the variation between users that a key must show within users to be a moment."""


@dataclass(slots=True)
class _Variation:
    """How much a key differs within users, and between them."""

    within: float = 0.0
    between: float = 0.0
    count: int = 0


class Moments:
    """Tells moment keys from user keys, and keeps the population's recent moments."""

    def __init__(self, declared: Mapping[str, Kind] | None = None) -> None:
        self._declared = dict(declared or {})
        self._guessed: dict[str, Kind] = {}
        self._variation: dict[str, _Variation] = {}
        self._last: dict[str, Context] = {}
        self._stranger: Context = {}
        self._pool: deque[dict[str, Value]] = deque(maxlen=POOL)
        self._nodes: list[EncodedContext] = []
        self._nodes_of: Snapshot | None = None
        self._nodes_from = 0
        self._effects: dict[tuple[int, bytes], Floats] = {}
        self.keys: frozenset[str] = frozenset(
            key for key, kind in self._declared.items() if kind == "moment"
        )

    def meet(self, requests: Sequence[Request]) -> None:
        """Take note of the moments in which these users are met."""
        for request in requests:
            self._follow(request)
            if self.keys:
                context = request.context
                self._pool.append({key: context[key] for key in self.keys if key in context})

    @property
    def met(self) -> bool:
        """Whether any moment is known: a process that has not been asked yet has met none."""
        return bool(self._pool)

    def nodes(self, snapshot: Snapshot) -> list[EncodedContext]:
        """`NODES` moments that stand for the pool: means of equal parts of it, best click last.

        Logits are linear in the features, so the mean of the features has the mean of the logits.
        While no moment was met it is one without any feature, which adds nothing.
        """
        size = len(self._pool)
        fresh = self._nodes_of is snapshot and size < 2 * self._nodes_from
        if not fresh:
            self._nodes, self._nodes_of, self._nodes_from = (
                _means(self._pool, snapshot),
                snapshot,
                size,
            )
            self._effects.clear()
        return self._nodes

    def effects(self, snapshot: Snapshot, catalog: Catalog, rows: NDArray[np.int64]) -> Floats:
        """(2, Q, U) what each node adds to the logits of these messages (catalog rows, (U,))."""
        nodes, key = self.nodes(snapshot), (catalog.version, rows.tobytes())
        if key not in self._effects:
            if len(self._effects) >= MOST_LISTS:
                self._effects.clear()
            self._effects[key] = snapshot.effect(nodes, catalog.hashes(rows))
        return self._effects[key]

    def _follow(self, request: Request) -> None:
        """Compare a context with the user's last one, and with somebody else's."""
        unknown = [
            key for key in request.context if key not in self._declared and key not in self._guessed
        ]
        if not unknown:
            return
        last = self._last.get(request.user_id)
        if last is not None:
            for key in unknown:
                self._compare(key, request.context, last)
            self._stranger = request.context
        if last is not None or len(self._last) < FOLLOWED:
            self._last[request.user_id] = request.context

    def _compare(self, key: str, context: Context, last: Context) -> None:
        if key not in last or key not in self._stranger:
            return
        seen = self._variation.setdefault(key, _Variation())
        seen.within += _difference(context[key], last[key])
        seen.between += _difference(context[key], self._stranger[key])
        seen.count += 1
        if seen.count >= ENOUGH:
            self._guess(key, seen)

    def _guess(self, key: str, seen: _Variation) -> None:
        passing = seen.within > PASSING * seen.between
        self._guessed[key] = "moment" if passing else "user"
        del self._variation[key]
        if passing:
            self.keys |= {key}
            self._pool.clear()
            self._nodes_of = None  # they lack the key
            warnings.warn(
                f"context key {key!r} changes from decision to decision and is taken for a moment; "
                "declare it `user` or `moment` to settle it",
                stacklevel=2,
            )


def _means(pool: Collection[Context], snapshot: Snapshot) -> list[EncodedContext]:
    """Mean features of up to `NODES` equal parts of the pool, in order of their click effect."""
    if not pool:
        return [EncodedContext(np.zeros(0, np.uint64), np.zeros(0, np.float32))]
    # Encoded as in a context that has nothing else: what is missing of other keys is no moment.
    encoded = [snapshot.encoder.encode(moment, only=moment) for moment in pool]
    effects = snapshot.effect(encoded, np.zeros((1, 1), np.uint64))[0, :, 0]
    parts = np.array_split(np.argsort(effects, kind="stable"), min(NODES, len(encoded)))
    return [_mean([encoded[i] for i in part]) for part in parts]


def _mean(contexts: Sequence[EncodedContext]) -> EncodedContext:
    hashes = np.concatenate([context.hashes for context in contexts])
    values = np.concatenate([context.values for context in contexts])
    unique, place = np.unique(hashes, return_inverse=True)
    sums = np.bincount(place, weights=values, minlength=unique.size) / len(contexts)
    return EncodedContext(unique, sums.astype(np.float32))


def _difference(one: Value, other: Value) -> float:
    """Squared difference of numbers; 0 or 1 for anything else."""
    if isinstance(one, str) or isinstance(other, str):
        return float(one != other)
    return (float(one) - float(other)) ** 2
