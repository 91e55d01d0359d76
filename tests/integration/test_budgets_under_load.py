"""Twelve senders at once, two API processes, budgets over all users: no window holds too much.

The judge reads the raw log afterwards.
"""

import threading
import time
from random import Random

from benchmarks.rules.load import server_of
from benchmarks.rules.verdict import with_pauses
from service.demo.local import Client, LocalService, running_service
from service.store.keys import log_key
from service.store.protocol import SHARDS
from tests.rules_checker import Allowed, Logged, fullest_window, stood

SENDERS, USERS, SECONDS = 12, 400, 12.0
TEAM = Allowed(60, 3.0, {"sale": 1, "rare": 1, "dear": 1})
RARE = Allowed(10, 2.0, {"rare": 1})
DEAR = Allowed(1.0, 2.0, {"dear": 0.07})
SETTINGS: dict[str, object] = {
    "workers": 2,
    "unsubscribe_cost": 0,
    "send_cost": 0,
    "patience": "constant",
    "value": 100,
    "decide_timeout_ms": 5000,
    "budgets": "60/3s",
}
MESSAGES: dict[str, dict[str, object]] = {
    "sale": {},
    "rare": {"budget": "10/2s"},
    "dear": {"budget": "cost:1/2s", "send_cost": 0.07},
}


def report(client: Client, draw: Random, name: str, user: str, answer: dict[str, object]) -> None:
    """Three sends in ten did not happen."""
    if answer["action"] is not None and draw.random() < 0.3:
        told = {"event_id": name, "user_id": user, "type": "not_sent"}
        client.report([told | {"decision_id": answer["decision_id"]}])


def hammer(service: LocalService, sender: int, until: float, errors: list[Exception]) -> None:
    """Ask as fast as answers come; now and then report that a send did not happen."""
    draw = Random(sender)
    try:
        with service.client() as client:
            for n in range(1_000_000):
                if time.monotonic() > until:
                    return
                user = f"u{draw.randrange(USERS)}"
                wanted = [draw.choice(list(MESSAGES))] if draw.random() < 0.7 else list(MESSAGES)
                ask = {"user_id": user, "context": {}, "messages": wanted}
                answer = client.call("POST", "/v1/decisions", ask)
                report(client, draw, f"{sender}-{n}", user, answer)
    except Exception as error:  # noqa: BLE001 - told to the test, which fails with it
        errors.append(error)


def whole_log(service: LocalService) -> list[Logged]:
    """Every shard's log, as the judge reads it."""
    with server_of(service) as redis:
        raw = [redis.xrange(log_key(shard)) for shard in range(SHARDS)]
    return [
        entry
        for shard, entries in enumerate(raw)
        for entry in with_pauses([(key.decode(), fields) for key, fields in entries], [], shard)
    ]


def test_no_budget_is_exceeded_by_many_senders_at_once() -> None:
    errors: list[Exception] = []
    with running_service(SETTINGS) as service:
        with service.client() as client:
            for name, body in MESSAGES.items():
                client.call("PUT", f"/v1/messages/{name}", body)
        time.sleep(1.0)  # both workers take up the catalog
        until = time.monotonic() + SECONDS
        senders = [
            threading.Thread(target=hammer, args=(service, n, until, errors))
            for n in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        log = whole_log(service)
    assert [] == errors
    sends = stood(log)
    for budget in (TEAM, RARE, DEAR):
        assert fullest_window(sends, budget) <= budget.most * (1 + 1e-9)  # added in floating point
    check_that_much_was_at_stake(log)


def check_that_much_was_at_stake(log: list[Logged]) -> None:
    """Each budget held messages back, and each was nearly full at some time."""
    decisions = [entry.decision for entry in log if entry.decision]
    held_back = {
        name for one in decisions for name, reason in one.blocked if reason.value == "budget"
    }
    assert set(MESSAGES) == held_back
    sends = stood(log)
    for budget in (TEAM, RARE, DEAR):
        assert fullest_window(sends, budget) >= 0.6 * budget.most
