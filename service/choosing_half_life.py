"""`forbear half-life`: which half-life of the burden a log speaks for."""

import sys
from pathlib import Path

from engine.evaluation.readers.sends import sends
from engine.half_life import CLEARLY, DAY, Comparison, compare


def choose_half_life(log: Path, used: float, most: int) -> None:
    """Print how well each half-life (seconds) forecasts the sends of `log`, and which to use."""
    settled = sends(log, most)
    found = compare(settled, used)
    sys.stdout.write(f"{len(settled):,} settled sends; log loss of both heads, all sends:\n")
    for half_life, loss in found.losses.items():
        mark = "  in use" if half_life == used else ""
        sys.stdout.write(f"  {half_life / DAY:6.2f} days  {loss:12.2f}{mark}\n")
    sys.stdout.write(f"  no burden    {found.without:12.2f}\n{_advice(found)}\n")


def _advice(found: Comparison) -> str:
    if found.chosen == found.used:
        return f"Keep {found.used / DAY:g} days: no other is better by {CLEARLY:g} or more."
    return (
        f"Use {found.chosen / DAY:g} days: FORBEAR_BURDEN_HALF_LIFE_S={found.chosen:.0f}, for "
        "every process. Burdens that users carry now fade at the new pace from then on."
    )
