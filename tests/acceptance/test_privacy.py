"""What is stored about one user can be shown and erased from the command line."""

import json

from service.demo.local import running_service
from tests.acceptance.conftest import forbear

SENDING = {"patience": "constant", "unsubscribe_cost": 0.0, "floor": 0.5}


def test_a_user_is_shown_and_erased_by_a_command() -> None:
    with running_service(SENDING) as service, service.client() as client:
        client.call("PUT", "/v1/messages/hello", {})
        client.decide([{"user_id": "u42", "context": {"age": 41}}])
        client.report([{"event_id": "e1", "type": "unsubscribe", "user_id": "u42"}])
        shown = forbear(service, "export-user", "u42")
        erased = forbear(service, "erase-user", "u42")
        left = forbear(service, "export-user", "u42")
    before, after = json.loads(shown.stdout), json.loads(left.stdout)
    assert ([{"age": 41.0}], ["unsubscribe"]) == (
        [decision["context"] for decision in before["decisions"]],
        [event["type"] for event in before["events"]],
    )
    assert "Erased: 1 users, 1 decisions, 1 event ids, 0 idempotency records" in erased.stdout
    assert [] == after["decisions"] == after["events"]
    assert after["state"]["unsubscribed"]
