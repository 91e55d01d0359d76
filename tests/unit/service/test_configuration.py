"""The configuration over HTTP: put whole, in force at once, versioned, recorded."""

from typing import Any

import httpx
import numpy as np
import pytest

from engine.patience import ConstantPatience, LearnedPatience
from service.assembly import assemble
from service.auth import key_id
from service.deciding import Ask
from tests.unit.service.harness import Worker, settings, worker

YAML = {"Content-Type": "application/yaml"}
WHOLE = """
rules: {min_gap_s: 60, caps: [3/7d, 1/24h], quiet_hours: 21:00-08:00, time_zone: Europe/Berlin}
arms: {shares: {holdout: 0.05}}
prices: {value: 2, patience: constant, unsubscribe_cost: 9.5}
messages:
  spring: {tags: [offer], send_cost: 0.5}
  digest: {}
"""


async def put(running: Worker, text: str, **headers: str) -> httpx.Response:
    """Put a configuration."""
    address = "/v1/configuration"
    return await running.client.put(address, content=text.encode(), headers=YAML | headers)


async def audit(running: Worker, **page: int) -> Any:
    return (await running.client.get("/v1/audit", params=page)).json()


async def test_what_is_put_is_in_force_and_told_as_it_was_put(running: Worker) -> None:
    answer = (await put(running, WHOLE)).json()
    live = running.held.live
    assert answer == (await running.client.get("/v1/configuration")).json()
    assert {
        "rules": {
            "min_gap_s": 60.0,
            "caps": "3/7d 1/24h",
            "quiet_hours": "21:00-08:00",
            "time_zone": "Europe/Berlin",
        },
        "prices": {"value": 2.0, "patience": "constant", "unsubscribe_cost": 9.5},
    } == {name: answer["configuration"][name] for name in ("rules", "prices")}
    assert ["digest", "spring"] == list(answer["configuration"]["messages"])
    assert (2.0, 60.0, "Europe/Berlin") == (
        live.terms.value,
        live.terms.rules.min_gap_s,
        live.terms.rules.zone.key,
    )
    assert live.terms.policy.patience == ConstantPatience(9.5, 0.0)


async def test_arms_are_dealt_as_the_configuration_says(running: Worker) -> None:
    """With everybody in the holdout nothing is sent; without the section all are the bandit's."""
    await put(running, "arms: {shares: {holdout: 1}}")
    assert ("holdout", None) == arm_and_action(await running.decide())
    await put(running, "rules: {}")
    assert ("bandit", "sale") == arm_and_action(await running.decide())


def arm_and_action(response: httpx.Response) -> tuple[str, str | None]:
    answer = response.json()
    return answer["arm"], answer["action"]


async def test_what_was_told_can_be_put_back(running: Worker) -> None:
    """JSON is YAML; and as nothing changes, the version stays."""
    told = (await put(running, WHOLE)).json()
    again = await running.client.put("/v1/configuration", json=told["configuration"])
    assert (200, told) == (again.status_code, again.json())
    assert 2 == len((await audit(running))["entries"])  # the harness's message, and WHOLE


async def test_the_configuration_overrides_the_environment_key_by_key() -> None:
    async with worker(settings(value=3.0, min_gap_s=9.0)) as running:
        await put(running, "prices: {value: 5}")
        terms = running.held.live.terms
        assert (5.0, 9.0) == (terms.value, terms.rules.min_gap_s)
        await put(running, "rules: {min_gap_s: 1}")
        terms = running.held.live.terms
        assert (3.0, 1.0) == (terms.value, terms.rules.min_gap_s)


async def test_a_document_without_messages_leaves_the_catalog_alone(running: Worker) -> None:
    await put(running, "rules: {}")
    assert ["sale"] == list(running.held.live.catalog.messages)
    await put(running, "messages: {digest: {}}")
    assert ["digest"] == list(running.held.live.catalog.messages)
    await put(running, "messages: {}")
    assert [] == list(running.held.live.catalog.messages)


