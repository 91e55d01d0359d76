"""Target policies by name, as one types them.

never   random   logged   best           always:MESSAGE
stored:NAME                              a policy whose probabilities came with the log
cap:FEATURE:LIMIT:POLICY                 POLICY, abstaining once FEATURE reaches LIMIT
repriced:UNSUBSCRIBE[:PATIENCE]          the logged forecasts under another price
"""

from collections.abc import Callable

from engine.errors import BadInput
from engine.evaluation.best_single import best_single
from engine.evaluation.log import Log, Prices
from engine.evaluation.policies import (
    Always,
    FrequencyCap,
    Logged,
    Never,
    Random,
    Repriced,
    Stored,
    TargetPolicy,
)

FORMS = "never, random, logged, best, always:, stored:, cap:, repriced:"


def policy_of(spec: str, log: Log, prices: Prices) -> TargetPolicy:
    """The policy a specification names, for this log and these prices."""
    kind, _, rest = spec.partition(":")
    simple: dict[str, Callable[[], TargetPolicy]] = {
        "never": Never,
        "random": Random,
        "logged": Logged,
        "best": lambda: best_single([log], prices),
    }
    if kind in simple and not rest:
        return simple[kind]()
    if kind == "always" and rest:
        return Always(rest)
    if kind == "stored" and rest:
        return Stored(rest)
    if kind == "cap":
        return _cap(spec, rest, log, prices)
    if kind == "repriced" and rest:
        return _repriced(spec, rest, prices)
    raise BadInput(f"policy {spec!r} is not known, expected one of {FORMS}")


def _cap(spec: str, rest: str, log: Log, prices: Prices) -> FrequencyCap:
    feature, _, tail = rest.partition(":")
    limit, _, inner = tail.partition(":")
    if feature not in log.feature_names or not inner:
        known = ", ".join(log.feature_names) or "none"
        raise BadInput(
            f"policy {spec!r}: expected cap:FEATURE:LIMIT:POLICY with a feature of the log "
            f"({known}): name one when reading the log"
        )
    place = log.feature_names.index(feature)
    return FrequencyCap(policy_of(inner, log, prices), place, _number(spec, limit))


def _repriced(spec: str, rest: str, prices: Prices) -> Repriced:
    unsubscribe, _, patience = rest.partition(":")
    priced = Prices(prices.click, _number(spec, unsubscribe), prices.send)
    return Repriced(priced, _number(spec, patience) if patience else 0.0)


def _number(spec: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"policy {spec!r}: got {text!r}, expected a number there") from None
