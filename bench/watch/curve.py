"""A curve in braille dots, its axes labelled at their ends: as many columns and rows as there are.

Test with `pytest -m meta bench/meta/test_watch.py`.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import plotille
from rich.table import Table
from rich.text import Text

SETTLED = 0.05  # of the points: the first ones fall too fast to leave room for the rest
OUTLIERS = 0.02
LEAST_SPAN = 0.1  # of the middle: noise of a percent is no curve

Points = Sequence[tuple[float, float]]


def draw(
    points: Points,
    marks: Points,
    width: int,
    height: int,
    left: Callable[[float], str],
    right: Callable[[float], str] | None = None,
    style: str = "",
    falling: bool = False,
) -> Table | Text:
    """`height` rows with the x axis; `left` and `right` write the scale's ends. `marks` are drawn as crosses.

    falling: what comes first is far above the rest, and is cut off.
    """
    if not points and not marks:
        return Text("nothing yet", style="dim")
    low, high = _span(points, marks, falling)
    scales = [[label(high), label(low)] if label else ["", ""] for label in (left, right)]
    widths = [max(map(len, ends)) for ends in scales]
    columns, rows = width - sum(widths) - sum(map(bool, widths)), height - 1
    if columns < 2 or rows < 1:
        return Text("too narrow for a curve", style="dim")
    until_s = max(x for x, _ in (*points, *marks)) or 1.0
    grid = Table.grid(padding=0)
    for i, row in enumerate(_dots(points, low, high, until_s, columns, rows)):
        line = Text(row, style=style)
        for x, y in marks:
            column, at = round(x / until_s * (columns - 1)), round((high - y) / (high - low) * (rows - 1))
            if at == i:
                line = line[:column] + Text("×", style="bold") + line[column + 1 :]
        ends = ["" if 0 < i < rows - 1 else scale[0 if i == 0 else 1] for scale in scales]
        after = f" {ends[1]:<{widths[1]}}" if widths[1] else ""
        grid.add_row(Text.assemble((f"{ends[0]:>{widths[0]}} ", "dim"), line, (after, "dim")))
    last = f"{until_s:.0f} s"
    grid.add_row(Text(" " * (widths[0] + 1) + "0" + f"{last:>{columns - 1}}", style="dim"))
    return grid


def _span(points: Points, marks: Points, falling: bool) -> tuple[float, float]:
    """(lowest, highest) shown."""
    settled = points[int(SETTLED * len(points)) :] if falling else points
    values = sorted(y for _, y in settled)
    cut = int(OUTLIERS * len(values))
    values = sorted([*values[: len(values) - cut], *(y for _, y in marks)])
    low, high = values[0], values[-1]
    middle = abs(low + high) / 2 or 1.0
    missing = LEAST_SPAN * middle - (high - low)
    return (low - missing / 2, high + missing / 2) if missing > 0 else (low, high)


def _dots(points: Points, low: float, high: float, until_s: float, columns: int, rows: int) -> list[str]:
    canvas = plotille.Canvas(columns, rows, xmin=0.0, xmax=until_s, ymin=low, ymax=high)
    inside = [(x, min(max(y, low), high)) for x, y in points]
    for (x0, y0), (x1, y1) in pairwise(inside):
        if (y0, y1) != (high, high):  # cut off
            canvas.line(x0, y0, x1, y1)
    if len(inside) == 1:
        canvas.point(*inside[0])
    return canvas.plot(linesep="\n").split("\n")
