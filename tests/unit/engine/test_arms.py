"""Who is in which arm: shares, stickiness, and what a bad setting is told."""

import zlib
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare

from engine.arms import Arm, Experiment, Shares, assignment_key, parse_arms, place, shares_of
from engine.errors import BadInput
from service.store.keys import shard_of

KEY = assignment_key(b"secret of a deployment", "forbear")
FOUR = Shares(holdout=0.05, random=0.02, business_as_usual=0.1)
MILLION = 1_000_000

ATTRIBUTES: dict[str, Callable[[int], int]] = {
    "country": lambda n: zlib.crc32(f"country-{n}".encode()) % 7,
    "tenure": lambda n: n * 10 // MILLION,
    "parity": lambda n: n % 2,
    "shard": lambda n: shard_of(f"user-{n}"),
}
"""Of user n."""


@pytest.fixture(scope="module", name="arms")
def _arms() -> list[Arm]:
    """The arms of a million users."""
    arm_of = Experiment(FOUR, KEY).arm_of
    return [arm_of(f"user-{n}") for n in range(MILLION)]


def test_a_million_users_fall_to_the_arms_by_their_shares(arms: list[Arm]) -> None:
    """Sample-ratio test: chi-square against 50,000, 20,000, 100,000 and 830,000 users."""
    found, shares = Counter(arms), FOUR.by_arm()
    expected = [share * MILLION for share in shares.values()]
    assert chisquare([found[arm] for arm in shares], expected).pvalue > 0.001


def test_the_sample_ratio_test_would_see_a_holdout_of_5_2_percent(arms: list[Arm]) -> None:
    found, told = Counter(arms), Shares(0.052, 0.02, 0.098).by_arm()
    expected = [share * MILLION for share in told.values()]
    assert chisquare([found[arm] for arm in told], expected).pvalue < 1e-6


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_the_arm_tells_nothing_of_context_or_shard(arms: list[Arm], attribute: str) -> None:
    """Chi-square of independence; each attribute is a function of the user id, as in life."""
    order = list(FOUR.by_arm())
    users = range(0, MILLION, 5 if attribute == "shard" else 1)
    level = np.fromiter((ATTRIBUTES[attribute](n) for n in users), np.int64)
    arm = np.fromiter((order.index(arms[n]) for n in users), np.int64)
    table = np.bincount(level * 4 + arm, minlength=4 * (level.max() + 1)).reshape(-1, 4)
    assert chi2_contingency(table).pvalue > 0.001


def test_a_user_stays_with_key_and_name_and_is_dealt_anew_with_another() -> None:
    """Under another name a user keeps an arm of share s by chance alone: sum s^2 = 0.702."""
    users = [f"user-{n}" for n in range(20_000)]
    first = [Experiment(FOUR, KEY).arm_of(user) for user in users]
    assert first == [Experiment(FOUR, bytes(KEY)).arm_of(user) for user in users]
    renamed = assignment_key(b"secret of a deployment", "second")
    for key in (renamed, assignment_key(b"another secret", "forbear")):
        other = [Experiment(FOUR, key).arm_of(user) for user in users]
        kept = sum(a == b for a, b in zip(first, other, strict=True)) / len(users)
        assert 0.702 == pytest.approx(kept, abs=0.02)


def test_a_place_is_the_same_on_every_machine() -> None:
    """Golden: another value would deal the users of every deployment anew."""
    golden = [0.5761877442834954, 0.17761197921429794, 0.4149227823303663]
    assert golden == [place(KEY, user) for user in ("u1", "Zoë", "")]


def test_in_shadow_everybody_is_in_the_shadow() -> None:
    shadow = Experiment(FOUR, KEY, shadow=True)
    assert {Arm.SHADOW} == {shadow.arm_of(f"user-{n}") for n in range(1000)}


def test_shares_are_read_as_written_and_the_bandit_has_the_rest() -> None:
    assert Shares(0.05, 0.01, 0.0) == parse_arms("holdout:0.05  random:0.01")
    assert 0.94 == pytest.approx(parse_arms("holdout:0.05 random:0.01").bandit)
    assert Shares() == parse_arms("") == shares_of({"bandit": 1.0})
    assert Shares(0.1, 0.0, 0.7) == shares_of(
        {"holdout": 0.1, "business_as_usual": 0.7, "bandit": 0.2}
    )
    everybody_as_usual = parse_arms("business_as_usual:1")
    assert {Arm.BUSINESS_AS_USUAL} == {
        Experiment(everybody_as_usual, KEY).arm_of(f"user-{n}") for n in range(1000)
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("holdot:0.1", "arm 'holdot' is not known; expected some of holdout, random, business_a"),
        ("holdot:0.1", "did you mean holdout?"),
        ("shadow:0.1", "arm 'shadow' is not known"),
        ("holdout", "arm 'holdout' of 'holdout' cannot be read; expected each arm once with a"),
        ("holdout:0.1 holdout:0.2", "arm 'holdout:0.2' of 'holdout:0.1 holdout:0.2' cannot be"),
        ("holdout:5", "arm holdout has the share 5; expected a number from 0 to 1, such as 0.05"),
        ("holdout:-0.1", "arm holdout has the share -0.1; expected a number from 0 to 1"),
        ("holdout:5%", "arm holdout has the share '5%'; expected a number from 0 to 1"),
        ("holdout:0.6 random:0.5", "the arms' shares sum to 1.1; expected at most 1"),
        ("holdout:0.1 bandit:0.8", "the arms' shares sum to 0.9 with the bandit's among them"),
    ],
)
def test_arms_that_cannot_be_used_get_one_sentence(text: str, says: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_arms(text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
