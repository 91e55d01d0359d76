"""The half-life of the burden, chosen from a log: the one under which outcomes surprise least.

Burden is our own bookkeeping, so a log of sends gives the burden under any half-life. For each of a
few, a fresh learner goes through the same sends in order of time, is scored on every label before
it learns it (progressive log loss, both heads), and the smallest total wins. Of an unsubscribe that
several sends share, each is scored on its part, and on the rest as on silence. That total is minus
the logarithm of the probability which the learner gave to the whole log, so a difference of two of
them is the logarithm of a Bayes factor (Dawid 1984), and a small one is no reason to change.

Assumption: sends teach at once; over months the days that labels take do not matter. Limit: burdens
must vary. A log in which every user gets a message a day cannot tell half-lives apart. And where
burden explains nothing, the half-life under which it varies least wins by default; so a change also
needs to be clearly better than a learner that knows no burden.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.burden import decayed
from engine.context import Hashes
from engine.decision import Context
from engine.errors import BadInput
from engine.learning import Learner, Lesson, Priors, teaching
from engine.outcome import HeadName

DAY = 86400.0
CANDIDATES = (1 * DAY, 2 * DAY, 4 * DAY, 8 * DAY, 16 * DAY)
CLEARLY = 3.0
"""Logarithm of the Bayes factor (20 to 1) from which on another half-life replaces the one used."""
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
    unsubscribe: float | None
    """This send's share of an unsubscribe, from 0 (nobody left) to 1 (by this send alone)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the log says of each half-life."""

    losses: dict[float, float]
    """Half-life (seconds) -> progressive log loss of all sends, both heads."""
    without: float
    """The same where burden is taken to be 0 all the time."""
    used: float

    @property
    def best(self) -> float:
        """The half-life of the smallest loss."""
        return min(self.losses, key=lambda each: self.losses[each])

    @property
    def chosen(self) -> float:
        """The best half-life if it is clearly better, else the one in use."""
        bar = min(self.losses[self.used], self.without) - CLEARLY
        return self.best if self.losses[self.best] < bar else self.used


def compare(
    sends: Sequence[Send],
    used: float,
    candidates: Sequence[float] = CANDIDATES,
    priors: Priors | None = None,
) -> Comparison:
    """Compare half-lives on sends in order of time; `used` is always among them."""
    if not all(half_life > 0 for half_life in (used, *candidates)):
        raise BadInput(
            f"half-lives of {sorted({*candidates, used})} seconds were given; expected numbers "
            "above 0: correct them"
        )
    tried = sorted({*candidates, used})
    priors = priors or Priors()
    losses = {each: _loss(sends, each, priors) for each in tried}
    return Comparison(losses, _loss(sends, None, priors), used)


def _loss(sends: Sequence[Send], half_life: float | None, priors: Priors) -> float:
    """Log loss of all labels under one half-life, each before it is learned."""
    learner = Learner(priors)
    encoder = learner.state().encoder
    burdens: dict[str, tuple[float, float]] = {}
    loss = 0.0
    for i, send in enumerate(sends):
        if i % _REFRESH == 0:
            encoder = learner.state().encoder
        since = burdens.get(send.user_id, (0.0, send.at))
        burden = 0.0 if half_life is None else decayed(*since, send.at, half_life)
        burdens[send.user_id] = burden + 1.0, send.at
        told = teaching(encoder.encode(send.context), send.context, burden, send.message, send.at)
        lessons = _lessons(send, told)
        loss += sum(lesson.weight * learner.loss(lesson) for lesson in lessons)
        for lesson in lessons:
            learner.learn(lesson)
    return loss


def _lessons(send: Send, told: bytes) -> list[Lesson]:
    """What a send's labels teach: a share is so much of a 1, and the rest of it a 0."""
    shares: tuple[tuple[HeadName, float | None], ...] = (
        ("click", send.click),
        ("unsubscribe", send.unsubscribe),
    )
    parts = [
        (head, label, weight)
        for head, share in shares
        if share is not None
        for label, weight in ((1, float(share)), (0, 1.0 - share))
        if weight > 0.0
    ]
    return [
        Lesson(head, label, weight, 0.0, 0.0, first=i == 0, teaching=told)
        for i, (head, label, weight) in enumerate(parts)
    ]
