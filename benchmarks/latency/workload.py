"""The one workload of all timings: 20 candidates, 30 context features, a model that has learned.

Each message has one attribute besides its id; half of the context's features are numbers, half
strings. The model has learned from 2,000 sends, so that scales are known and weights differ.
"""

from dataclasses import dataclass

import numpy as np

from engine.catalog import Catalog, Message
from engine.decision import Context, Request, UserState
from engine.learning import Learner, Lesson, Priors
from engine.policy import Model, Policy, decide

MESSAGES, FEATURES = 20, 30
LESSONS = 2000


@dataclass(frozen=True, slots=True)
class Workload:
    """A model and contexts to decide in."""

    learner: Learner
    model: Model
    contexts: list[Context]


def catalog() -> Catalog:
    """20 messages in five categories."""
    names = [f"message-{i}" for i in range(MESSAGES)]
    return Catalog(
        1, {n: Message(id=n, attributes={"category": f"c{i % 5}"}) for i, n in enumerate(names)}
    )


def contexts(number: int, seed: int = 0) -> list[Context]:
    """Maps of 15 numbers and 15 strings of four values each."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(10.0, 3.0, (number, FEATURES // 2)).round(3).tolist()
    choices = rng.integers(0, 4, (number, FEATURES // 2)).tolist()
    return [
        {f"number_{i}": value for i, value in enumerate(row)}
        | {f"string_{i}": f"value_{choice}" for i, choice in enumerate(picked)}
        for row, picked in zip(numbers, choices, strict=True)
    ]


def learned() -> Workload:
    """The workload with a model that has seen `LESSONS` sends: clicks 5%, unsubscribes 0.5%."""
    rng = np.random.default_rng(1)
    known, learner = catalog(), Learner(Priors())
    candidates = tuple(known.messages)
    some = contexts(LESSONS, seed=2)
    snapshot = learner.snapshot(0)
    for number, context in enumerate(some):
        if number % 500 == 0:
            snapshot = learner.snapshot(number)
        model = Model(Policy(floor=0.5, floor_harm=1e9), snapshot, known)
        asked = Request(f"user-{number}", context, candidates)
        (drawn,) = decide(model, [asked], [UserState()], ["00-x"], now=0.0, rng=rng)
        if drawn.teaching:
            clicked, left = int(rng.random() < 0.05), int(rng.random() < 0.005)
            learner.learn(Lesson("click", clicked, 1.0, 0.0, 60.0, True, drawn.teaching))
            learner.learn(Lesson("unsubscribe", left, 1.0, 0.0, 60.0, False, drawn.teaching))
    return Workload(learner, Model(Policy(), learner.snapshot(1), known), contexts(256, seed=3))
