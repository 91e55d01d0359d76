"""A real log through the same service: Hillstrom's e-mail challenge (2008), by rejection replay.

64,000 customers were mailed men's goods, women's goods or nothing, a third each, at random; two
weeks later it was known who had visited. The service is asked about every customer in turn. Where
it draws what that customer really got, the visit (or its absence) is reported and teaches; where
it draws anything else nobody knows what would have happened, so the decision is reported as not
carried out and teaches nothing (Li et al. 2011). The log's arms are uniform, so the mean outcome of
the rows kept is an unbiased estimate of what the learner earns as it learns.

A visit also happens unprompted, so it is reported as a `conversion`, and the gain of a mail is only
what it adds. What to expect: the arms differ a lot, customers hardly; no policy beats mailing men's
goods to everybody by more than noise while a mail is cheap, and nobody should be mailed once a mail
costs more than the visit it adds, about 0.08.
"""

import csv
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from engine.decision import Floats
from engine.errors import BadInput
from service.demo.local import Client, running_service
from service.demo.population import START

ARMS = {"Mens E-Mail": "mens", "Womens E-Mail": "womens", "No E-Mail": None}
COLUMNS = ("recency", "history", "mens", "womens", "zip_code", "newbie", "channel")
AT_ONCE = 500
"""Customers asked about in one batch; the learner is waited for after each."""


@dataclass(frozen=True, slots=True)
class Customer:
    """One row of the log."""

    context: dict[str, float | str | bool]
    arm: str | None
    visited: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of one pass through the log at one price of a mail."""

    send_cost: float
    kept: Floats
    """(rows kept,) reward of each: visit - send cost of what was sent."""
    abstained: Floats
    """(batches,) share of answers that sent nothing."""
    arm_values: dict[str, float]
    """Mean reward of each arm over the whole log, abstaining included."""

    @property
    def best_arm(self) -> str:
        """The single arm that earns most at this price."""
        return max(self.arm_values, key=lambda arm: self.arm_values[arm])


def read(path: Path) -> list[Customer]:
    """The customers of the publisher's CSV file, plain or gzipped, in its order."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="") as file:
            rows = list(csv.DictReader(file))
        return [_customer(row) for row in rows]
    except (OSError, KeyError, ValueError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} cannot be read as Hillstrom's log ({type(error).__name__}: {error}); expected "
            "the publisher's CSV with a segment and a visit column: give that file"
        ) from error


def _customer(row: dict[str, str]) -> Customer:
    context: dict[str, float | str | bool] = {
        "recency": float(row["recency"]),
        "history": float(row["history"]),
        "mens": row["mens"] == "1",
        "womens": row["womens"] == "1",
        "newbie": row["newbie"] == "1",
        "zip_code": row["zip_code"],
        "channel": row["channel"],
    }
    return Customer(context, ARMS[row["segment"]], row["visit"] == "1")


def settings(send_cost: float) -> dict[str, object]:
    """What the service is told: what a mail costs, and that visits also happen unprompted."""
    return {
        "simulated_clock": True,
        "gain_event": "conversion",
        "send_cost": send_cost,
        "patience": "constant",  # everybody is met once: there is no later to price
        "unsubscribe_cost": 0.0,  # the log has no unsubscribes: nothing to weigh
        "click_base_rate": 0.1,  # any team knows how many customers visit in two weeks, roughly
        "publish_interval_s": 0.02,
        "decide_timeout_ms": 10_000,
    }


def replay(
    customers: list[Customer], send_cost: float, seed: int, progress: Callable[[int], None]
) -> Replay:
    """Pass the log, in an order drawn from `seed`, through a service of its own."""
    order = np.random.default_rng(seed).permutation(len(customers))
    kept: list[float] = []
    abstained: list[float] = []
    with running_service(settings(send_cost)) as service, service.client() as client:
        for arm in ("mens", "womens"):
            body = {"attributes": {"goods": arm}, "channel": "email"}
            client.call("PUT", f"/v1/messages/{arm}", body)
        for day, rows in enumerate(_batches(order)):
            batch = [customers[row] for row in rows]
            actions = _pass(client, day, rows, batch)
            kept += [
                customer.visited - (send_cost if action else 0.0)
                for customer, action in zip(batch, actions, strict=True)
                if action == customer.arm
            ]
            abstained.append(sum(action is None for action in actions) / len(actions))
            progress(len(batch))
    return Replay(send_cost, np.array(kept), np.array(abstained), arm_values(customers, send_cost))


def _batches(order: np.ndarray) -> Iterator[list[int]]:
    for start in range(0, len(order), AT_ONCE):
        yield order[start : start + AT_ONCE].tolist()


def _pass(client: Client, day: int, rows: list[int], batch: list[Customer]) -> list[str | None]:
    """Ask about one batch and report what the log knows; the actions drawn."""
    at = (START + timedelta(days=day)).isoformat()
    requests = [
        {"user_id": f"customer-{row}", "context": customer.context, "at": at}
        for row, customer in zip(rows, batch, strict=True)
    ]
    answers = client.decide(requests)
    reports = []
    for row, customer, answer in zip(rows, batch, answers, strict=True):
        kind = "conversion" if answer["action"] == customer.arm else "not_sent"
        if kind == "not_sent" or customer.visited:
            decision = answer["decision_id"]
            reports.append(
                {
                    "event_id": f"{kind}-{row}",
                    "type": kind,
                    "user_id": f"customer-{row}",
                    "decision_id": decision,
                }
            )
    client.report(reports)
    client.wait_until_learned()
    return [answer["action"] for answer in answers]


def arm_values(customers: list[Customer], send_cost: float) -> dict[str, float]:
    """Mean reward of each single arm: exact for this log, whose arms were drawn at random."""
    values = {}
    for arm in ARMS.values():
        visits = [customer.visited for customer in customers if customer.arm == arm]
        values[arm or "nobody"] = sum(visits) / len(visits) - (send_cost if arm else 0.0)
    return values
