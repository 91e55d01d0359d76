"""What is printed, written and let through."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import BadInput
from engine.evaluation import estimates, report
from engine.evaluation.abstention import held_back
from engine.evaluation.compare import Comparison, compare
from engine.evaluation.diagnostics import Verdict
from engine.evaluation.gate import gate
from engine.evaluation.intervals import normal_interval
from engine.evaluation.log import Log, LoggedBatch, Prices, log_in_memory, realised_utility
from engine.evaluation.policies import (
    Always,
    Computed,
    FrequencyCap,
    Logged,
    Never,
    Random,
    Repriced,
    TargetPolicy,
)
from engine.evaluation.scoring import touching_level
from engine.evaluation.settings import Settings
from tests.unit.evaluation.logs import draw

ARMS = ("abstain", "good", "harmful")
CLICK = np.array([0.0, 0.03, 0.045])
LEAVE = np.array([0.0, 0.002, 0.02])


def outreach(n: int = 60_000, seed: int = 0) -> LoggedBatch:
    """Uniform log: `harmful` earns more clicks and ten times the unsubscribes."""
    rng = np.random.default_rng(seed)
    law = np.full((n, 3), 1.0 / 3.0)
    action = draw(law, rng)
    ids = np.arange(n, dtype=np.uint64)
    forecasts = {"forecast:click": CLICK, "forecast:unsubscribe": LEAVE}
    return LoggedBatch(
        row_id=ids,
        user=ids,
        time=np.zeros(n),
        action=action,
        propensity=np.full(n, 1.0 / 3.0),
        outcomes={
            "click": (rng.random(n) < CLICK[action]).astype(float),
            "unsubscribe": (rng.random(n) < LEAVE[action]).astype(float),
        },
        value=np.ones(n),
        send_cost=np.full(n, 0.002),
        pmf=law,
        features=np.arange(n, dtype=float)[:, None] % 5,
        targets={name: np.tile(rates, (n, 1)) for name, rates in forecasts.items()},
    )


LOG = log_in_memory("outreach", ARMS, outreach())
PRICES = Prices(unsubscribe=5.0)
POLICIES: list[TargetPolicy] = [Random(), Always("good"), Always("harmful"), Never()]


@pytest.fixture(scope="module", name="comparison")
def _comparison() -> Comparison:
    return compare(LOG, POLICIES, Settings(PRICES), against="random")


def test_utility_intervals_hold_the_truth_with_the_send_cost_exact(comparison: Comparison) -> None:
    """Good: 0.03 - 5 * 0.002 - 0.002 = 0.018; harmful: 0.045 - 0.1 - 0.002 = -0.057."""
    for name, truth in (("always:good", 0.018), ("always:harmful", -0.057)):
        interval = comparison.line(name, "utility").interval
        assert interval is not None
        assert truth in interval
        assert interval.width < 0.02


def test_realised_utility_is_clicks_less_unsubscribes_less_sends() -> None:
    """One row each: click 1 - send 0.1; unsubscribe -5 - 0.1; abstain 0."""
    batch = outreach(3)
    batch = replace(
        batch,
        action=np.array([1, 2, 0]),
        outcomes={"click": np.array([1.0, 0, 0]), "unsubscribe": np.array([0.0, 1, 0])},
    )
    found = realised_utility(batch, Prices(unsubscribe=5.0, send=0.1))
    assert pytest.approx(found.tolist()) == [0.9, -5.1, 0.0]


def test_a_policy_that_never_sends_is_worth_exactly_nothing(comparison: Comparison) -> None:
    for name in ("click", "unsubscribe", "utility"):
        line = comparison.line("never", name)
        assert line.judgement.verdict is Verdict.OK
        assert line.value == 0.0
        assert line.interval is not None
        assert line.interval.width == 0.0


def test_the_gap_to_a_reference_holds_the_truth_at_its_nominal_rate() -> None:
    """Always good minus random: 0.018 - (0.018 - 0.057) / 3 = 0.031; of 30 logs 25 or more."""
    held = 0
    for seed in range(30):
        log = log_in_memory("log", ARMS, outreach(10_000, seed))
        found = compare(log, POLICIES[:2], Settings(PRICES, model=False), against="random")
        gap = found.line("always:good", "utility").difference
        assert gap is not None
        held += 0.031 in gap.interval
    assert held >= 25


def test_the_gap_of_many_events_is_the_paired_normal_one(comparison: Comparison) -> None:
    line = comparison.line("always:good", "utility")
    assert line.difference is not None
    sums = comparison.sums["utility"]
    paired = estimates.ips(sums, 1) - estimates.ips(sums, 0)
    normal = estimates.delta_interval(sums, paired)
    assert paired.value == pytest.approx(line.difference.value, rel=1e-12)
    assert normal.width == pytest.approx(line.difference.interval.width, rel=0.1)


def test_the_p_value_is_the_level_at_which_the_interval_touches_zero() -> None:
    """Normal interval around 1.96 se: it touches 0 at alpha = 0.05."""
    level = touching_level(lambda alpha: normal_interval(1.96, 1.0, alpha))
    assert pytest.approx(0.05, rel=1e-3) == level
    assert touching_level(lambda alpha: normal_interval(0.0, 1.0, alpha)) == 1.0


def test_the_gate_lets_the_better_policy_through(comparison: Comparison) -> None:
    assert gate(comparison, "always:good").passed


def test_the_gate_stops_more_clicks_bought_with_more_unsubscribes() -> None:
    """At unsubscribe price 0 `harmful` earns more, but its unsubscribes are worse."""
    found = gate(
        compare(LOG, POLICIES, Settings(Prices()), against="always:good"), "always:harmful"
    )
    assert not found.passed
    assert "above 0" in found.sentences[0]
    assert "above the reference's" in found.sentences[1]
    assert "not" not in found.sentences[0]


def test_the_gate_stops_what_was_refused() -> None:
    few = log_in_memory("few", ARMS, outreach(200))
    found = gate(compare(few, POLICIES, Settings(PRICES), against="random"), "always:good")
    assert not found.passed
    assert "refused" in found.sentences[0]


def test_the_gate_refuses_to_compare_a_policy_with_itself(comparison: Comparison) -> None:
    with pytest.raises(BadInput, match="is the reference itself"):
        gate(comparison, "random")


def test_a_refused_line_is_printed_as_refused_without_its_number() -> None:
    few = compare(log_in_memory("few", ARMS, outreach(200)), [Random()], Settings(PRICES))
    printed = report.table(few).splitlines()[1]
    assert re.search(r"refuse +refused +\S", printed)
    line = json.loads(report.as_json(few))["lines"][0]
    assert line["value"] is None
    assert line["interval"] is None
    assert line["difference"] is None
    assert line["estimators"] == {}


def test_json_has_every_line_and_no_number_json_does_not_know(comparison: Comparison) -> None:
    text = report.as_json(comparison)
    assert "NaN" not in text
    assert "Infinity" not in text
    assert len(json.loads(text)["lines"]) == 4 * 3


def test_the_page_is_self_contained_and_escapes_names(comparison: Comparison) -> None:
    page = report.page(replace(comparison, log="<script>alert(1)</script>"))
    assert "<script" not in page
    assert "http" not in page
    for plot in ("Value and unsubscribes", "Importance weights", "Calibration of propensities"):
        assert plot in page
    assert page.count("<svg") == page.count("</svg>") == 3


def with_shared_unsubscribe(batch: LoggedBatch, shares: int) -> LoggedBatch:
    """One unsubscribe after `good` is shared by so many sends of `good` to the same user."""
    left, user = batch.outcomes["unsubscribe"].copy(), batch.user.copy()
    cause = np.flatnonzero((batch.action == 1) & (left == 1.0))[:1]
    others = np.flatnonzero((batch.action == 1) & (left == 0.0))[: shares - 1]
    sends = np.concatenate([cause, others])
    left[sends], user[sends] = 1.0 / shares, user[cause]
    return replace(batch, user=user, outcomes={**batch.outcomes, "unsubscribe": left})


@pytest.mark.parametrize("shares", [1, 2, 10])
def test_a_shared_unsubscribe_is_one_event_and_lifts_no_refusal(shares: int) -> None:
    """5 of 11,000 left after `good`: too few for a value, into however many parts one of them is
    cut. Independent tenths would make 25 / 4.1 = 6.1 events of them.
    """
    batch = with_shared_unsubscribe(outreach(11_000), shares)
    found = compare(log_in_memory("log", ARMS, batch), [Always("good")], Settings(PRICES))
    line = found.line("always:good", "unsubscribe")
    assert (Verdict.REFUSE, ("5.0 effective events",)) == (
        line.judgement.verdict,
        line.judgement.reasons,
    )
    assert line.value is None


def test_a_shared_unsubscribe_leaves_intervals_those_of_rare_events() -> None:
    """A normal interval around about 40 events of 60,000 would be symmetric about its value."""
    whole = outreach()
    lines = [
        compare(log_in_memory("log", ARMS, batch), [Always("good")], Settings(PRICES)).line(
            "always:good", "unsubscribe"
        )
        for batch in (whole, with_shared_unsubscribe(whole, 2))
    ]
    for line in lines:
        assert line.interval is not None
        assert line.value is not None
        assert line.interval.upper - line.value > 1.05 * (line.value - line.interval.lower)
    first, second = (line.interval for line in lines)
    assert first is not None
    assert second is not None
    assert (first.lower, first.upper) == pytest.approx((second.lower, second.upper), rel=0.02)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        report.write_whole(path, "half \ud800")
    assert path.read_text() == "before"
    report.write_whole(path, "after")
    assert path.read_text() == "after"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_repricing_needs_no_retraining() -> None:
    """At price 0 the most clicked wins, at 5 the milder, at 50 nobody."""
    batch = outreach(4)
    chosen = [
        Repriced(Prices(unsubscribe=price)).pmf(batch, ARMS)[0].argmax() for price in (0, 5, 50)
    ]
    assert chosen == [2, 1, 0]


def test_repricing_without_forecasts_says_what_to_log() -> None:
    with pytest.raises(BadInput, match="export the forecasts"):
        Repriced(PRICES).pmf(replace(outreach(4), targets={}), ARMS)


def test_a_frequency_cap_abstains_from_its_limit_on() -> None:
    pmf = FrequencyCap(Always("good"), feature=0, limit=2).pmf(outreach(5), ARMS)
    assert pmf.argmax(axis=1).tolist() == [1, 1, 0, 0, 0]


def test_always_abstains_where_its_message_was_no_candidate() -> None:
    batch = replace(outreach(2), eligible=np.array([[True, True, True], [True, False, True]]))
    assert Always("good").pmf(batch, ARMS).argmax(axis=1).tolist() == [1, 0]


def test_an_unknown_message_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="expected one of abstain, good, harmful"):
        Always("other").pmf(outreach(2), ARMS)


def test_the_logged_policy_is_worth_the_mean_of_the_log() -> None:
    found = compare(LOG, [Logged()], Settings(PRICES, model=False))
    value, _ = found.line("logged", "click").points["snips"]
    assert found.logged_means["click"] == pytest.approx(value, rel=1e-12)


def test_decisions_held_back_at_harm_h_show_minus_h_when_the_model_is_right() -> None:
    """With `harmful` the only message its predicted net at price 5 is -0.057, and that is true."""
    batch = outreach()
    only = np.tile([True, False, True], (len(batch), 1))
    kept = replace(batch, eligible=only).take(batch.action != 1)
    kept = replace(kept, propensity=np.full(len(kept), 0.5), pmf=None)
    bins = [each for each in held_back([kept], ARMS, PRICES) if each.rows]
    assert len(bins) == 1
    assert pytest.approx(-0.057) == bins[0].predicted
    assert abs(bins[0].shown - bins[0].predicted) < 3 * bins[0].se
    assert "Decisions held back" in report.page(
        compare(LOG, [Random()], Settings(model=False)), bins
    )


def free(n: int, click: tuple[float, float], p0: float | None = None) -> LoggedBatch:
    """A free message against silence, half and half, nobody leaves; it is forecast to harm."""
    rng = np.random.default_rng(1)
    action = draw(np.full((n, 2), 0.5), rng)
    ids = np.arange(n, dtype=np.uint64)
    forecasts = {"forecast:click": (0.0, click[1]), "forecast:unsubscribe": (0.0, 0.01)}
    return LoggedBatch(
        row_id=ids,
        user=ids,
        time=np.zeros(n),
        action=action,
        propensity=np.full(n, 0.5),
        outcomes={"click": (rng.random(n) < np.array(click)[action]).astype(float)},
        value=np.ones(n),
        send_cost=np.zeros(n),
        pmf=np.full((n, 2), 0.5),
        targets={name: np.tile(rates, (n, 1)) for name, rates in forecasts.items()},
        p0=None if p0 is None else np.full(n, p0),
    )


def test_every_send_of_a_bin_is_counted_also_those_that_brought_nothing() -> None:
    """Sends are free and few click: most realise a utility of exactly 0, and were sends."""
    batch = free(3000, click=(0.0, 0.01))
    bins = held_back([batch], ("abstain", "a"), Prices(1.0, 10.0))
    assert np.count_nonzero(batch.sent) == sum(each.sends for each in bins)
    assert np.count_nonzero(batch.sent) > 1000


def test_what_held_back_sends_show_is_what_they_add_to_what_happens_unprompted() -> None:
    """0.12 clicks after a send, 0.1 without: it adds 0.02; at price 10 its net is predicted -0.08.

    Nobody left, so it shows +0.02 and not +0.12.
    """
    batch = free(40_000, click=(0.1, 0.12), p0=0.1)
    (found,) = [
        each for each in held_back([batch], ("abstain", "a"), Prices(1.0, 10.0)) if each.rows
    ]
    assert pytest.approx(-0.08) == found.predicted
    assert abs(0.02 - found.shown) < 3 * found.se < 0.02


def test_a_comparison_does_not_depend_on_the_chunk_size() -> None:
    log = log_in_memory("log", ARMS, outreach(5000))
    policies: list[TargetPolicy] = [Random(), Always("good")]
    first, second = (
        compare(log, policies, Settings(PRICES, chunk_rows=rows)) for rows in (5000, 333)
    )
    for one, two in zip(first.scored, second.scored, strict=True):
        assert one.judgement == two.judgement
        for name, (value, se) in one.points.items():
            assert (value, se) == pytest.approx(two.points[name], rel=1e-9, abs=1e-12)


def test_progress_is_told_pass_by_pass() -> None:
    told: list[tuple[str, int]] = []
    log = log_in_memory("log", ARMS, outreach(3000))
    compare(log, [Random()], Settings(chunk_rows=1000), progress=lambda s, n: told.append((s, n)))
    assert told[:3] == [("models", 1000), ("models", 2000), ("models", 3000)]
    assert told[-1] == ("estimates", 3000)


def test_an_empty_log_is_one_sentence() -> None:
    empty = Log("nothing", ARMS, lambda _rows: iter(()))
    with pytest.raises(BadInput, match="has no rows"):
        compare(empty, [Random()])


def test_a_given_probability_function_is_a_policy() -> None:
    policy = Computed("half", lambda batch, _arms: np.tile([0.5, 0.5, 0.0], (len(batch), 1)))
    found = compare(LOG, [policy], Settings(PRICES, model=False))
    assert pytest.approx(0.5) == found.send_rates["half"]
