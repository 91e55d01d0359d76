"""The price of patience: what one more send now costs in later value, and what leaving costs.

`Patience` is the seam; today both are constants that somebody configures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.decision import Floats, Request


class Patience(Protocol):
    """Prices the future of N users."""

    def costs(self, requests: Sequence[Request], burdens: Floats) -> tuple[Floats, Floats]:
        """(N,) cost of losing each user, and (N,) price of one more send; in the unit of value."""


@dataclass(frozen=True, slots=True)
class ConstantPatience:
    """Asserted costs, the same for everyone."""

    unsubscribe_cost: float = 5.0
    price: float = 0.0

    def costs(self, requests: Sequence[Request], burdens: Floats) -> tuple[Floats, Floats]:
        """The configured numbers."""
        del burdens
        size = len(requests)
        return np.full(size, self.unsubscribe_cost), np.full(size, self.price)
