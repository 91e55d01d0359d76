"""The streaming state behind every estimate: sums that merge by addition.

For one outcome and P policies a row becomes a short vector z: (1, r), and for each policy the
columns named below. The Gram matrix sum z z^T holds every sum that points, standard
errors, paired differences and gamma intervals need, so days, shards and engines agree by adding
their matrices. Grouped by user first, the same matrix gives the clustered errors.

Limit: second moments are taken about 0, so an outcome whose mean is 1e5 times its spread loses
digits: centre it first. Memory: O(chunk), plus O(users) where errors are clustered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.errors import BadInput
from engine.evaluation.arrays import AnyArray, Ids, Ints, Matrix, Vector
from engine.evaluation.estimators import checked_totals, places
from engine.evaluation.log import ABSTAIN

# Columns before the policies': 1, the outcome r.
ONE, REWARD, SHARED = 0, 1, 2
# Columns of one policy: w; w r; v; w (r - q); w times the size of the event where one can be earned
# (anywhere but on an abstention); chance of sending, known exactly.
W, WR, V, WD, WE, SEND = range(6)
PER_POLICY = 6
# Where sends have a cost, a block follows: the cost the logger paid, then each policy's expected
# cost, which is known exactly, so no weight and no noise enters it.
# Columns of one policy against a reference, after all others: the weight it has more and the weight
# it has less than the reference where the event can be earned; the same two times r. The events
# behind the two sides are different rows, which is what makes a gap of rare events tractable.
MORE, LESS, MORE_R, LESS_R = range(4)
PER_GAP = 4

SERIAL_PRODUCT = 1 << 18  # multiplications below which OpenBLAS starts no threads
BINS_PER_OCTAVE_BITS = 5
LOWEST_OCTAVE, OCTAVES = -32, 64
BINS = OCTAVES << BINS_PER_OCTAVE_BITS


def column(policy: int, which: int) -> int:
    """Place of a policy's column in z."""
    return SHARED + PER_POLICY * policy + which


def paid_column(policies: int) -> int:
    """Place of the send cost the logger paid, present when the rows had one."""
    return SHARED + PER_POLICY * policies


def cost_column(policies: int, policy: int) -> int:
    """Place of a policy's expected send cost, present when the rows had one."""
    return paid_column(policies) + 1 + policy


def gap_column(policies: int, policy: int, which: int, priced: bool) -> int:
    """Place of a policy's gap column in z, present when the rows had a reference."""
    start = cost_column(policies, policies) if priced else paid_column(policies)
    return start + PER_GAP * policy + which


@dataclass(frozen=True, slots=True)
class Rows:
    """What one chunk contributes for one outcome; everything below `targets` may be missing."""

    action: Ints
    propensity: Vector
    reward: Vector
    targets: Sequence[Matrix]
    qhat: Matrix | None = None
    logged: Matrix | None = None  # (n, K) logged law, to measure the unlogged mass
    size: Vector | None = None  # (n,) what one event is worth, where r = size * event; else 1
    send_cost: Vector | None = None  # (n,) cost of one send, to be taken off the outcome
    reference: Vector | None = None  # (n,) weights to take gaps to; ones: the logger itself
    unprompted: bool = False  # the outcome also happens without a send: abstaining can earn it


@dataclass(frozen=True, slots=True)
class PolicySums:
    """Mergeable state of P policies on one outcome; m = 2 + 6 P and the blocks there are."""

    gram: Matrix  # (m, m) sum of z z^T
    max_w: Vector  # (P,)
    max_wr: Vector  # (P,) largest |w r|
    zero_w: Vector  # (P,) rows with w = 0
    unlogged: Vector  # (P,) target mass on arms the logger could not draw (a floor if unknown)
    sure: Vector  # (P,) rows logged with p = 1 whose target wants something else too
    law_rows: float  # rows whose whole logged law was known
    min_p: float
    weight_bins: Matrix  # (P, 2, BINS) rows and sum |w r| by log2 of w
    priced: bool  # whether sends had a cost to be taken off

    def __add__(self, other: "PolicySums") -> "PolicySums":
        return PolicySums(
            self.gram + other.gram,
            np.maximum(self.max_w, other.max_w),
            np.maximum(self.max_wr, other.max_wr),
            self.zero_w + other.zero_w,
            self.unlogged + other.unlogged,
            self.sure + other.sure,
            self.law_rows + other.law_rows,
            min(self.min_p, other.min_p),
            self.weight_bins + other.weight_bins,
            self.priced,
        )

    @property
    def n(self) -> float:
        """Rows."""
        return float(self.gram[ONE, ONE])

    @property
    def policies(self) -> int:
        """Number of policies P."""
        return self.max_w.size

    def total(self, policy: int, which: int) -> float:
        """Sum over rows of one column of a policy."""
        return float(self.gram[ONE, column(policy, which)])

    def product(self, policy: int, first: int, second: int) -> float:
        """Sum over rows of the product of two columns of a policy."""
        return float(self.gram[column(policy, first), column(policy, second)])


