"""How a population is drawn: a recipe of a dozen numbers, and the dice.

Every user has 29 lasting context keys; a handful matter, the others are noise a learner must see
through. Four keys move the general wish to click, four others the readiness to leave; each message
category appeals to holders of its own interests; each message has an appeal and a nuisance of its
own. All effects are linear in the keys, so a linear model can in principle know the truth; what a
recipe hides from the context (`hidden_*`) nobody can know but by repeated contact.
"""

from dataclasses import dataclass

import numpy as np

from engine.worlds.population import Population
from engine.worlds.world import Column, Floats, Ints, Message

COUNTRIES = ("AT", "DE", "ES", "FR", "IT")
PLATFORMS = ("android", "ios", "web")
SUBJECTS = ("art", "books", "cars", "cooking", "film", "games", "music", "pets", "sport", "travel")
INTERESTS = (
    *(f"likes_{subject}" for subject in SUBJECTS),
    *("is_parent", "has_card", "in_city", "uses_tablet", "night_owl", "from_referral"),
    *("has_account", "saw_tour", "likes_offers"),
)
SCORES = ("tenure", "activity", "spend", "recency", "age", "battery", "storage", "signal")
CATEGORIES = ("offer", "digest", "news", "reminder")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A population's shape. Spreads are standard deviations over users, on the logit scale."""

    name: str
    users: int = 600
    days: int = 120
    messages: int = 12
    categories: tuple[str, ...] = CATEGORIES
    half_life: float = 5.0
    send_cost: float = 0.002
    click_base: float = -0.95
    click_spread: float = 1.0
    taste_spread: float = 0.7
    appeal_spread: float = 0.3
    """Over messages."""
    click_fatigue: float = 1.0
    unsubscribe_base: float = -7.6
    unsubscribe_spread: float = 1.5
    nuisance_spread: float = 0.3
    """Over messages."""
    unsubscribe_fatigue: float = 0.8


def populate(recipe: Recipe, seed: int) -> Population:
    """Draw a population: one decision a day for everybody, one regime, no moments."""
    rng = np.random.default_rng([seed, 0])
    n, k = recipe.users, recipe.messages
    lasting = draw_context(n, rng)
    x = standardised(lasting)
    messages, category = draw_messages(recipe)
    click = draw_wishes(recipe, x, category, rng)
    leave = recipe.unsubscribe_base + recipe.unsubscribe_spread * _mixture(x, 4, rng)[:, None]
    leave = leave + recipe.nuisance_spread * rng.normal(size=k)
    return Population(
        name=recipe.name,
        messages=messages,
        values=np.ones(n),
        times=np.arange(0.5, recipe.days),
        horizon=float(recipe.days),
        half_life=recipe.half_life,
        send_cost=recipe.send_cost,
        lasting=lasting,
        click_logit=click[None],
        unsubscribe_logit=leave[None],
        click_fatigue=np.full(n, recipe.click_fatigue),
        unsubscribe_fatigue=np.full(n, recipe.unsubscribe_fatigue),
        regimes=np.zeros(recipe.days, dtype=np.int64),
        availability=np.ones((1, k), dtype=np.bool_),
        presence=np.ones(n),
    )


def draw_context(n: int, rng: np.random.Generator) -> dict[str, Column]:
    """Lasting context of n users: two texts, 19 booleans, eight standard normal scores."""
    context: dict[str, Column] = {
        "country": rng.choice(COUNTRIES, size=n),
        "platform": rng.choice(PLATFORMS, size=n),
    }
    context |= {key: rng.random(n) < rng.uniform(0.2, 0.5) for key in INTERESTS}
    return context | {key: rng.normal(size=n) for key in SCORES}


def standardised(context: dict[str, Column]) -> Floats:
    """The booleans and scores of a context, each with mean 0 and variance 1: (n, 27)."""
    x = np.stack([context[key].astype(float) for key in INTERESTS + SCORES], axis=1)
    centred: Floats = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    return centred


def draw_messages(recipe: Recipe) -> tuple[tuple[Message, ...], Ints]:
    """The catalog, categories dealt out in turn, and the category of each message (K,)."""
    category = np.arange(recipe.messages) % len(recipe.categories)
    messages = tuple(
        Message(f"{recipe.categories[c]}_{i:02d}", {"category": recipe.categories[c]})
        for i, c in enumerate(category)
    )
    return messages, category


def draw_wishes(recipe: Recipe, x: Floats, category: Ints, rng: np.random.Generator) -> Floats:
    """Click logits at burden 0: the user's wish, his taste for the message, its appeal: (n, K).

    Three quarters of the variance of taste go by category, the rest by message.
    """
    wish = _mixture(x, 4, rng)[:, None]
    by_category = np.stack([_mixture(x, 4, rng) for _ in recipe.categories], axis=1)
    by_message = np.stack([_mixture(x, 3, rng) for _ in category], axis=1)
    taste = np.sqrt(0.75) * by_category[:, category] + np.sqrt(0.25) * by_message
    logits: Floats = recipe.click_base + recipe.click_spread * wish + recipe.taste_spread * taste
    return logits + recipe.appeal_spread * rng.normal(size=len(category))


def _mixture(x: Floats, keys: int, rng: np.random.Generator) -> Floats:
    """A sum over a few keys with random signs and sizes, scaled to variance 1 over users: (n,)."""
    picked = rng.choice(x.shape[1], size=keys, replace=False)
    sizes = rng.uniform(0.5, 1.0, size=keys) * rng.choice([-1.0, 1.0], size=keys)
    raw = x[:, picked] @ sizes
    scaled: Floats = (raw - raw.mean()) / max(raw.std(), 1e-9)
    return scaled
