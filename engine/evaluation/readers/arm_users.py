"""Users by arm, from the service's own decision log: one sum per user and outcome, then moments.

All decisions of a user count, those censored or never drawn with nothing but themselves: leaving
them out would leave out what a policy does to how many there are. Rows from the first open decision
on are left out in every arm alike, as sends wait for their windows and abstentions do not; so is
the shadow, whose answers nobody carried out. DuckDB groups; memory grows with the users.

An unsubscribe counts whoever caused it, and a conversion whether it names a decision or not: for
the holdout there is no other. `utility` is what was realised: clicks at their worth, less
unsubscribes and sends at their prices; conversions are not in it unless they are the gain.

Limit: the log does not tell a send taken back by `not_sent` from one that was censored because the
user left by another one; neither counts as sent, nor costs anything.
"""

from pathlib import Path
from typing import Any

from engine.arms import Arm
from engine.errors import BadInput
from engine.evaluation.by_arm import ArmUsers, Moments
from engine.evaluation.log import Prices
from engine.evaluation.readers.record_types import RECORD_TYPES
from engine.evaluation.readers.tables import Table, fetched, open_table

REQUIRED = (
    "decision_id", "user_id", "at", "value", "candidates", "action", "propensity", "arm",
    "censored", "click", "unsubscribe", "conversion", "unnamed_conversion", "left",
)  # fmt: skip


def arm_users(path: Path, prices: Prices, since: float = 0.0) -> list[ArmUsers]:
    """The arms of the log in `path`, from `since` (seconds since the epoch) on, largest first."""
    table = open_table(path, known=RECORD_TYPES)
    table.require(REQUIRED)
    table.refuse_duplicates("decision_id")
    outcomes = _outcomes(prices)
    found = fetched(_question(table, outcomes, since), path)
    if not found:
        raise BadInput(
            f"{path.name} holds no decision of an arm that is settled and was made since then; "
            "wait until the first attribution windows have closed, or name an earlier time"
        )
    strange = [row[0] for row in found if row[0] not in list(Arm)]
    if strange:
        raise BadInput(
            f"{path.name} names the arm {strange[0]!r}; expected some of {', '.join(Arm)}: read it "
            "with the release that wrote it"
        )
    return [_arm_users(row, list(outcomes)) for row in found]


def _outcomes(prices: Prices) -> dict[str, str]:
    """Each outcome of one decision, as SQL."""
    click = "COALESCE(CAST(click AS DOUBLE), 0.0)"
    left = 'CAST("left" AS DOUBLE)'
    sent = "CAST(action IS NOT NULL AND NOT censored AS DOUBLE)"
    return {
        "sends": sent,
        "clicks": click,
        "unsubscribes": left,
        "conversions": "CAST(conversion + unnamed_conversion AS DOUBLE)",
        "utility": f"{prices.click!r} * CAST(value AS DOUBLE) * {click} "
        f"- {prices.unsubscribe!r} * {left} - ({_send_cost(prices)}) * {sent}",
    }


def _send_cost(prices: Prices) -> str:
    if prices.send is not None:
        return repr(prices.send)
    own = "list_filter(candidates, lambda c: c.message = action)"
    return f"COALESCE({own}[1].annoyance.send_cost, 0.0)"


def _question(table: Table, outcomes: dict[str, str], since: float) -> str:
    """SQL: arm, users, users who changed, then total, squares and touched of each outcome."""
    each = ", ".join(f"sum({sql}) AS {name}" for name, sql in outcomes.items())
    moments = ", ".join(
        f"sum({name}), sum({name} * {name}), count_if({name} <> 0)" for name in outcomes
    )
    return f"""
        WITH decisions AS (
            SELECT * REPLACE (
                CAST("at" AS DOUBLE) AS "at", COALESCE(censored, false) AS censored
            )
            FROM {table.source} WHERE arm <> '{Arm.SHADOW}' AND CAST("at" AS DOUBLE) >= {since!r}
        ), opened AS (
            SELECT COALESCE(min("at"), 'Infinity'::DOUBLE) AS first FROM decisions
            WHERE propensity IS NOT NULL AND NOT censored
                AND (click IS NULL OR unsubscribe IS NULL)
        ), users AS (
            SELECT arg_min(arm, "at") AS arm, count(DISTINCT arm) AS arms, {each}
            FROM decisions WHERE "at" < (SELECT first FROM opened) GROUP BY user_id
        )
        SELECT arm, count(*), count_if(arms > 1), {moments}
        FROM users GROUP BY arm ORDER BY 2 DESC, 1
    """  # noqa: S608


def _arm_users(row: tuple[Any, ...], outcomes: list[str]) -> ArmUsers:
    arm, users, changed, *moments = row
    triples = [moments[3 * k : 3 * k + 3] for k in range(len(outcomes))]
    return ArmUsers(
        arm=Arm(arm),
        users=users,
        changed=changed,
        outcomes={
            name: Moments(users, float(total), float(squares), int(touched))
            for name, (total, squares, touched) in zip(outcomes, triples, strict=True)
        },
    )