def policy_sums(rows: Rows) -> PolicySums:
    """The state of one chunk."""
    return _summed(rows, features(rows))


def policy_and_user_sums(rows: Rows, user: Ids) -> tuple[PolicySums, "UserSums"]:
    """The state of one chunk, and the same grouped by user; user (n,)."""
    z = features(rows)
    return _summed(rows, z), user_sums(user, z)


def features(rows: Rows) -> Matrix:
    """Z transposed, (m, n): one contiguous line per column."""
    count, priced = len(rows.targets), rows.send_cost is not None
    width = gap_column(count, 0 if rows.reference is None else count, 0, priced)
    z = np.empty((width, rows.action.size))
    sent = (rows.action != ABSTAIN).astype(np.float64)
    can_earn = np.ones_like(sent) if rows.unprompted else sent
    z[ONE], z[REWARD] = 1.0, rows.reward
    if rows.send_cost is not None:
        z[paid_column(count)] = rows.send_cost * sent
    drawn = places(rows.action, rows.targets[0].shape[1])
    residual = rows.reward if rows.qhat is None else rows.reward - rows.qhat.take(drawn)
    for policy, target in enumerate(rows.targets):
        lines = z[column(policy, 0) :][:PER_POLICY]
        np.divide(target.take(drawn), rows.propensity, out=lines[W])
        _fill_weighted(lines, rows, residual, can_earn)
        if rows.reference is not None:
            gap = gap_column(count, policy, 0, priced)
            _fill_gap(z[gap : gap + PER_GAP], rows, lines[W] - rows.reference, can_earn)
        _fill_expected(lines, rows, target)
        if rows.send_cost is not None:
            np.multiply(lines[SEND], rows.send_cost, out=z[cost_column(count, policy)])
    return z


def _fill_weighted(z: Matrix, rows: Rows, residual: Vector, can_earn: Vector) -> None:
    w = z[W]
    if w.size and not w.min() >= 0.0:
        row = int(np.argmin(w))
        raise BadInput(
            f"row {row} of a chunk has importance weight {w[row]:g}, expected 0 or more: the "
            "target gave a negative or missing probability"
        )
    np.multiply(w, rows.reward, out=z[WR])
    np.multiply(w, residual, out=z[WD])
    np.multiply(w, can_earn if rows.size is None else can_earn * rows.size, out=z[WE])


def _fill_gap(z: Matrix, rows: Rows, excess: Vector, can_earn: Vector) -> None:
    sized = can_earn if rows.size is None else can_earn * rows.size
    more, less = np.maximum(excess, 0.0), np.maximum(-excess, 0.0)
    z[MORE], z[LESS] = more * sized, less * sized
    z[MORE_R], z[LESS_R] = more * rows.reward, less * rows.reward


def _fill_expected(z: Matrix, rows: Rows, target: Matrix) -> None:
    totals = checked_totals(target)
    np.subtract(1.0, target[:, ABSTAIN], out=z[SEND])
    if rows.qhat is None:
        z[V] = 0.0
    else:
        np.divide(np.einsum("ij,ij->i", target, rows.qhat), totals, out=z[V])