async def test_a_new_cap_binds_a_process_that_has_not_heard_of_it(running: Worker) -> None:
    other = assemble(settings(), running.store, np.random.default_rng(2))
    await other.live.refresh()
    (first,) = await other.decider.decide([Ask("u1", {})])
    await put(running, "rules: {caps: 1/7d}")
    (second,) = await other.decider.decide([Ask("u1", {})])
    assert ("chosen", "no_candidate") == (first.reason.value, second.reason.value)


async def test_learned_patience_keeps_what_it_has_while_only_messages_change() -> None:
    async with worker(settings(patience="learned")) as running:
        before = running.held.live.terms
        await running.client.put("/v1/messages/spring", json={})
        assert before is running.held.live.terms
        await put(running, "prices: {horizon_s: 86400}")
        after = running.held.live.terms
        assert isinstance(after.policy.patience, LearnedPatience)
        assert before.policy.patience is not after.policy.patience


async def test_with_a_fault_the_running_configuration_stays_in_force(running: Worker) -> None:
    await put(running, WHOLE)
    before = (await running.client.get("/v1/configuration")).json()
    refused = await put(running, "rules:\n  caps: 0/1d\nmessages:\n  sale: {cooldwon_s: 5}\n")
    problem = refused.json()
    assert (422, "/problems/invalid-request") == (refused.status_code, problem["type"])
    assert ["body:2:", "body:4:"] == [fault.split(" ")[0] for fault in problem["faults"]]
    assert f"{problem['faults'][0]}." == problem["detail"]
    assert before == (await running.client.get("/v1/configuration")).json()
    assert 60.0 == running.held.live.terms.rules.min_gap_s


async def test_a_body_that_says_it_is_something_else_is_refused(running: Worker) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    refused = await running.client.put("/v1/configuration", content=b"rules: {}", headers=form)
    assert 415 == refused.status_code
    assert "send the header 'Content-Type: application/yaml'" in refused.json()["detail"]


async def test_without_a_store_nothing_is_changed(running: Worker) -> None:
    running.store.away = True
    assert 503 == (await put(running, WHOLE)).status_code
    assert 503 == (await running.client.get("/v1/audit")).status_code


async def test_a_decision_says_with_which_configuration_it_was_made(running: Worker) -> None:
    for _ in range(2):
        version = (await put(running, WHOLE)).json()["version"]
        decision_id = (await running.decide()).json()["decision_id"]
        record = (await running.client.get(f"/v1/decisions/{decision_id}")).json()["decision"]
        assert version == record["configuration_version"]
        await put(running, "rules: {}")


# -- versions ------------------------------------------------------------------------------------


async def test_a_change_made_for_an_older_version_is_refused_in_a_sentence(
    running: Worker,
) -> None:
    seen = (await running.client.get("/v1/configuration")).headers["etag"]
    await running.client.put("/v1/messages/digest", json={})
    requests = [
        ("PUT", "/v1/configuration", WHOLE.encode()),
        ("PUT", "/v1/messages/sale", b"{}"),
        ("DELETE", "/v1/messages/sale", b""),
        ("PUT", "/v1/pause", b""),
    ]
    for method, address, body in requests:
        headers = {"If-Match": seen, "Content-Type": "application/json"}
        refused = await running.client.request(method, address, content=body, headers=headers)
        assert (412, "Configuration changed") == (refused.status_code, refused.json()["title"])
        assert (
            "The change was made for version 1 of the configuration, and version 2 is in force; "
            "read that one and make the change again."
        ) == refused.json()["detail"]
    assert '"2"' == (await running.client.get("/v1/messages")).headers["etag"]


async def test_a_change_made_for_the_version_in_force_is_made(running: Worker) -> None:
    seen = (await running.client.get("/v1/messages/sale")).headers["etag"]
    answer = await running.client.put("/v1/messages/sale", json={}, headers={"If-Match": seen})
    assert (200, '"2"') == (answer.status_code, answer.headers["etag"])
    assert 200 == (await put(running, WHOLE, **{"If-Match": '"2"'})).status_code
    assert 200 == (await put(running, "rules: {}", **{"If-Match": "*"})).status_code


