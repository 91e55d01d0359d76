"""Burden: a decaying count of recent sends to one user, the state that fatigue depends on.

It halves every `half_life` seconds and rises by exactly one with each send. Nobody observes it: the
engine owns it, so its dynamics are known and only what it does to people has to be learned. A clock
that steps back decays nothing: time spent is never given back.
"""

import math


def decayed(burden: float, since: float, now: float, half_life: float) -> float:
    """Burden at `now` of what was `burden` at `since` (times and half-life in seconds)."""
    return burden * math.pow(2.0, -max(0.0, now - since) / half_life)


def without_send(
    burden: float, since: float, sent_at: float, now: float, half_life: float
) -> float:
    """Burden at `now` had the send at `sent_at` not happened: its decayed unit, taken out once."""
    unit = decayed(1.0, sent_at, now, half_life)
    return max(0.0, decayed(burden, since, now, half_life) - unit)
