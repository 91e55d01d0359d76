"""Conditions on the context: who a message is meant for at all.

A condition is a value to be equal to, a list of values to be one of, or a range. An attribute that
the request does not give fulfils none of them: a message is not sent on a guess. true is not 1.
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from engine.decision import Context, Value


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A number from `min` to `max`, both included; one of them may be left out."""

    min: float | None = None
    max: float | None = None


Condition: TypeAlias = float | str | bool | tuple[float | str | bool, ...] | Range


def fulfilled(conditions: Mapping[str, Condition], context: Context) -> bool:
    """Whether the context fulfils every condition."""
    return all(
        key in context and _holds(condition, context[key]) for key, condition in conditions.items()
    )


def unmet(conditions: Mapping[str, Condition], context: Context) -> list[str]:
    """Each condition the context does not fulfil, in words."""
    return [
        f"{key!r} is {_written(context[key]) if key in context else 'missing'}, "
        f"expected {_expected(condition)}"
        for key, condition in conditions.items()
        if key not in context or not _holds(condition, context[key])
    ]


def _expected(condition: Condition) -> str:
    if not isinstance(condition, Range):
        wanted = condition if isinstance(condition, tuple) else (condition,)
        return " or ".join(map(_written, wanted))
    ends = (("at least", condition.min), ("at most", condition.max))
    return " and ".join(f"{word} {end:g}" for word, end in ends if end is not None)


def _written(value: Value) -> str:
    return msgspec.json.encode(value).decode()


def _holds(condition: Condition, value: Value) -> bool:
    if isinstance(condition, Range):
        if isinstance(value, (bool, str)):
            return False
        low, high = condition.min, condition.max
        return (low is None or low <= value) and (high is None or value <= high)
    wanted = condition if isinstance(condition, tuple) else (condition,)
    return any(isinstance(one, bool) == isinstance(value, bool) and one == value for one in wanted)


def complaint(condition: Condition) -> str | None:
    """What makes a condition impossible to fulfil; None if nothing does."""
    if condition == ():
        return "an empty list"
    if not isinstance(condition, Range):
        return None
    low, high = condition.min, condition.max
    if low is None and high is None:
        return "a range without min and max"
    if low is not None and high is not None and low > high:
        return f"a range whose min {low:g} is above its max {high:g}"
    return None
