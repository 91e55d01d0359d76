"""Labels are a function of the set of events; shares of one unsubscribe are a partition of it."""

import math
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from engine.attribution import Arrival, Ends, credit, settle

KINDS = ["click", "unsubscribe", "conversion", "dismiss", "sent", "not_sent", "subscribe"]

times = st.integers(0, 12).map(float)
arrivals = st.lists(
    st.builds(
        Arrival,
        st.sampled_from(KINDS),
        times,
        st.sampled_from([None, 0.0, 0.25, 1.0]),
        st.booleans(),
    ),
    max_size=8,
)
ends = st.builds(
    Ends,
    st.none() | times,
    st.none() | times,
    st.none() | times,
    st.sampled_from(["click", "conversion"]),
)


@given(arrivals, ends, st.randoms(use_true_random=False), st.integers(0, 3))
def test_repeating_and_reordering_events_changes_no_label(
    events: list[Arrival], windows: Ends, shuffler: Random, repeats: int
) -> None:
    again = events * (1 + repeats)
    shuffler.shuffle(again)
    assert settle(events, windows) == settle(again, windows)


@given(arrivals, ends, arrivals)
def test_events_after_every_deadline_change_no_label(
    events: list[Arrival], windows: Ends, later: list[Arrival]
) -> None:
    """A decision without windows has no deadline: it can be taken back as long as it is known."""
    assume(windows.click is not None or windows.unsubscribe is not None)
    last = max(windows.click or 0.0, windows.unsubscribe or 0.0, windows.confirm_by or 0.0)
    late = [Arrival(e.type, last + e.now, e.share, e.named) for e in later]
    assert settle(events, windows) == settle([*events, *late], windows)


@given(arrivals, ends)
def test_a_label_is_none_or_within_zero_and_one(events: list[Arrival], windows: Ends) -> None:
    labels = settle(events, windows)
    assert labels.click in (None, 0.0, 1.0)
    assert labels.unsubscribe is None or 0.0 <= labels.unsubscribe <= 1.0
    assert not labels.censored or (labels.click is None and labels.unsubscribe is None)
    if not labels.censored:
        assert (windows.click is None) == (labels.click is None)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=50))
def test_shares_sum_to_one_unsubscribe(hazards: list[float]) -> None:
    shares = credit(hazards)
    assert all(share >= 0.0 for share in shares)
    assert math.isclose(1.0, math.fsum(shares), rel_tol=1e-9)


@given(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=20))
def test_the_larger_hazard_never_takes_the_smaller_share(hazards: list[float]) -> None:
    by_hazard = [share for _, share in sorted(zip(hazards, credit(hazards), strict=True))]
    assert sorted(by_hazard) == by_hazard
