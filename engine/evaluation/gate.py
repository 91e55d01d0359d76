"""A yes or no for a pipeline: whether this policy may go near users.

Yes only if the lower end of the paired utility difference to the reference is above 0 AND the
unsubscribe estimate is not above the reference's. Anything refused is a no: what cannot be judged
cannot be let through.
"""

from dataclasses import dataclass

from engine.errors import BadInput
from engine.evaluation.compare import LOGGER, Comparison
from engine.evaluation.diagnostics import Verdict


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether a policy passes, and one sentence for each condition."""

    passed: bool
    sentences: tuple[str, ...]


def gate(comparison: Comparison, policy: str) -> GateResult:
    """Judge one policy of a comparison against its reference."""
    if policy == comparison.reference:
        raise BadInput(f"policy {policy!r} is the reference itself: gate another policy against it")
    conditions = [_utility(comparison, policy)]
    if "unsubscribe" in comparison.sums:
        conditions.append(_unsubscribes(comparison, policy))
    return GateResult(all(ok for ok, _ in conditions), tuple(text for _, text in conditions))


def _utility(comparison: Comparison, policy: str) -> tuple[bool, str]:
    line = comparison.line(policy, "utility")
    if line.judgement.verdict is Verdict.REFUSE:
        return False, f"utility refused: {'; '.join(line.judgement.reasons)}"
    if line.difference is None:
        return False, f"utility of the reference {comparison.reference!r} is refused"
    lower = line.difference.interval.lower
    words = "above" if lower > 0.0 else "not above"
    return lower > 0.0, f"utility difference: lower end {lower:.6g}, {words} 0"


def _unsubscribes(comparison: Comparison, policy: str) -> tuple[bool, str]:
    line = comparison.line(policy, "unsubscribe")
    if line.value is None:
        return False, f"unsubscribes refused: {'; '.join(line.judgement.reasons)}"
    if comparison.reference == LOGGER:
        base: float | None = comparison.logged_means["unsubscribe"]
    else:
        base = comparison.line(comparison.reference, "unsubscribe").value
    if base is None:
        return False, f"unsubscribes of the reference {comparison.reference!r} are refused"
    words = "not above" if line.value <= base else "above"
    return line.value <= base, f"unsubscribes {line.value:.6g}, {words} the reference's {base:.6g}"
