"""Arms: which users are kept apart so that what Forbear brings can be measured.

A user's place in [0, 1) is a keyed hash of the user id and nothing else: the same in every process
and for as long as secret and experiment name stay, unrelated to the context, and to the shard,
which is a hash of the id without a key. Nothing is stored of it.

    0 |holdout ->        .25 |random ->                            <- business as usual| 1

Each arm owns a range that grows away from where it starts; what lies between is the bandit's. A
changed share so moves only users at the end of its own range. With d the differences of the three
configured shares, and no range reaching the start of another:

    moved share = sum |d|,    which is half the L1 distance, the least there can be, if all of d
                              have one sign (one share changed, or all raised, or all lowered)

A range that meets another one's start goes on behind it; then moving `random` moves as many users
of the other arm, so at most |d_holdout| + |d_business_as_usual| + 2 |d_random| move. Limit: no rule
that knows only hash and shares always reaches the least. For shares (1/2, 1/2, 0), (1/2, 0, 1/2),
(0, 1/2, 1/2) of three arms, the least from the first to each other one fixes who is in which half,
and between the latter two everybody then moves.
"""

import difflib
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from engine.errors import BadInput

RANDOM_STARTS: Final = 0.25
"""Holdouts are smaller than this, so that `random` may change without touching them."""
_ROUNDING: Final = 1e-9


class Arm(StrEnum):
    """Who decides for a user. The only list of them."""

    HOLDOUT = "holdout"
    """Nothing is ever sent, nor anything transactional: what happens without any push."""
    RANDOM = "random"
    """Evenly drawn among the harmless candidates and silence: the best data for evaluation."""
    BUSINESS_AS_USUAL = "business_as_usual"
    """The first candidate, in the sender's order, as often as the usual caps allow."""
    BANDIT = "bandit"
    """The learned policy."""
    SHADOW = "shadow"
    """The learned policy, written down and not carried out: the sender's own tool is at work."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of users, each in [0, 1]; the bandit has what is left."""

    holdout: float = 0.0
    random: float = 0.0
    business_as_usual: float = 0.0

    @property
    def bandit(self) -> float:
        """What is left."""
        return max(0.0, 1.0 - self.holdout - self.random - self.business_as_usual)

    def by_arm(self) -> dict[Arm, float]:
        """The four shares, which sum to 1."""
        return {
            Arm.HOLDOUT: self.holdout,
            Arm.RANDOM: self.random,
            Arm.BUSINESS_AS_USUAL: self.business_as_usual,
            Arm.BANDIT: self.bandit,
        }


EVERYBODY: Final = Shares()
"""No experiment: the bandit decides for all."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """The assignment of users to arms."""

    shares: Shares = EVERYBODY
    key: bytes = b""
    """From `assignment_key`."""
    shadow: bool = False
    """Nothing is sent to anybody; what would have been is written down."""

    def arm_of(self, user_id: str) -> Arm:
        """The user's arm."""
        return Arm.SHADOW if self.shadow else arm_at(place(self.key, user_id), self.shares)


def assignment_key(secret: bytes, experiment: str) -> bytes:
    """The key of an experiment's hash; another name deals all users anew."""
    return hmac.digest(secret, b"arms:" + experiment.encode(), hashlib.sha256)


def place(key: bytes, user_id: str) -> float:
    """A user's place in [0, 1), uniform over users: BLAKE2b's first 53 bits."""
    digest = hashlib.blake2b(user_id.encode(), key=key, digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) * 2.0**-53


def arm_at(at: float, shares: Shares) -> Arm:
    """The arm that owns the place `at` in [0, 1)."""
    starts = min(RANDOM_STARTS, 1.0 - shares.random)
    if starts <= at < starts + shares.random:
        return Arm.RANDOM
    among_rest = at if at < starts else at - shares.random
    if among_rest < shares.holdout:
        return Arm.HOLDOUT
    if among_rest >= 1.0 - shares.random - shares.business_as_usual:
        return Arm.BUSINESS_AS_USUAL
    return Arm.BANDIT


# -- as written in the settings


def parse_arms(text: str) -> Shares:
    """Shares as written, e.g. "holdout:0.05 random:0.01"; nothing written is no experiment."""
    given: dict[str, float] = {}
    for part in text.split():
        name, colon, share = part.partition(":")
        if not colon or name in given:
            raise BadInput(
                f"arm {part[:80]!r} of {text[:80]!r} cannot be read; expected each arm once with a "
                "colon and its share, such as holdout:0.05 random:0.01: correct it"
            )
        given[name] = _number(name, share)
    return shares_of(given)


def shares_of(given: Mapping[str, float]) -> Shares:
    """Checked shares by arm; `bandit` may be left out, and must be the rest where it is given."""
    for name, share in given.items():
        _check(name, share)
    total = sum(given.values())
    if total > 1.0 + _ROUNDING:
        raise BadInput(
            f"the arms' shares sum to {total:g}; expected at most 1, of which the bandit has what "
            "is left: lower one of them"
        )
    if Arm.BANDIT in given and total < 1.0 - _ROUNDING:
        raise BadInput(
            f"the arms' shares sum to {total:g} with the bandit's among them; expected 1, because "
            "the bandit has what the others leave: leave it out"
        )
    configured = {name: share for name, share in given.items() if name != Arm.BANDIT}
    return Shares(**configured)


def _check(name: str, share: float) -> None:
    known = [str(arm) for arm in EVERYBODY.by_arm()]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else "correct it"
        raise BadInput(
            f"arm {name[:80]!r} is not known; expected some of {', '.join(known)}: {remedy}"
        )
    if not 0.0 <= share <= 1.0:
        raise _no_share(name, f"{share:g}")


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _no_share(name, repr(text[:80])) from None


def _no_share(name: str, written: str) -> BadInput:
    return BadInput(
        f"arm {name[:80]} has the share {written}; expected a number from 0 to 1, such as 0.05 for "
        "5 of 100 users: correct it"
    )
