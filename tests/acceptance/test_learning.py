"""A sender asks over HTTP, feedback comes back, and later answers are better."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from engine.catalog import Catalog, Message
from engine.decision import Floats
from engine.learning import Learner
from engine.snapshot import Snapshot, State, from_bytes
from engine.worlds.patience import world as patience_world
from engine.worlds.population import Population
from engine.worlds.simulation import Run
from service.assembly import priors
from service.demo.local import running_service
from service.demo.population import DAY_S, OverHttp, settings
from service.settings import load_settings
from service.store.redis import RedisStore
from tests.acceptance.conftest import with_store

ASKED, HELD_OUT, DAYS = 200, 200, 10
PRIORS = priors(load_settings())


async def _published(store: RedisStore) -> State:
    blob = await store.load_model(await store.current_version())
    assert blob is not None
    return from_bytes(blob)


def _excess_loss(state: State, world: Population, burdens: Floats) -> float:
    """Mean log loss of the click forecasts above the truth's, in nats: KL(truth || forecast).

    Over every message and the users that nobody was ever asked about, at the given burdens: those
    of the users that were.
    """
    users = np.arange(ASKED, world.n_users)
    columns = world.context(users, world.moments(0, users, 0))
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    snapshot = Snapshot(1, state, (PRIORS.click, PRIORS.unsubscribe))
    contexts = [snapshot.encoder.encode(dict(zip(columns, row, strict=True))) for row in rows]
    messages = {m.id: Message(id=m.id, attributes=m.attributes) for m in world.messages}
    catalog = Catalog(1, messages)
    hashes = catalog.hashes(catalog.rows(list(messages)))
    forecast = snapshot.forecast(contexts, burdens, hashes)
    p = world.click_probability(users, burdens, 0, world.moments(0, users, 0))
    q = expit(forecast.click)
    return float((p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_thousand_decisions_over_http_improve_the_model(seed: int) -> None:
    """200 users x 10 days; another 200 users are never asked about and judge the model."""
    population = patience_world(seed=seed, users=ASKED + HELD_OUT, days=DAYS)
    asked = np.arange(population.n_users) < ASKED
    world = replace(population, presence=np.where(asked, population.presence, 0.0))
    states = [Learner(PRIORS).state()]
    with running_service(settings(world)) as service, service.client() as client:
        policy, run = OverHttp(world, client), Run(world, seed)
        while (batch := run.next()) is not None:
            burdens = np.resize(batch.burden, HELD_OUT)
            policy.observe(*run.apply(policy.act(batch)))
            if batch.step + 1 in (DAYS // 2, DAYS):
                states.append(with_store(service, DAY_S, _published))
    before, half, after = (_excess_loss(state, world, burdens) for state in states)
    assert before > half
    assert after < 0.8 * before
