"""Point estimators of what a policy would have earned, from a log another policy wrote.

Each function is one formula. Most return the round-wise *term* of a row, (n,), whose plain mean is
the estimate, so that one interval routine serves all of them. Symbols, per row i:

    w = pi(a|x) / p     importance weight: target probability over logged propensity
    r                   outcome                  q = qhat(x, a)   model of r at the logged action
    v = sum_b pi(b|x) qhat(x, b)                 model value of the target at x

Assumption: p is the law that was really sampled, and is positive wherever pi is (`diagnostics`
checks both). Limit: a clipped, switched or shrunk weight trades bias for variance; its bias cannot
be seen in its own interval, so `shrinkage_bias` has to be printed beside it.
"""

import numpy as np

from engine.errors import BadInput
from engine.evaluation.arrays import AnyArray, Ints, Mask, Matrix, Vector

PMF_TOLERANCE = 1e-6


def importance_weights(target: Matrix, action: Ints, propensity: Vector) -> Vector:
    """w_i = pi(a_i|x_i) / p_i.  target (n, K), action (n,) column index, propensity (n,)."""
    return chosen(target, action) / propensity


def chosen(matrix: Matrix, action: Ints) -> Vector:
    """matrix[i, action_i] for every row: (n, K) and (n,) -> (n,)."""
    entries: Vector = matrix.take(places(action, matrix.shape[1]))
    return entries


def places(action: Ints, arms: int) -> Ints:
    """Place of each row's action in a flattened (n, K) matrix, (n,)."""
    flat = np.arange(0, action.size * arms, arms, dtype=np.int64)
    flat += action
    return flat


def model_value(target: Matrix, qhat: Matrix) -> Vector:
    """v_i = sum_b pi(b|x_i) qhat(x_i, b), divided by sum_b pi only to remove rounding."""
    totals = checked_totals(target)
    value: Vector = np.einsum("ij,ij->i", target, qhat) / totals
    return value


def checked_totals(target: Matrix) -> Vector:
    """Row sums of a probability matrix (n, K); refuses rows that do not sum to 1.

    A weighted average would hide such a row: it divides the missing mass away.
    """
    totals: Vector = np.einsum("ij->i", target)
    spread = totals.max(initial=1.0) - 1.0, 1.0 - totals.min(initial=1.0)
    if not max(spread) <= PMF_TOLERANCE:
        row = int(np.argmax(~(abs(totals - 1.0) <= PMF_TOLERANCE)))
        raise BadInput(
            f"target probabilities of row {row} sum to {totals[row]:.9g}, expected 1: "
            "spread the policy over the candidates of that row and renormalise"
        )
    return totals


# -- weighting


def ips(w: Vector, r: Vector) -> Vector:
    """Term w r. Unbiased (Horvitz & Thompson 1952)."""
    return w * r


def clipped_ips(w: Vector, r: Vector, limit: float) -> Vector:
    """Term min(w, limit) r. limit = inf is IPS; biased towards 0 below."""
    return clipped(w, limit) * r


def snips(w: Vector, r: Vector) -> Vector:
    """Term w r / mean(w) (Swaminathan & Joachims 2015). A constant added to r is added to it."""
    return w * r / positive_mean(w)


def sub_gaussian_ips(w: Vector, r: Vector, lam: float) -> Vector:
    """IPS with w / (1 - lam + lam w) (Metelli et al. 2021). lam = 0 is IPS."""
    return sub_gaussian(w, lam) * r


def send_only_snips(w: Vector, r: Vector, sent: Mask, send_rate: float) -> float:
    """M * sum_{a != abstain} w r / sum_{a != abstain} w, with M = mean(1 - pi(abstain|x)).

    Abstaining earns 0 by definition and M is known exactly, so rows that abstained add no noise.
    Refuses an outcome that is not 0 on abstentions: there the definition does not hold.
    """
    if np.any(r[~sent] != 0.0):
        raise BadInput(
            "send-only SNIPS got an outcome that is not 0 where nothing was sent: "
            "it holds for outcomes that only a send can cause, use SNIPS or DR instead"
        )
    total = float(w[sent].sum())
    return send_rate * float((w * r)[sent].sum()) / total if total > 0.0 else float("nan")


def marginal_ips(target: Matrix, logged: Matrix, feature: Ints, column: Ints, r: Vector) -> Vector:
    """MIPS: r * pi(e|x) / pi_b(e|x) for a message feature e (Saito & Joachims 2022).

    feature (K,) gives the feature of each arm, column (n,) the logged arm. Equal to the paper's
    E_{b ~ pi_b(.|x, e)}[pi(b|x) / pi_b(b|x)]. Needs: r depends on the arm only through e.
    """
    same = feature[None, :] == feature[column][:, None]
    weight: Vector = (target * same).sum(axis=1) / (logged * same).sum(axis=1)
    return weight * r


