"""Explained by the real server: what is then answered, and Redis is left as it was."""

from typing import Any

from redis import Redis

from service.demo.local import LocalService, running_service

SETTINGS: dict[str, object] = {"unsubscribe_cost": 0, "send_cost": 0, "caps": "1/1d"}


def users_data(service: LocalService) -> dict[bytes, Any]:
    """Every key of every shard, byte by byte; what the learner keeps for itself is left out."""
    with Redis(unix_socket_path=(service.data_dir / "socket").read_text().strip()) as redis:
        return {key: redis.dump(key) for key in redis.scan_iter(match="{s*", count=1000)}


def test_an_explanation_says_what_would_be_answered_and_changes_no_key() -> None:
    ask: dict[str, Any] = {"user_id": "u1", "context": {"country": "DE"}}
    with running_service(SETTINGS) as service, service.client() as client:
        client.call("PUT", "/v1/messages/sale", {"when": {"country": ["DE"]}})
        client.call("PUT", "/v1/messages/adults", {"when": {"age": {"min": 18}}})
        client.call("PUT", "/v1/messages/letter", {"channel": "email", "tier": -1})
        client.report(
            [{"event_id": "e1", "type": "tolerance", "user_id": "u1"} | {"tolerance": "2/7d"}]
        )
        before = users_data(service)
        why = client.call("POST", "/v1/decisions/explain", ask)["decision"]
        supposed = client.call(
            "POST", "/v1/decisions/explain", {"context": {}, "state": {"unsubscribed": ["push"]}}
        )["decision"]
        assert before == users_data(service)
        answer = client.call("POST", "/v1/decisions", ask)
        assert before != users_data(service)
        record = client.call("GET", f"/v1/decisions/{answer['decision_id']}")["decision"]
    assert ["sale"] == [one["message"] for one in why["candidates"]]
    assert {"adults": "condition", "letter": "lower_tier"} == reasons(why)
    assert why["candidates"] == record["candidates"]
    assert why["blocked"] == record["blocked"]
    assert 2.0 == why["context"]["tolerance_per_week"] == record["context"]["tolerance_per_week"]
    assert ["letter"] == [one["message"] for one in supposed["candidates"]]
    assert {"sale": "unsubscribed", "adults": "unsubscribed"} == reasons(supposed)


def reasons(decision: dict[str, Any]) -> dict[str, str]:
    return {one["message"]: one["reason"] for one in decision["blocked"]}
