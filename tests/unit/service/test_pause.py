"""A pause that was acknowledged holds for every process, those that have not heard of it too.

The second worker here never refreshes by itself: it learns of changes only by what it commits.
"""

import numpy as np
import pytest

from service.assembly import assemble
from service.deciding import Ask
from service.services import Services
from tests.unit.service.harness import Worker, settings, worker


async def other_worker(running: Worker) -> Services:
    """A second worker of the same deployment, with the catalog as it is now."""
    other = assemble(settings(), running.store, np.random.default_rng(2))
    await other.live.refresh()
    return other


async def reason(other: Services, user: str) -> str:
    (answer,) = await other.decider.decide([Ask(user, {})])
    return answer.reason.value


async def test_the_kill_switch_is_in_force_before_it_is_acknowledged(running: Worker) -> None:
    other = await other_worker(running)
    assert "chosen" == await reason(other, "u1")
    assert {"paused": True} == (await running.client.put("/v1/pause")).json()
    assert "paused" == await reason(other, "u2")
    assert "paused" == (await running.decide("u3")).json()["reason"]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_pause_that_says_something_changes_nothing(running: Worker, method: str) -> None:
    """PUT with `"paused": false` would pause everything, against its words."""
    refused = await running.client.request(method, "/v1/pause", json={"paused": False})
    assert 422 == refused.status_code
    assert f"A {method} of the pause came with a body; expected none" in refused.json()["detail"]
    assert {"paused": False} == (await running.client.get("/v1/pause")).json()


async def test_resuming_is_in_force_before_it_is_acknowledged(running: Worker) -> None:
    await running.client.put("/v1/pause")
    other = await other_worker(running)
    assert "paused" == await reason(other, "u1")
    assert {"paused": False} == (await running.client.delete("/v1/pause")).json()
    assert "chosen" == await reason(other, "u2")


async def test_a_paused_message_is_paused_in_every_process(running: Worker) -> None:
    other = await other_worker(running)
    for paused, expected in ((True, "no_candidate"), (False, "chosen")):
        await running.client.put("/v1/messages/sale", json={"paused": paused})
        assert expected == await reason(other, f"user-{paused}")


async def test_a_deleted_message_is_gone_in_every_process(running: Worker) -> None:
    other = await other_worker(running)
    await running.client.delete("/v1/messages/sale")
    assert "no_candidate" == await reason(other, "u1")


async def test_a_new_cooldown_binds_a_process_that_has_not_heard_of_it(running: Worker) -> None:
    other = await other_worker(running)
    assert "chosen" == await reason(other, "u1")
    await running.client.put("/v1/messages/sale", json={"cooldown_s": 60})
    assert "no_candidate" == await reason(other, "u1")


async def test_the_switch_of_the_settings_is_stronger() -> None:
    async with worker(settings(paused=True)) as running:
        assert {"paused": True} == (await running.client.delete("/v1/pause")).json()
        assert {"paused": True} == (await running.client.get("/v1/pause")).json()
