"""Sixteen senders at once on twenty users, through two API processes: no rule gives way.

The judge reads the raw log afterwards, in the order of its commits. Times are short so that every
rule is at stake many times within a few seconds.
"""

import threading
import time
from collections import Counter
from random import Random

from redis import Redis

from engine.decision import Decision
from engine.decision_log import from_row
from service.demo.local import Client, LocalService, running_service
from service.store.keys import log_key
from service.store.protocol import SHARDS
from tests.rules_checker import Limits, Logged, complaints

SENDERS, USERS, SECONDS = 16, 20, 6.0
SETTINGS: dict[str, object] = {
    "workers": 2,
    "unsubscribe_cost": 0,
    "send_cost": 0,
    "decide_timeout_ms": 5000,
    "min_gap_s": 0.15,
    "caps": "3/1s 8/4s",
    "tag_caps": "offer:1/1s",
}
MESSAGES = {
    "sale": {"tags": ["offer"]},
    "bargain": {"tags": ["offer"]},
    "digest": {"cooldown_s": 0.7},
    "news": {},
    "receipt": {"transactional": True},
    "letter": {"channel": "email"},
}
LIMITS = Limits(
    gap=0.15,
    caps=((3, 1.0), (8, 4.0)),
    tag_caps=(("offer", 1, 1.0),),
    cooldowns={"digest": 0.7},
    tags={"sale": ("offer",), "bargain": ("offer",)},
    transactional=frozenset({"receipt"}),
    channels={"letter": "email"},
)
MARKETING = [name for name in MESSAGES if name != "receipt"]


def hammer(service: LocalService, sender: int, until: float, errors: list[Exception]) -> None:
    """Ask as fast as answers come; now and then report that a send did not happen, or another's."""
    draw = Random(sender)
    try:
        with service.client() as client:
            for n in range(1_000_000):
                if time.monotonic() > until:
                    return
                user = f"u{draw.randrange(USERS)}"
                wanted = ["receipt"] if draw.random() < 0.02 else MARKETING
                ask = {"user_id": user, "context": {}, "messages": wanted}
                answer = client.call("POST", "/v1/decisions", ask)
                report(client, draw, f"{sender}-{n}", user, answer)
    except Exception as error:  # noqa: BLE001 - told to the test, which fails with it
        errors.append(error)


def report(client: Client, draw: Random, name: str, user: str, answer: dict[str, object]) -> None:
    event: dict[str, object] = {"event_id": name, "user_id": user}
    if answer["action"] is not None and draw.random() < 0.3:
        client.report([event | {"type": "not_sent", "decision_id": answer["decision_id"]}])
    elif draw.random() < 0.01:
        client.report([event | {"type": "external_send"}])
    elif draw.random() < 0.03:
        wish: dict[str, object] = {"type": "tolerance", "tolerance": draw.choice(["1/1s", None])}
        consent: dict[str, object] = {
            "type": draw.choice(["unsubscribe", "subscribe"]),
            "channel": "email",
        }
        client.report([event | draw.choice([wish, consent])])


def logged(fields: dict[bytes, bytes]) -> Logged:
    """An entry of the log as the judge wants it."""
    kind, name = fields[b"kind"], fields[b"d"].decode()
    if kind == b"decision":
        decision = from_row(fields[b"row"])
        return Logged(decision.at, decision.user_id, decision)
    if kind == b"labels":
        return Logged(0.0, taken_back=name if fields[b"status"] == b"censored" else None)
    at, user = float(fields[b"now"]), fields[b"u"].decode()
    if fields[b"type"] == b"not_sent":
        return Logged(at, user, taken_back=name)
    if fields[b"type"] in (b"unsubscribe", b"subscribe"):
        said = (fields[b"type"].decode(), fields[b"channel"].decode())
        return Logged(at, user, consent=said)
    if fields[b"type"] == b"tolerance":
        return Logged(at, user, tolerance=(1, 1.0) if fields[b"tolerance"] else (0, 0.0))
    return Logged(at, user, external=fields[b"type"] == b"external_send")


def whole_log(service: LocalService) -> list[Logged]:
    with Redis(unix_socket_path=(service.data_dir / "socket").read_text().strip()) as redis:
        shards = [redis.xrange(log_key(shard)) for shard in range(SHARDS)]
    return [logged(fields) for entries in shards for _, fields in entries]


def test_no_rule_gives_way_to_many_senders_at_once() -> None:
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
    assert [] == complaints(log, LIMITS)
    check_that_much_was_at_stake([entry.decision for entry in log if entry.decision])


def check_that_much_was_at_stake(decisions: list[Decision]) -> None:
    """Every rule blocked something, and slots were spent: 20 users, up to 8 in 4 s each."""
    reasons = Counter(reason.value for one in decisions for _, reason in one.blocked)
    assert {"gap", "cap", "tag_cap", "cooldown", "tolerance", "unsubscribed"} <= set(reasons)
    sends = sum(one.action is not None for one in decisions)
    assert sends > 5 * USERS
