"""POST /v1/decisions/explain: what would be answered and why, and nothing is left behind."""

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.unit.service.harness import Worker, settings, worker
from tests.unit.service.test_rules import HOUR, NOON, at_noon, move

TERMS = {
    "message",
    "p_click",
    "p_unsubscribe",
    "gain",
    "annoyance",
    "net",
    "propensity",
}


async def ask(running: Worker, **given: Any) -> httpx.Response:
    return await running.client.post("/v1/decisions/explain", json={"context": {}} | given)


async def explained(running: Worker, **given: Any) -> dict[str, Any]:
    response = await ask(running, **given)
    assert 200 == response.status_code, response.text
    decision: dict[str, Any] = response.json()["decision"]
    return decision


def text(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def blocks(decision: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Message -> (reason, free at)."""
    return {one["message"]: (one["reason"], one["free_at"]) for one in decision["blocked"]}


async def test_every_message_has_its_terms_or_its_rule(running: Worker) -> None:
    await running.client.put("/v1/messages/stopped", json={"paused": True})
    decision = await explained(running, messages=["sale", "stopped", "ghost"])
    (sale,) = decision["candidates"]
    assert (TERMS, "sale") == (set(sale), sale["message"])
    assert {"stopped": ("paused", None), "ghost": ("unknown_message", None)} == blocks(decision)
    assert all(one["change"] for one in decision["blocked"])
    assert ("sale", "chosen") == (decision["action"], decision["reason"])


async def test_a_worker_that_has_not_decided_yet_explains_too() -> None:
    """Nobody was met, so no moment is known in which a user might be met."""
    async with worker(settings(moment_keys="hour", patience="learned")) as running:
        decision = await explained(running, context={"hour": 3.0})
        assert ["sale"] == [one["message"] for one in decision["candidates"]]


async def test_a_real_user_is_explained_as_he_is_answered() -> None:
    """One sale at noon, one slot a day: the cap frees at tomorrow's noon."""
    async with at_noon(caps="1/1d") as running:
        sent = (await running.decide()).json()
        before = await explained(running, user_id="u1", at=text(NOON + HOUR))
        assert {"sale": ("cap", text(NOON + 24 * HOUR))} == blocks(before)
        move(running, NOON + HOUR)
        answer = (await running.decide()).json()
        record = await running.client.get(f"/v1/decisions/{answer['decision_id']}")
        decided = record.json()["decision"]
        for told in (decided, before):
            del told["policy"]
        assert sent["decision_id"] != decided.pop("decision_id")
        assert decided == before
        later = await explained(running, user_id="u1", at=text(NOON + 24 * HOUR))
        assert [] == later["blocked"]


async def test_a_supposed_user_is_explained_without_being_there() -> None:
    """Sale an hour ago: its cooldown of 3 hours frees it in 2; the burden is 2^(-1/96)."""
    async with at_noon() as running:
        await running.client.put("/v1/messages/sale", json={"cooldown_s": 3 * HOUR})
        state = {"sends": [{"message": "sale", "at": text(NOON - HOUR)}]}
        decision = await explained(running, state=state)
        assert {"sale": ("cooldown", text(NOON + 2 * HOUR))} == blocks(decision)
        assert pytest.approx(2 ** (-1 / 96)) == decision["burden"]
        heavier = await explained(running, state=state | {"burden": 3})
        assert 3.0 == heavier["burden"]
        gone = await explained(running, state={"unsubscribed": True})
        assert (None, "unsubscribed") == (gone["action"], gone["reason"])


async def test_quiet_hours_are_explained_in_the_users_zone() -> None:
    async with at_noon(quiet_hours="21:00-08:00", days="mon tue wed thu fri sat sun") as running:
        decision = await explained(running, time_zone="Asia/Tokyo")
        assert {"sale": ("quiet_hours", text(NOON + 11 * HOUR))} == blocks(decision)
        (sale,) = decision["blocked"]
        assert sale["change"].endswith("08:00:00 in Asia/Tokyo.")


async def test_an_explanation_leaves_no_trace() -> None:
    """Store, metrics, the draws to come and the patience's memory are what they were."""
    async with worker(settings(caps="2/1d", patience="learned", moment_keys="hour")) as running:
        await running.decide(context={"hour": 3})

        async def everything() -> tuple[bytes, list[str], Any, bytes]:
            metrics = (await running.client.get("/metrics")).text.splitlines()
            policy = running.held.live.terms.policy
            return (
                pickle.dumps({name: getattr(running.store, name) for name in vars(running.store)}),
                [line for line in metrics if line.startswith(("forbear_dec", "forbear_block"))],
                copy.deepcopy(running.held.decider._rng.bit_generator.state),
                pickle.dumps((policy.patience._moments._pool, policy.patience._starts)),  # type: ignore[attr-defined]
            )

        before = await everything()
        users: list[dict[str, Any]] = [
            {"user_id": "u1"},
            {"user_id": "new"},
            {"state": {"burden": 2}},
            {},
        ]
        for given in users:
            await explained(running, context={"hour": 4}, **given)
        assert before == await everything()
        await running.decide(context={"hour": 4})
        assert all(one != other for one, other in zip(before, await everything(), strict=True))


async def test_what_cannot_be_explained_is_refused_in_a_sentence(running: Worker) -> None:
    bad: list[dict[str, Any]] = [
        {"messages": ["a", "a"]},
        {"time_zone": "Mars"},
        {"state": {"burden": -1}},
        {"at": "x"},
    ]
    for given in bad:
        response = await ask(running, **given)
        assert 422 == response.status_code, response.text
        assert response.json()["detail"].count(".") >= 1


async def test_removals_are_counted_by_reason() -> None:
    async with at_noon(caps="1/1d") as running:
        await running.client.put("/v1/messages/stopped", json={"paused": True})
        name = 'forbear_blocked_messages_total{reason="%s"}'

        async def count(reason: str) -> float:
            lines = (await running.client.get("/metrics")).text.splitlines()
            return sum(float(n.split()[1]) for n in lines if n.startswith(name % reason))

        before = await count("cap"), await count("paused")
        await running.decide()
        await running.decide()
        assert (before[0] + 1, before[1] + 2) == (await count("cap"), await count("paused"))


@pytest.mark.parametrize("never", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
async def test_a_start_at_the_end_of_all_calendars_can_be_explained(
    running: Worker, never: str, zone: str
) -> None:
    put = await running.client.put("/v1/messages/someday", json={"starts": never})
    assert 201 == put.status_code
    expected = {"someday": ("not_started", "9999-12-30T00:00:00.000Z")}
    supposed = await explained(running, messages=["someday"], time_zone=zone)
    assert expected == blocks(supposed)
    made = (await running.decide(messages=["someday"], time_zone=zone)).json()
    found = await running.client.get(f"/v1/decisions/{made['decision_id']}")
    assert 200 == found.status_code
    assert expected == blocks(found.json()["decision"])
