"""Settings under which the store could not keep its word are refused in a sentence."""

import pytest

from engine.errors import BadInput
from service.store.limits import DAY_S, Rules


@pytest.mark.parametrize("half_life_s", [0.0, -1.0, float("nan")])
def test_a_half_life_is_more_than_nothing(half_life_s: float) -> None:
    with pytest.raises(BadInput, match=r"half-life is .* s; give more than 0\."):
        Rules(half_life_s, 9 * DAY_S, b"secret")


def test_an_event_id_must_be_known_for_eight_days() -> None:
    with pytest.raises(BadInput, match="kept 7 days; give at least 8"):
        Rules(1.0, 7 * DAY_S, b"secret")


def test_tombstones_need_a_secret() -> None:
    with pytest.raises(BadInput, match="secret of the tombstones is empty"):
        Rules(1.0, 9 * DAY_S, b"")
