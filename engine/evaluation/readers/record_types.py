"""Types of the columns of the service's own log, for DuckDB to read and write.

Types guessed from the rows fit most logs, but not one whose ids all look like UUIDs or dates, one
without any candidate, or one with two keys of the context that differ in case alone, which no
struct of DuckDB's can hold. So they are told; what a context holds is left as it was sent.
"""

from collections.abc import Mapping

_TEXTS = ("decision_id", "user_id", "action", "reason", "time_zone", "arm", "policy", "status")
_NUMBERS = (
    "at", "value", "burden", "propensity", "abstain_propensity", "abstain_reward", "p0",
    "unsubscribe_cost", "price", "click", "unsubscribe", "conversion", "unnamed_conversion",
)  # fmt: skip
_VERSIONS = ("model_version", "encoder_version", "configuration_version")
_ANNOYANCE = (
    "STRUCT(unsubscribe DOUBLE, patience DOUBLE, send_cost DOUBLE, scarcity DOUBLE, total DOUBLE)"
)

RECORD_TYPES: Mapping[str, str] = {
    **dict.fromkeys(_TEXTS, "VARCHAR"),
    **dict.fromkeys(_NUMBERS, "DOUBLE"),
    **dict.fromkeys(_VERSIONS, "BIGINT"),
    **dict.fromkeys(("censored", "left"), "BOOLEAN"),
    "context": "MAP(VARCHAR, JSON)",
    "candidates": "STRUCT(message VARCHAR, p_click DOUBLE, p_unsubscribe DOUBLE, gain DOUBLE, "
    f"annoyance {_ANNOYANCE}, net DOUBLE, propensity DOUBLE)[]",
    "blocked": "STRUCT(message VARCHAR, reason VARCHAR, free_at DOUBLE)[]",
}
