"""Small encoders, catalogs and learned models."""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from engine.catalog import Catalog, Message
from engine.context import EncoderLearner, EncoderState, common_slots, name_hash
from engine.decision import Context
from engine.learning import Learner, Lesson, Priors, teaching
from engine.response import Prior
from engine.snapshot import Snapshot

CATALOG = Catalog(
    1,
    {
        "plain": Message(id="plain"),
        "offer": Message(id="offer", attributes={"category": "offer"}),
        "rich": Message(
            id="rich", attributes={"category": "offer", "tone": "warm", "discount": 0.2}
        ),
        "news": Message(id="news", attributes={"category": "news"}, send_cost=0.01),
    },
)


def learned_encoder(history: Sequence[Context]) -> EncoderState:
    """The encoder after these contexts, each taught once."""
    learner = EncoderLearner()
    for context in history:
        labels = {key: value for key, value in context.items() if isinstance(value, str)}
        numbers = {key: float(value) for key, value in context.items() if key not in labels}
        learner.learn_context(numbers, list(labels))
        hashes = [name_hash(f"{key}={value}") for key, value in labels.items()]
        learner.learn_slots(common_slots(np.array(hashes, np.uint64)))
    return learner.state()


def cold_deviation(encoder: EncoderState, context: Context) -> float:
    """Deviation of the click logit of a message with one attribute that nobody was ever sent."""
    prior = Prior(base_rate=0.02)
    snapshot = Snapshot.cold((prior, prior))
    message = Catalog(1, {"new": Message(id="new", attributes={"category": "x"})})
    forecast = snapshot.forecast(
        [encoder.encode(context)], np.zeros(1), message.hashes(np.zeros(1, np.int64))
    )
    return float(np.hypot(forecast.click_shared[0], forecast.click_own[0, 0]))


def random_context(rng: Generator) -> Context:
    """Up to 8 facts of all three kinds."""
    pool: list[tuple[str, float | str | bool]] = [
        ("tenure", float(rng.normal(100.0, 40.0))),
        ("opens", float(rng.integers(0, 5))),
        ("hour", float(rng.uniform(0, 24))),
        ("vip", bool(rng.random() < 0.3)),
        ("country", str(rng.choice(["DE", "FR", "IT"]))),
        ("device", str(rng.choice(["ios", "android"]))),
        ("plan", str(rng.choice(["free", "paid", "old"]))),
        ("spent", float(rng.exponential(30.0))),
    ]
    return dict(pool[i] for i in rng.permutation(len(pool))[: rng.integers(0, len(pool) + 1)])


def random_lesson(rng: Generator, encoder: EncoderState, *, first: bool = True) -> Lesson:
    """One lesson about a random decision, either head, either label."""
    context = random_context(rng)
    message = CATALOG.hashes(rng.integers(0, len(CATALOG.messages), 1))[0]
    label = int(rng.random() < 0.3)
    return Lesson(
        head="click" if rng.random() < 0.6 else "unsubscribe",
        label=label,
        weight=1.0 if label else float(rng.choice([0.5, 0.3, 0.15, 0.05])),
        taught=float(rng.choice([0.0, 0.5, 0.8])) if label else 0.0,
        delay=float(rng.exponential(3600.0)),
        first=first,
        teaching=teaching(encoder.encode(context), context, float(rng.exponential(1.0)), message),
    )


def taught(seed: int, lessons: int, priors: Priors | None = None) -> Learner:
    """A learner after random lessons; its encoder is taken up every 50."""
    rng = np.random.default_rng(seed)
    learner = Learner(priors or Priors())
    encoder = EncoderState()
    for number in range(lessons):
        if number % 50 == 0:
            encoder = learner.state().encoder
        learner.learn(random_lesson(rng, encoder))
    return learner
