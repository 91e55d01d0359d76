"""The plots of the report as inline SVG: no script, no library, nothing fetched."""

from html import escape

import numpy as np

from engine.evaluation.abstention import HeldBack
from engine.evaluation.arrays import Vector
from engine.evaluation.compare import Comparison
from engine.evaluation.sums import bin_edges

WIDTH, HEIGHT, MARGIN = 460, 300, 46
COLOURS = ("#2457a6", "#c0561c", "#2c7a3f", "#7b3fa0", "#8a6d00", "#00788a")


class Scale:
    """A linear map from values to pixels with a little air around them."""

    def __init__(self, values: list[float], start: float, stop: float) -> None:
        low, high = min(values), max(values)
        air = 0.08 * (high - low) or max(abs(high), 1.0) * 0.1
        self.low, self.high = low - air, high + air
        self.start, self.stop = start, stop

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 1)


def _scales(xs: list[float], ys: list[float]) -> tuple[Scale, Scale]:
    return Scale(xs, MARGIN, WIDTH - 10), Scale(ys, HEIGHT - MARGIN, 10)


def _text(x: float, y: float, words: str, anchor: str = "start", colour: str = "#222") -> str:
    place = f'x="{x}" y="{y}" font-size="10" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(words)}</text>"


def _figure(title: str, x_name: str, y_name: str, x: Scale, y: Scale, marks: list[str]) -> str:
    left, bottom = MARGIN, HEIGHT - MARGIN
    ticks = [
        _text(x.start, bottom + 14, f"{x.low:.3g}"),
        _text(x.stop, bottom + 14, f"{x.high:.3g}", "end"),
        _text(2, bottom, f"{y.low:.3g}"),
        _text(2, 18, f"{y.high:.3g}"),
        _text(WIDTH / 2, HEIGHT - 8, x_name, "middle"),
        _text(left + 6, 12, y_name),
    ]
    axes = f'<path d="M{left} 10V{bottom}H{WIDTH - 10}" fill="none" stroke="#999"/>'
    return (
        f"<h2>{title}</h2><svg width={WIDTH} height={HEIGHT} role=img "
        f'aria-label="{title}">{axes}{"".join(ticks)}{"".join(marks)}</svg>'
    )


def frontier(comparison: Comparison) -> str:
    """Utility against unsubscribes per thousand decisions, one point per policy not refused."""
    points = []
    for policy in comparison.send_rates:
        lines = {s.outcome: s for s in comparison.scored if s.policy == policy}
        utility, leaving = lines.get("utility"), lines.get("unsubscribe")
        if utility is None or leaving is None or utility.value is None or leaving.value is None:
            continue
        points.append((policy, 1000 * leaving.value, 1000 * utility.value))
    if not points:
        return ""
    x, y = _scales([p[1] for p in points], [p[2] for p in points])
    marks = [
        f'<circle cx="{x(a)}" cy="{y(b)}" r="4" fill="{COLOURS[0]}"/>'
        + _text(x(a) + 6, y(b) - 4, name)
        for name, a, b in points
    ]
    return _figure(
        "Value and unsubscribes", "unsubscribes per 1,000", "utility per 1,000", x, y, marks
    )


def weight_lines(comparison: Comparison) -> str:
    """Share of rows by log2 of their weight, one line per policy."""
    if not comparison.sums:
        return ""
    bins = next(iter(comparison.sums.values())).weight_bins[:, 0]
    octaves = bins.reshape(len(bins), -1, 32).sum(axis=2) / bins.sum(axis=1, keepdims=True)
    seen = np.flatnonzero(octaves[:, 1:].any(axis=0)) + 1  # the first bin holds w = 0
    if not seen.size:
        return ""
    at: Vector = np.log2(bin_edges()[::32])[seen]
    x, y = _scales(at.tolist(), [0.0, float(octaves[:, seen].max())])
    marks = []
    for number, policy in enumerate(comparison.send_rates):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(f"{x(a)},{y(b)}" for a, b in zip(at, octaves[number, seen], strict=True))
        marks.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        marks.append(_text(WIDTH - 12, 24 + 13 * number, policy, "end", colour))
    return _figure("Importance weights", "log2 of the weight", "share of rows", x, y, marks)


def bars(comparison: Comparison) -> str:
    """Draws of each arm over their logged expectation; 1 is a calibrated log."""
    draws = comparison.draws
    if draws is None:
        return ""
    used = np.flatnonzero(draws.expected > 0.0)[:60]
    ratio = draws.observed[used] / draws.expected[used]
    error = 1.96 * np.sqrt(np.diag(draws.covariance)[used]) / draws.expected[used]
    x, y = _scales([0.0, float(used.size)], [*(1.0 - error), *(1.0 + error), *ratio])
    marks = [f'<path d="M{MARGIN} {y(1.0)}H{WIDTH - 10}" stroke="#999" stroke-dasharray="3"/>']
    for place, (r, e) in enumerate(zip(ratio, error, strict=True)):
        at, name = x(place + 0.5), escape(comparison.arms[used[place]])
        dot = f'<circle cx="{at}" cy="{y(r)}" r="3" fill="{COLOURS[0]}">'
        marks.append(f'<path d="M{at} {y(1.0 - e)}V{y(1.0 + e)}" stroke="#ccc" stroke-width="6"/>')
        marks.append(f"{dot}<title>{name}</title></circle>")
    return _figure("Calibration of propensities", "arm", "drawn / expected", x, y, marks)


def held_back_plot(held: list[HeldBack]) -> str:
    """Utility shown by randomised sends against the predicted net of held-back decisions."""
    known = [each for each in held if each.sends > 0 and np.isfinite(each.se)]
    if not known:
        return ""
    ends = [each.shown + side * 1.96 * each.se for each in known for side in (-1.0, 1.0)]
    predicted = [each.predicted for each in known]
    x, y = _scales(predicted, [*ends, *predicted])
    marks = []
    for each in known:
        at, low, high = x(each.predicted), each.shown - 1.96 * each.se, each.shown + 1.96 * each.se
        marks.append(f'<path d="M{at} {y(low)}V{y(high)}" stroke="#999"/>')
        marks.append(f'<circle cx="{at}" cy="{y(each.shown)}" r="4" fill="{COLOURS[1]}"/>')
        marks.append(f'<path d="M{at - 5} {y(each.predicted)}h10" stroke="{COLOURS[0]}"/>')
    return _figure("Decisions held back", "predicted net", "shown by sends", x, y, marks)
