"""Curves and tables, for a terminal and as PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.decision import Floats
from engine.errors import BadInput

WIDTH, HEIGHT = 60, 14
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bits of the braille dots in a cell of 4 rows and 2 columns (Unicode block U+2800)."""
_COLOURS = ("green", "red", "yellow", "cyan", "magenta")


def print_curves(console: Console, title: str, unit: str, curves: Mapping[str, Floats]) -> None:
    """Draw curves over a common axis, each (points,), as braille dots."""
    top = max(float(curve.max()) for curve in curves.values())
    bottom = min(0.0, *(float(curve.min()) for curve in curves.values()))
    span = (top - bottom) or 1.0
    cells = np.zeros((HEIGHT, WIDTH), np.int64)
    owner = np.full((HEIGHT, WIDTH), -1)
    for number, curve in reversed(list(enumerate(curves.values()))):
        _dot_in(cells, owner, number, (curve - bottom) / span)
    console.print(f"[bold]{title}[/bold]")
    for row in range(HEIGHT):
        label = {0: f"{top:10,.0f}", HEIGHT - 1: f"{bottom:10,.0f}"}.get(row, " " * 10)
        console.print(Text(f"{label} │") + _line(cells[row], owner[row]))
    console.print(" " * 11 + "└" + "─" * WIDTH + f" {unit}")
    legend = [f"[{_COLOURS[n % len(_COLOURS)]}]━ {name}[/]" for n, name in enumerate(curves)]
    console.print(" " * 12 + "   ".join(legend) + "\n")


def _dot_in(
    cells: NDArray[np.int64], owner: NDArray[np.int64], number: int, heights: Floats
) -> None:
    across = np.linspace(0, heights.size - 1, 2 * WIDTH)
    heights = np.interp(across, np.arange(heights.size), heights)
    rows = np.rint((1.0 - heights) * (4 * HEIGHT - 1)).astype(np.int64)
    for column, row in enumerate(rows):
        at = (row // 4, column // 2)
        cells[at] |= _DOTS[row % 4, column % 2]
        owner[at] = number


def _line(cells: NDArray[np.int64], owner: NDArray[np.int64]) -> Text:
    line = Text()
    for dots, number in zip(cells, owner, strict=True):
        style = _COLOURS[number % len(_COLOURS)] if number >= 0 else ""
        line.append(chr(0x2800 + int(dots)) if dots else " ", style=style)
    return line


def print_table(
    console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """A table whose first column names the row."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def save_curves(
    path: Path, title: str, unit: str, panels: Mapping[str, Mapping[str, Floats]]
) -> None:
    """The same curves as PNG, a panel for each heading; needs the extra `plot`."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BadInput(
            "a PNG needs matplotlib, which is not installed; install forbear[plot]"
        ) from error
    figure = Figure(figsize=(5.5 * len(panels), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (heading, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), number, title=heading, xlabel=unit)
        for name, curve in curves.items():
            axes.plot(np.arange(1, curve.size + 1), curve, label=name)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=120, format="png")