def balanced_propensity(propensities: Matrix, rows: Vector) -> Vector:
    """sum_k (n_k / n) pi_k(a|x): the mixture of k loggers. propensities (n, k), rows (k,).

    Use it in place of p for several static loggers; not unbiased when a logger adapted.
    """
    mixture: Vector = propensities @ (rows / rows.sum())
    return mixture


# -- model and model-assisted


def dm(v: Vector) -> Vector:
    """Term v: the model alone. Its error does not shrink with the log."""
    return v


def dr(w: Vector, r: Vector, q: Vector, v: Vector) -> Vector:
    """Term v + w (r - q) (Dudik et al. 2011). q = 0 is IPS."""
    return v + w * (r - q)


def clipped_dr(w: Vector, r: Vector, q: Vector, v: Vector, limit: float) -> Vector:
    """Term v + min(w, limit) (r - q)."""
    return v + clipped(w, limit) * (r - q)


def sndr(w: Vector, r: Vector, q: Vector, v: Vector) -> Vector:
    """Term v + w (r - q) / mean(w)."""
    return v + w * (r - q) / positive_mean(w)


def switch_dr(w: Vector, r: Vector, q: Vector, v: Vector, limit: float) -> Vector:
    """Term v + w 1[w <= limit] (r - q) (Wang et al. 2017; <=, as obp). 0 is DM, inf is DR."""
    return v + switched(w, limit) * (r - q)


def dr_os(w: Vector, r: Vector, q: Vector, v: Vector, lam: float) -> Vector:
    """Term v + lam w / (w^2 + lam) (r - q) (Su et al. 2020). 0 is DM, inf is DR."""
    return v + shrunk(w, lam) * (r - q)


def sub_gaussian_dr(w: Vector, r: Vector, q: Vector, v: Vector, lam: float) -> Vector:
    """DR with w / (1 - lam + lam w). lam = 0 is DR."""
    return v + sub_gaussian(w, lam) * (r - q)


def stable_variance(terms: Vector, h: Vector) -> float:
    """sum_t h_t G_t / sum_t h_t for DR terms G made with past-only models (Zhan et al. 2021)."""
    return float(h @ terms / h.sum())


def stable_variance_weights(target: Matrix, logged: Matrix, period: Ints) -> Vector:
    """h_t = (mean_x sum_b pi(b|x)^2 / p_t(b|x))^(-1/2), the mean taken over each logging period.

    target, logged (n, K); period (n,) numbers the stretches in which the logger stood still.
    An arm the logger could not draw and the target does not want contributes 0. A period in which
    the target wants an arm the logger could not draw has weight 0; refuses a log without another.
    """
    with np.errstate(divide="ignore"):  # such an arm makes its period's variance endless
        ratio = np.divide(target**2, logged, out=np.zeros_like(target), where=target > 0.0)
    _, place = np.unique(period, return_inverse=True)
    mean = np.bincount(place, ratio.sum(axis=1)) / np.bincount(place)
    if np.isinf(mean).all():
        raise BadInput(
            "in every period the target wants an arm that the logger could not draw, expected one "
            "in which it does not: evaluate a target that takes only logged arms"
        )
    return np.asarray(mean[place] ** -0.5, dtype=np.float64)


# -- shrunk weights


def clipped(w: Vector, limit: float) -> Vector:
    """Weight min(w, limit)."""
    return np.minimum(w, limit)


def switched(w: Vector, limit: float) -> Vector:
    """Weight w where w <= limit, else 0."""
    return np.where(w <= limit, w, 0.0)


def shrunk(w: Vector, lam: float) -> Vector:
    """Weight lam w / (w^2 + lam), which peaks at sqrt(lam) / 2; 0 at lam = 0, w at lam = inf."""
    if np.isinf(lam):
        return w
    return np.zeros_like(w) if lam == 0.0 else lam * w / (w * w + lam)


def sub_gaussian(w: Vector, lam: float) -> Vector:
    """Weight w / (1 - lam + lam w), and 0 at w = 0 (where lam = 1 would divide 0 by 0)."""
    return np.divide(w, 1.0 - lam + lam * w, out=np.zeros_like(w), where=w > 0.0)


def shrinkage_bias(w: Vector, shrunken: Vector, residual: Vector) -> float:
    """|mean((w - w') (r - q))|: the bias proxy to print beside any shrunk estimate."""
    return abs(float(((w - shrunken) * residual).mean()))


def positive_mean(w: AnyArray) -> float:
    """Mean over ALL rows, not only over rows with an event; refuses an all-zero vector."""
    mean = float(w.mean())
    require_overlap(mean)
    return mean


def require_rows(n: float) -> None:
    """Refuse fewer than two rows: no spread can be read from one."""
    if n < 2:
        raise BadInput(f"got {n:.0f} rows, expected at least 2: give a longer log")


def require_overlap(weight: float) -> None:
    """Refuse a sum or mean of weights that is 0: no row then speaks for the policy."""
    if not weight > 0.0:
        raise BadInput(
            "every importance weight is 0, expected some logged action the target would take: "
            "the log has no overlap with this policy, collect randomised rows first"
        )
