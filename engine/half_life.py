"""The half-life of the burden, chosen from a log: the one under which outcomes surprise least.

Burden is our own bookkeeping, so a log of sends gives the burden under any half-life. For each of a
few, a fresh learner goes through the same sends in order of time, is scored on every label before
it learns it (progressive log loss, both heads), and the smallest total wins. The losses are paired
send by send, so what decides is small against the losses themselves; the difference to the one in
use is given with its standard error, and one that is not clearly smaller is no reason to change.

Assumption: sends teach at once; over months the days that labels take do not matter. Limit: burdens
must vary. A log in which every user gets a message a day cannot tell half-lives apart, and says so
by a difference within its error.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.burden import decayed
from engine.context import Hashes
from engine.decision import Context, Floats
from engine.errors import BadInput
from engine.learning import Learner, Lesson, Priors, teaching
from engine.outcome import HeadName

DAY = 86400.0
CANDIDATES = (1 * DAY, 2 * DAY, 4 * DAY, 8 * DAY, 16 * DAY)
CLEARLY = 2.0
"""Standard errors by which another half-life must be better to replace the one in use."""
_REFRESH = 200
"""Sends after which the scales of the encoding are brought up to date."""


@dataclass(frozen=True, slots=True)
class Send:
    """A send whose labels are settled; a label that teaches nothing is None."""

    user_id: str
    at: float
    """Seconds."""
    context: Context
    message: Hashes
    """(A + 1,)"""
    click: bool | None
    unsubscribe: bool | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the log says of each half-life."""

    losses: dict[float, float]
    """Half-life (seconds) -> mean progressive log loss of a send, both heads."""
    best: float
    used: float
    gain: float
    """Mean loss of the one in use less that of the best; 0 or more."""
    error: float
    """Standard error of `gain`."""

    @property
    def chosen(self) -> float:
        """The best half-life if it is clearly better, else the one in use."""
        return self.best if self.gain > CLEARLY * self.error else self.used


def compare(
    sends: Sequence[Send],
    used: float,
    candidates: Sequence[float] = CANDIDATES,
    priors: Priors | None = None,
) -> Comparison:
    """Compare half-lives on sends in order of time; `used` is always among them."""
    if len(sends) < 2:
        raise BadInput(
            f"{len(sends)} settled sends were given; expected at least two, in order of time: "
            "export a longer log"
        )
    tried = sorted({*candidates, used})
    losses = {each: _losses(sends, each, priors or Priors()) for each in tried}
    best = min(tried, key=lambda each: float(losses[each].sum()))
    gained = losses[used] - losses[best]
    return Comparison(
        losses={each: float(losses[each].mean()) for each in tried},
        best=best,
        used=used,
        gain=float(gained.mean()),
        error=float(gained.std(ddof=1) / math.sqrt(len(sends))),
    )


def _losses(sends: Sequence[Send], half_life: float, priors: Priors) -> Floats:
    """(sends,) log loss of each send's labels under one half-life, before they are learned."""
    learner = Learner(priors)
    encoder = learner.state().encoder
    burdens: dict[str, tuple[float, float]] = {}
    losses = np.zeros(len(sends))
    for i, send in enumerate(sends):
        if i % _REFRESH == 0:
            encoder = learner.state().encoder
        since = burdens.get(send.user_id, (0.0, send.at))
        burden = decayed(*since, send.at, half_life)
        burdens[send.user_id] = burden + 1.0, send.at
        told = teaching(encoder.encode(send.context), send.context, burden, send.message, send.at)
        for lesson in _lessons(send, told):
            losses[i] += learner.loss(lesson)
            learner.learn(lesson)
    return losses


def _lessons(send: Send, told: bytes) -> list[Lesson]:
    labels: tuple[tuple[HeadName, bool | None], ...] = (
        ("click", send.click),
        ("unsubscribe", send.unsubscribe),
    )
    known = [(head, label) for head, label in labels if label is not None]
    return [
        Lesson(head, int(label), 1.0, 0.0, 0.0, first=i == 0, teaching=told)
        for i, (head, label) in enumerate(known)
    ]