async def test_every_change_is_answered_with_the_version_it_made(running: Worker) -> None:
    changes = [
        ("PUT", "/v1/messages/digest", "{}"),
        ("PUT", "/v1/pause", ""),
        ("DELETE", "/v1/pause", ""),
        ("DELETE", "/v1/messages/digest", ""),
        ("PUT", "/v1/configuration", "rules: {paused: true}"),
    ]
    for version, (method, address, body) in enumerate(changes, start=2):
        kind = "application/json" if body == "{}" else "application/yaml"
        headers = {"Content-Type": kind}
        answer = await running.client.request(method, address, content=body, headers=headers)
        assert f'"{version}"' == answer.headers["etag"]


@pytest.mark.parametrize("given", ["12", 'W/"12"', '"x"', '"1", "2"'])
async def test_an_if_match_that_is_no_version_is_refused(running: Worker, given: str) -> None:
    refused = await put(running, WHOLE, **{"If-Match": given})
    assert 422 == refused.status_code
    assert "expected a version in quotes, as the ETag header gives it" in refused.json()["detail"]


# -- the record of changes -----------------------------------------------------------------------


async def test_every_change_is_recorded_with_who_before_and_after(running: Worker) -> None:
    caller = key_id(running.client.headers["authorization"].split()[1])
    await put(running, "prices: {value: 2}\nmessages: {sale: {send_cost: 1}}")
    await running.client.put("/v1/pause")
    await running.client.delete("/v1/pause")
    await running.client.delete("/v1/messages/sale")
    entries = (await audit(running))["entries"]
    assert [5, 4, 3, 2, 1] == [entry["version"] for entry in entries]
    assert {caller} == {entry["by"] for entry in entries}
    deleted, resumed, paused, whole, _ = [entry["changes"] for entry in entries]
    costs = [(one["before"] or {}).get("send_cost") for one in whole]
    assert [("prices", None, {"value": 2.0})] == [
        (one["part"], one["before"], one["after"]) for one in whole if one["part"] == "prices"
    ]
    assert ({"prices", "message/sale"}, [None, None]) == ({one["part"] for one in whole}, costs)
    assert [{"part": "pause", "before": None, "after": True}] == paused
    assert [{"part": "pause", "before": True, "after": None}] == resumed
    assert (1.0, None) == (deleted[0]["before"]["send_cost"], deleted[0]["after"])


async def test_the_record_comes_in_pages(running: Worker) -> None:
    for number in range(4):
        await put(running, f"prices: {{value: {number}}}")
    first = await audit(running, limit=3)
    second = await audit(running, limit=3, before=first["next"])
    assert [[5, 4, 3], [2, 1]] == [
        [entry["version"] for entry in page["entries"]] for page in (first, second)
    ]
    assert (3, None) == (first["next"], second["next"])


@pytest.mark.parametrize("page", ["limit=0", "limit=101", "limit=ten", "before=-1"])
async def test_a_page_that_cannot_be_is_refused_in_a_sentence(running: Worker, page: str) -> None:
    refused = await running.client.get(f"/v1/audit?{page}")
    assert 422 == refused.status_code
    assert "expected a whole number from 1 to" in refused.json()["detail"]


async def test_a_change_refused_or_without_effect_is_not_recorded(running: Worker) -> None:
    await put(running, "rules: {caps: 0/1d}")
    await put(running, "prices: {value: 2}", **{"If-Match": '"99"'})
    await running.client.put("/v1/messages/sale", json={"attributes": {"category": "offer"}})
    await running.client.delete("/v1/messages/none")
    await running.client.delete("/v1/pause")
    assert [1] == [entry["version"] for entry in (await audit(running))["entries"]]


async def test_the_kill_switch_outlives_a_document_that_says_nothing_of_it(
    running: Worker,
) -> None:
    await running.client.put("/v1/pause")
    assert (await put(running, "rules: {paused: false}")).json()["paused"]
    assert "paused" == (await running.decide()).json()["reason"]