def _summed(rows: Rows, z: Matrix) -> PolicySums:
    count = len(rows.targets)
    weights = z[column(0, W) : column(count, 0) : PER_POLICY]
    earned = z[column(0, WR) : column(count, 0) : PER_POLICY]
    sure = rows.propensity >= 1.0
    return PolicySums(
        gram=_gram(z),
        max_w=weights.max(axis=1, initial=0.0),
        max_wr=np.maximum(earned.max(axis=1, initial=0.0), -earned.min(axis=1, initial=0.0)),
        zero_w=(weights == 0.0).sum(axis=1).astype(np.float64),
        unlogged=np.array([_unlogged(rows, target, sure) for target in rows.targets]),
        sure=(weights[:, np.flatnonzero(sure)] < 1.0).sum(axis=1).astype(np.float64),
        law_rows=0.0 if rows.logged is None else float(rows.action.size),
        min_p=float(rows.propensity.min(initial=1.0)),
        weight_bins=np.stack([_bins(weights[k], earned[k]) for k in range(count)]),
        priced=rows.send_cost is not None,
    )


def _gram(z: Matrix) -> Matrix:
    """Z z^T, (m, m), in pieces small enough that BLAS keeps to one thread.

    On a shared machine its threads wait for each other many times longer than they compute.
    """
    size, n = z.shape
    step = max(32, SERIAL_PRODUCT // size**2)
    gram = np.zeros((size, size))
    for start in range(0, n, step):
        piece = z[:, start : start + step]
        gram += piece @ piece.T
    return gram


def _unlogged(rows: Rows, target: Matrix, sure: AnyArray) -> float:
    """Target mass where the logger's probability is 0; unknown law: only rows with p = 1 tell."""
    if rows.logged is not None:
        return float(np.where(rows.logged > 0.0, 0.0, target).sum())
    told = np.flatnonzero(sure)
    return float((1.0 - target[told, rows.action[told]]).sum()) if told.size else 0.0


def _bins(w: Vector, wr: Vector) -> Matrix:
    """Rows and sum |w r| by bins of log2 w (32 an octave); w = 0 falls into the first."""
    lowest = (1023 + LOWEST_OCTAVE) << BINS_PER_OCTAVE_BITS
    place = w.view(np.int64) >> (52 - BINS_PER_OCTAVE_BITS)
    place -= lowest
    np.minimum(np.maximum(place, 0, out=place), BINS - 1, out=place)
    earned = np.flatnonzero(wr)
    lines = (
        np.bincount(place, minlength=BINS),
        np.bincount(place[earned], np.abs(wr[earned]), BINS),
    )
    return np.stack(lines).astype(np.float64)


def bin_edges() -> Vector:
    """Lower edge of every weight bin, (BINS,)."""
    octave, step = np.divmod(np.arange(BINS), 1 << BINS_PER_OCTAVE_BITS)
    edges: Vector = 2.0 ** (octave + LOWEST_OCTAVE) * (1.0 + step / (1 << BINS_PER_OCTAVE_BITS))
    return edges


# -- by user


@dataclass(frozen=True, slots=True)
class UserSums:
    """Sums of z by user: users (G,) sorted, totals (G, m)."""

    users: Ids
    totals: Matrix

    def __add__(self, other: "UserSums") -> "UserSums":
        users = np.concatenate((self.users, other.users))
        return _grouped(users, np.concatenate((self.totals, other.totals)))

    def squares(self) -> "UserSquares":
        """What the errors need of the users, once all rows of each user are in."""
        return UserSquares(self.users.size, _gram(np.ascontiguousarray(self.totals.T)))


@dataclass(frozen=True, slots=True)
class UserSquares:
    """Number of users G and the sum over users of the outer product of their totals, (m, m).

    Adds up over parts of a log that share no user.
    """

    groups: int
    gram: Matrix

    def __add__(self, other: "UserSquares") -> "UserSquares":
        return UserSquares(self.groups + other.groups, self.gram + other.gram)


def user_sums(user: Ids, z: Matrix) -> UserSums:
    """Group z (m, n) by user (n,)."""
    return _grouped(user, z.T)


def _grouped(users: Ids, lines: Matrix) -> UserSums:
    order = np.argsort(users, kind="stable")
    ordered = users[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return UserSums(ordered[starts], np.add.reduceat(lines[order], starts, axis=0))
