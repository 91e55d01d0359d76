"""How a comparison is made: prices, level, models, clustering, limits."""

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.evaluation.diagnostics import Limits
from engine.evaluation.log import CHUNK_ROWS, Prices

Progress = Callable[[str, int], None]  # called with the name of the pass and the rows done so far


def silent(_stage: str, _rows: int) -> None:
    """Progress nobody watches."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to compare."""

    prices: Prices = field(default_factory=Prices)
    alpha: float = 0.05
    model: bool = True  # fit outcome models for DM, DR, SNDR
    clustered: bool = True  # treat users, not rows, as independent
    limits: Limits = field(default_factory=Limits)
    chunk_rows: int = CHUNK_ROWS
