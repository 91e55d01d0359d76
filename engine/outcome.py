"""When silence counts as "no": the delay law of an outcome, and negatives taught in slices.

What is learned must not depend on which outcome is reported sooner. Positives on arrival with
negatives at the window's end is the trap: after every burst of sends the model believes in clicks
that have merely arrived first. So a negative is taught in slices, as fast as outcomes usually
arrive, and whatever was taught of it before a late positive is made good by that positive's weight
(see `learning`). The law is a prior until `TRUSTED_AFTER` outcomes have been seen; a prior wrong by
a factor of three costs a third at worst. Clicks and their silences wait for each other until then:
a batch whose clicks are slower than the prior says would teach silences while the forecast is still
low, where they say little, and its clicks at the end, all at once.

A click waits for its decision's next slice: sends of one moment then teach their clicks and their
silences together, however the clicks were reported, and a learner that leans towards what came last
leans towards neither. It does not wait where nearly all of its silence has been taught already:
there is no other side to wait for. Nor does an unsubscribe: so rare a lesson outweighs nothing, and
what it warns of is best known at once.

Limits: delays are seen only inside the window, so the law is that of outcomes which come in time.
A click teaches later by up to one slice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.special import ndtri

HeadName: TypeAlias = Literal["click", "unsubscribe"]

TRUSTED_AFTER = 200
POINTS = (0.5, 0.8, 0.95)
"""Quantiles of the delay at which slices fall due; the last falls due when the window closes."""
MASSES = (0.5, 0.3, 0.15, 0.05)
REST = 0.1
"""A click waits for a slice while more than this mass of its silence is still to come."""

_SHORTEST, _LONGEST, _BINS = 10.0, 60 * 86400.0, 64
_EDGES = np.geomspace(_SHORTEST, _LONGEST, _BINS)


@dataclass(frozen=True, slots=True)
class Slice:
    """At `due` seconds, this much of a head's negative label is taught if no outcome came."""

    due: float
    head: HeadName
    mass: float
    """Fraction of one whole negative; the masses of a head's slices sum to 1."""


@dataclass(frozen=True, slots=True)
class DelayLaw:
    """How long after a send an outcome arrives: log-normal by belief, then by counts."""

    median: float = 7200.0
    """Seconds, of the prior law."""
    spread: float = 1.5
    """Standard deviation of the logarithm, of the prior law."""
    counts: tuple[float, ...] = (0.0,) * (_BINS + 1)

    @property
    def measured(self) -> bool:
        """Whether enough outcomes have been seen to go by them."""
        return sum(self.counts) >= TRUSTED_AFTER

    def with_delay(self, seconds: float, weight: float = 1.0) -> "DelayLaw":
        """The law after one more outcome, or after this send's share of one."""
        at = int(np.searchsorted(_EDGES, seconds))
        counts = (*self.counts[:at], self.counts[at] + weight, *self.counts[at + 1 :])
        return DelayLaw(self.median, self.spread, counts)

    def quantile(self, share: float) -> float:
        """Seconds within which this share of outcomes has arrived."""
        if not self.measured:
            return float(self.median * np.exp(self.spread * ndtri(share)))
        reached = int(np.searchsorted(np.cumsum(self.counts), share * sum(self.counts)))
        return float(_EDGES[min(reached, _BINS - 1)])

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"median": self.median, "spread": self.spread, "counts": list(self.counts)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "DelayLaw":
        """Back from plain data."""
        return cls(data["median"], data["spread"], tuple(data["counts"]))


@dataclass(frozen=True, slots=True)
class DelayLaws:
    """One law for each head."""

    click: DelayLaw = DelayLaw(median=2 * 3600.0)
    unsubscribe: DelayLaw = DelayLaw(median=8 * 3600.0)


@dataclass(frozen=True, slots=True)
class Windows:
    """How long we wait, in seconds."""

    click: float = 86400.0
    unsubscribe: float = 7 * 86400.0
    grace: float = 600.0
    """No silence counts before this: until then `not_sent` can still take the send back."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one slice of a click label teaches."""

    label: int
    weight: float
    taught: float
    """Mass of negative slices before it."""


def lessons(pieces: Sequence[Slice], came: float | None) -> list[Told]:
    """What the slices of one click label teach, in order, if the click arrived at `came`.

    It follows from the time of arrival alone, whenever the slices are looked at. The stores get
    there slice by slice and are checked against this; when they teach the click, `waits` says.
    """
    told: list[Told] = []
    taught = 0.0
    for piece in pieces:
        if came is not None and came < piece.due:
            return [*told, Told(1, 1.0, taught)]
        told.append(Told(0, piece.mass, taught))
        taught += piece.mass
    return told


def waits(pieces: Sequence[Slice], came: float) -> bool:
    """Whether a click that arrived at `came` is taught with the next of these slices, not now."""
    return sum(piece.mass for piece in pieces if piece.due > came) > REST


def slices(at: float, head: HeadName, law: DelayLaw, windows: Windows) -> tuple[Slice, ...]:
    """When a decision made at `at` teaches its negative, piece by piece; in order of time."""
    pieces: list[Slice] = []
    for wait, mass in _waits(head, law, windows):
        due = at + wait
        if pieces and pieces[-1].due == due:
            pieces[-1] = Slice(due, head, pieces[-1].mass + mass)
        else:
            pieces.append(Slice(due, head, mass))
    return tuple(pieces)


@lru_cache(maxsize=64)
def _waits(head: HeadName, law: DelayLaw, windows: Windows) -> tuple[tuple[float, float], ...]:
    """(seconds after the decision, mass) of each slice; the same for all decisions of a model."""
    window = windows.click if head == "click" else windows.unsubscribe
    times = [min(max(law.quantile(point), windows.grace), window) for point in POINTS]
    # An unsubscribe is taught on arrival, so its silence must not wait for the last of them.
    if head == "click" and not law.measured:
        times = times[-1:] * len(times)
    return tuple(zip((*times, window), MASSES, strict=True))
