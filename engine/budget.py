"""Budgets: how much may be sent to everybody together, in sends or in money, in any such time.

A budget is written like a cap, "1000/1d" for sends, "cost:250.5/7d" for money (in the unit of
value), and like a cap it rolls: it holds for every stretch of that length, not for calendar days.
Amounts are whole units, so that sums are exact: one send is one unit, money is counted in
millionths, rounded up.
"""

import math
import re
from dataclasses import dataclass
from typing import Final

from engine.errors import BadInput
from engine.history import LONGEST_WINDOW_S

MONEY: Final = 1_000_000
"""Units in one of the unit of value."""
MOST: Final = 1e9
"""Sends or money: beyond it a sum would not be exact in a script on the server."""
LEAST_PERIOD_S: Final = 1.0
_TIMES: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_BUDGET: Final = re.compile(r"(cost:)?(\d{1,10}(?:\.\d{1,6})?)/(\d{1,9})([smhd])")


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `limit` units in any `period` seconds."""

    name: str
    """Unlike every other's; a changed limit keeps it, another period or unit is another budget."""
    limit: int
    period: float
    money: bool = False

    def units(self, send_cost: float) -> int:
        """What one send of this cost takes."""
        return math.ceil(round(send_cost * MONEY, 3)) if self.money else 1


@dataclass(frozen=True, slots=True)
class Charge:
    """What a decision has to do with one budget."""

    budget: str
    needed: int
    """Units that were judged to be there when it was scored; checked whatever the action is."""
    spent: int
    """Units that its action takes: 0 for abstaining."""


def parse_budgets(text: str, owner: str) -> tuple[Budget, ...]:
    """Budgets as written, e.g. "1000/1d cost:50/7d"; nothing written is none."""
    budgets: dict[str, Budget] = {}
    for part in text.split():
        one = _budget(part, text, owner)
        if one.name in budgets:
            raise BadInput(
                f"budget {part[:40]!r} of {text[:80]!r} is the second for the same time; expected "
                "one for sends and one for money in each time: keep the smaller one"
            )
        budgets[one.name] = one
    return tuple(budgets.values())


def parse_team_budgets(text: str) -> tuple[Budget, ...]:
    """The budgets of all messages together."""
    return parse_budgets(text, "team")


def message_budgets(message_id: str, text: str) -> tuple[Budget, ...]:
    """The budgets of one message."""
    return parse_budgets(text, f"message {message_id}")


def _budget(part: str, text: str, owner: str) -> Budget:
    found = _BUDGET.fullmatch(part)
    amount = float(found[2]) if found else 0.0
    period = int(found[3]) * _TIMES[found[4]] if found else 0.0
    money = bool(found and found[1])
    whole = money or amount.is_integer()
    if not (0 < amount <= MOST and LEAST_PERIOD_S <= period <= LONGEST_WINDOW_S and whole):
        raise BadInput(
            f"budget {part[:40]!r} of {text[:80]!r} cannot be used; expected a number of sends, or "
            "cost: and an amount, above 0 and up to a thousand million, then a slash and a time "
            "from 1s to 31d, such as 1000/1d or cost:250.5/7d: correct it (to stop sending, pause)"
        )
    limit = round(amount * MONEY) if money else int(amount)
    return Budget(f"{owner}/{'cost' if money else 'sends'}/{period:.0f}", limit, period, money)
