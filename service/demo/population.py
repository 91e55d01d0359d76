"""A simulated population served over HTTP, day by day, and what was learned.

The service runs under the simulated clock. Each day everybody who is still subscribed is asked
about in one batch; clicks and unsubscribes are drawn from the world's true probabilities and
reported; then the driver waits for the learner. Every policy meets the same chance: the same user
clicks on the same message of the same day whoever sent it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from engine.worlds.patience import world as patience_world
from engine.worlds.policies import AlwaysBest, Never, Random
from engine.worlds.simulation import Outcome, Run, simulate
from engine.worlds.world import ABSTAIN_INDEX, CLICK, Batch, Events, Ints, World
from service.demo.local import Client, running_service

START = datetime(2026, 1, 1, 9, tzinfo=UTC)
DAY_S = 86_400
MINUTE = 1 / 1440
"""In days."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a population is simulated, and for how long."""

    users: int = 300
    days: int = 90
    messages: int = 12
    seed: int = 1


class OverHttp:
    """A policy of the simulation that asks the service."""

    def __init__(self, world: World, client: Client) -> None:
        self._world, self._client = world, client
        self._names = [message.id for message in world.messages]
        self._decisions: dict[tuple[int, int], str] = {}
        for message in world.messages:
            body = {"attributes": message.attributes, "send_cost": world.send_cost}
            client.call("PUT", f"/v1/messages/{message.id}", body)

    def act(self, batch: Batch) -> Ints:
        """Ask about everybody at once."""
        at = _time(batch.at)
        requests = [
            {"user_id": f"user-{user}", "context": context, "value": value, "at": at}
            for user, context, value in zip(
                batch.users.tolist(), batch.contexts(), batch.values.tolist(), strict=True
            )
        ]
        actions = np.full(len(requests), ABSTAIN_INDEX)
        for start in range(0, len(requests), 1000):
            for row, answer in enumerate(
                self._client.decide(requests[start : start + 1000]), start
            ):
                user = int(batch.users[row])
                self._decisions[user, batch.step] = answer["decision_id"]
                if answer["action"] is not None:
                    actions[row] = self._names.index(answer["action"])
        return actions

    def observe(self, events: Events, until: float) -> None:
        """Report the day's news, let the day end, and wait until all of it is learned."""
        reports = [
            {
                "event_id": f"{kind}-{user}-{step}",
                "type": "click" if kind == CLICK else "unsubscribe",
                "user_id": f"user-{user}",
                "decision_id": self._decisions[user, step],
                "at": _time(at),
            }
            for kind, user, step, at in zip(
                events.kind.tolist(), events.user.tolist(), events.step.tolist(),
                events.at.tolist(), strict=True,
            )
        ]  # fmt: skip
        if reports:
            self._client.report(reports)
        # Only a request moves the simulated clock; silence counts as "no" only as time passes.
        end = {"user_id": "nobody", "context": {}, "messages": [], "at": _time(until - MINUTE)}
        self._client.decide([end])
        self._client.wait_until_learned()


def _time(days: float) -> str:
    return (START + timedelta(days=days)).isoformat()


def settings(world: World) -> dict[str, object]:
    """What the service is told: the clock, and how long a burden lasts; nothing is tuned."""
    return {
        "simulated_clock": True,
        "burden_half_life_s": world.half_life * DAY_S,
        "publish_interval_s": 0.02,
        "decide_timeout_ms": 10_000,
    }


def compare(size: Size, progress: Callable[[int, int], None]) -> tuple[World, dict[str, Outcome]]:
    """Forbear over HTTP beside three simple policies; `progress` hears (days done, days)."""
    world = patience_world(seed=size.seed, users=size.users, days=size.days, messages=size.messages)
    outcomes = {
        "always send": simulate(world, AlwaysBest(world), size.seed),
        "random": simulate(world, Random(size.seed), size.seed),
        "never send": simulate(world, Never(), size.seed),
    }
    with running_service(settings(world)) as service, service.client() as client:
        policy = OverHttp(world, client)
        run = Run(world, size.seed)
        while (batch := run.next()) is not None:
            news, until = run.apply(policy.act(batch))
            policy.observe(news, until)
            progress(batch.step + 1, len(world.times))
    return world, {"forbear": run.outcome(), **outcomes}
