"""The half-life is found where outcomes depend on it, and left alone where they do not."""

import numpy as np
import pytest
from scipy.special import expit

from engine.burden import decayed
from engine.catalog import Catalog, Message
from engine.errors import BadInput
from engine.half_life import DAY, Comparison, Send, compare

CATALOG = Catalog(1, {"a": Message(id="a")})
HASHES = CATALOG.hashes(np.array([0]))[0]
TRIED = (0.5 * DAY, 2 * DAY, 8 * DAY)


def log(half_life: float, fatigue: float, sends: int = 4000) -> list[Send]:
    """Sends to 40 users at uneven times; the click logit falls by `fatigue` per unit of burden."""
    rng = np.random.default_rng(3)
    burdens = {f"u{i}": (0.0, 0.0) for i in range(40)}
    made = []
    for at in np.sort(rng.uniform(0, 90 * DAY, sends)):
        user = f"u{rng.integers(40)}"
        burden = decayed(*burdens[user], float(at), half_life)
        burdens[user] = burden + 1.0, float(at)
        clicked = bool(rng.random() < expit(0.5 - fatigue * burden))
        made.append(Send(user, float(at), {}, HASHES, clicked, None))
    return made


@pytest.mark.parametrize("wrong", [0.5 * DAY, 8 * DAY])
def test_a_wrong_half_life_is_replaced_by_the_true_one(wrong: float) -> None:
    assert 2 * DAY == compare(log(2 * DAY, 1.0), wrong, TRIED).chosen


def test_where_burden_tires_nobody_the_half_life_stays() -> None:
    assert 2 * DAY == compare(log(2 * DAY, 0.0), 2 * DAY, TRIED).chosen


def test_a_small_difference_is_no_reason_to_change() -> None:
    """Log Bayes factors of 2 and of 4 against the 3 that it takes, over both alternatives."""
    assert 1.0 == Comparison({1.0: 102.0, 2.0: 100.0}, without=110.0, used=1.0).chosen
    assert 1.0 == Comparison({1.0: 104.0, 2.0: 100.0}, without=102.0, used=1.0).chosen
    assert 2.0 == Comparison({1.0: 104.0, 2.0: 100.0}, without=104.0, used=1.0).chosen


def test_the_half_life_in_use_is_always_compared() -> None:
    assert {DAY, 3 * DAY} == set(compare(log(DAY, 1.0, 20), 3 * DAY, (DAY,)).losses)


def test_a_half_life_of_nought_is_refused() -> None:
    with pytest.raises(BadInput, match="expected numbers above 0"):
        compare([], 0.0)


def test_a_share_of_an_unsubscribe_is_scored_as_so_much_of_one_and_the_rest_of_none() -> None:
    """Cold, a share of s costs s losses of a 1 and 1 - s of a 0: 0.25 lies a quarter of the way."""
    loss = {
        share: compare([Send("u", 0.0, {}, HASHES, None, share)], DAY, ()).without
        for share in (0.0, 0.25, 1.0)
    }
    assert loss[1.0] > loss[0.0] > 0.0
    assert 0.25 * loss[1.0] + 0.75 * loss[0.0] == pytest.approx(loss[0.25], rel=1e-6)


def test_four_shares_teach_less_than_four_unsubscribes() -> None:
    """After four whole ones the fifth surprises less than after one that four sends share."""

    def surprise(shares: list[float]) -> float:
        first = [Send("u", i * DAY, {}, HASHES, None, share) for i, share in enumerate(shares)]
        last = Send("u", 9 * DAY, {}, HASHES, None, 1.0)
        return compare([*first, last], DAY, ()).without - compare(first, DAY, ()).without

    assert surprise([1.0] * 4) < surprise([0.25] * 4) < surprise([0.0] * 4)
