"""A stream of sends with known probabilities: what every learner here is fed, row by row.

Users of the patience world are sent a random message now and then; nobody is taken away, so that
the stream does not depend on who learns. Rows are encoded as the engine does it, with what its
encoder has learned up to the day before; but burden is not centred on its running mean: a feature
that moves would handicap the filter, which believes that nothing does.
"""

from dataclasses import dataclass

import numpy as np

from engine.catalog import Catalog
from engine.catalog import Message as CatalogMessage
from engine.context import Singles, Slots
from engine.decision import Context
from engine.learning import Learner, Lesson, Priors, teaching
from engine.outcome import HeadName
from engine.snapshot import features
from engine.worlds import patience
from engine.worlds.population import Population
from engine.worlds.world import Floats, Ints

SEND_CHANCE = 0.2
"""Of each user on each day: burdens between 0 and 4."""


@dataclass(frozen=True, slots=True)
class Row:
    """One send."""

    slots: Slots
    values: Singles
    chance: dict[HeadName, float]
    """The true probabilities."""
    label: dict[HeadName, int]


def stream(seed: int, users: int, days: int, more: int = 0) -> list[Row]:
    """All sends of one population, in order of time.

    Messages have `more` attributes of four values beyond their own, that nobody cares for.
    """
    world = patience.world(seed, users, days)
    rng = np.random.default_rng([seed, 3])
    hashes = _catalog(world, more, seed).hashes(np.arange(len(world.messages)))
    learner = Learner(Priors())
    contexts = _contexts(world)
    burden = np.zeros(users)
    rows: list[Row] = []
    for step in range(len(world.times)):
        sent = np.flatnonzero(rng.random(users) < SEND_CHANCE)
        picked = rng.integers(len(world.messages), size=len(sent))
        encoder = learner.state().encoder
        lessons = []
        for user, message, chance in zip(
            sent.tolist(), picked.tolist(), _chances(world, sent, picked, burden, step), strict=True
        ):
            encoded = encoder.encode(contexts[user])
            slots, values = features(encoded, float(burden[user]), hashes[message])
            label: dict[HeadName, int] = {h: int(rng.random() < p) for h, p in chance.items()}
            rows.append(Row(slots, values, chance, label))
            told = teaching(encoded, contexts[user], float(burden[user]), hashes[message])
            lessons.append(Lesson("click", label["click"], 1.0, 0.0, 0.0, True, told))
        for lesson in lessons:
            learner.learn(lesson)
        burden[sent] += 1.0
        burden *= 2.0 ** (-1.0 / world.half_life)
    return rows


def _catalog(world: Population, more: int, seed: int) -> Catalog:
    drawn = np.random.default_rng([seed, 5]).integers(4, size=(len(world.messages), more))
    facts = [{f"fact_{i}": f"v{v}" for i, v in enumerate(row)} for row in drawn.tolist()]
    messages = {
        m.id: CatalogMessage(id=m.id, attributes={**m.attributes, **extra})
        for m, extra in zip(world.messages, facts, strict=True)
    }
    return Catalog(1, messages)


def _contexts(world: Population) -> list[Context]:
    columns = [column.tolist() for column in world.lasting.values()]
    return [dict(zip(world.lasting, row, strict=True)) for row in zip(*columns, strict=True)]


def _chances(
    world: Population, users: Ints, messages: Ints, burden: Floats, step: int
) -> list[dict[HeadName, float]]:
    """True probabilities of these sends."""
    asked = (users, burden[users], step, np.zeros((len(users), 0)))
    row = np.arange(len(users))
    click = world.click_probability(*asked)[row, messages].tolist()
    leave = world.unsubscribe_probability(*asked)[row, messages].tolist()
    return [{"click": c, "unsubscribe": u} for c, u in zip(click, leave, strict=True)]
