"""A stream of sends with known probabilities: what every learner here is fed, row by row.

Users of the patience world are sent a random message now and then; nobody is taken away, so that
the stream does not depend on who learns. Rows are encoded as the engine's learner does it.
"""

from dataclasses import dataclass

import numpy as np

from engine.catalog import Catalog
from engine.catalog import Message as CatalogMessage
from engine.context import Singles, Slots
from engine.decision import Context
from engine.learning import Learner, Lesson, Priors, teaching
from engine.outcome import HeadName
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
        lessons: list[tuple[Lesson, dict[HeadName, float], dict[HeadName, int]]] = []
        for user, message, chance in zip(
            sent.tolist(), picked.tolist(), _chances(world, sent, picked, burden, step), strict=True
        ):
            encoded = encoder.encode(contexts[user])
            label: dict[HeadName, int] = {h: int(rng.random() < p) for h, p in chance.items()}
            told = teaching(encoded, contexts[user], float(burden[user]), hashes[message])
            lesson = Lesson("click", label["click"], 1.0, 0.0, 0.0, True, told)
            lessons.append((lesson, chance, label))
        for lesson, chance, label in lessons:
            rows.append(Row(*learner.features(lesson), chance, label))
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
