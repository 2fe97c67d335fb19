"""Plots as inline SVG; the style sheet sets colours and text sizes, so that one drawing fits light, dark and a phone.

By hand and not by Vega: measured, Vega takes 15 to 25 ms a plot, nearly all of it to measure text, which for 1,000
reports is more than the whole site may take, and a run that shows its own page has no plotting library at hand.
Test with `pytest -m fast -k site`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup, escape

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 12, 46
BUCKETS = 120
TICKS = 5
ROWS = 12  # of the table that says the same
STYLES = 6  # colours and markers of the style sheet
LINE, DOTS, BAND = "line", "dots", "band"


@dataclass(frozen=True)
class Series:
    """One thing drawn. `points` are (x, y), of a band (x, low, high); `style` counts colours and markers."""

    name: str
    points: Sequence[tuple[float, ...]]
    kind: str = LINE
    style: int = 0


@dataclass(frozen=True)
class Plot:
    """What one figure shows. `levels` are named horizontal lines, `shaded` named stretches of x."""

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    levels: tuple[tuple[str, float], ...] = ()
    shaded: tuple[tuple[str, float, float], ...] = ()
    missing: str = "no such measurement in these reports."

    @property
    def keys(self) -> list[dict[str, str]]:
        """Name and swatch of each series, where there is more than one."""
        shown = [one for one in self.series if one.points]
        return [{"name": one.name, "swatch": _swatch(one)} for one in shown] if len(shown) > 1 else []

    @property
    def empty(self) -> bool:
        return not any(one.points for one in self.series)

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """(series, x, y) of at most ROWS points a series: what a reader without eyes for the drawing gets."""
        return [
            (one.name, short(point[0]), " to ".join(short(value) for value in point[1:]))
            for one in self.series
            if one.kind != BAND
            for point in thinned(one.points, ROWS)
        ]


def thinned(points: Sequence[tuple[float, ...]], most: int) -> list[tuple[float, ...]]:
    """At most `most` of them, evenly, both ends included."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


Bucket = tuple[float, float, float, float]


def bucketed(x: Sequence[float], y: Sequence[float | None], most: int = BUCKETS) -> list[Bucket]:
    """(x, least, median, greatest) of at most `most` stretches; what is null is left out."""
    known = [(a, b) for a, b in zip(x, y, strict=True) if b is not None]
    size = max(1, math.ceil(len(known) / most))
    found = []
    for start in range(0, len(known), size):
        part = known[start : start + size]
        values = [b for _, b in part]
        found.append((part[-1][0], min(values), median(values), max(values)))
    return found


def ticks(low: float, high: float, about: int = TICKS) -> list[float]:
    """Round numbers from below `low` to above `high`, in steps of 1, 2 or 5 times a power of ten."""
    span = high - low or abs(high) or 1.0
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def short(value: float) -> str:
    """A number as a reader wants it: up to five digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.5g}"


def draw(plot: Plot) -> Markup:
    """The drawing; every string in it is escaped."""
    points = [point for one in plot.series for point in one.points]
    ys = [value for point in points for value in point[1:]] + [value for _, value in plot.levels]
    x_low, x_high = _wide(min(p[0] for p in points), max(p[0] for p in points), dots=plot.series[-1].kind == DOTS)
    x_ticks = [value for value in ticks(x_low, x_high) if x_low <= value <= x_high]
    y_ticks = ticks(min(ys), max(ys))
    scale = _Scale(x_low, x_high, y_ticks[0], y_ticks[-1])
    parts = [_shade(scale, *stretch) for stretch in plot.shaded]
    parts += [_axes(scale, plot, x_ticks, y_ticks)]
    parts += [_level(scale, name, value) for name, value in plot.levels]
    parts += [_drawn(scale, one) for one in plot.series if one.points]
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(_described(plot))}"'
    return Markup(f"<svg {box}>{''.join(parts)}</svg>")  # all text in it went through escape


def _described(plot: Plot) -> str:
    def ends(one: Series) -> str:
        first, last = one.points[0], one.points[-1]
        if len(one.points) == 1:
            return f"{one.name}: {short(first[-1])} at {short(first[0])}"
        return f"{one.name}: {len(one.points)} points from {short(first[-1])} to {short(last[-1])}"

    shown = "; ".join(ends(one) for one in plot.series if one.points and one.kind != BAND)
    return f"{plot.title}: {plot.y} against {plot.x}. {shown}. The numbers follow as a table."


def _wide(low: float, high: float, dots: bool) -> tuple[float, float]:
    """The x axis: just what is there, with room for markers, and from 0 where that is near."""
    span = high - low or abs(high) or 1.0
    low = 0.0 if 0 <= low < span / 2 else low - 0.05 * span
    return low - 0.03 * span * (dots and low == 0), high + 0.04 * span * dots


@dataclass(frozen=True)
class _Scale:
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> str:
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return f"{LEFT + share * (WIDTH - LEFT - RIGHT):.1f}"

    def y(self, value: float) -> str:
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return f"{HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM):.1f}"

    def path(self, points: Iterable[tuple[float, ...]]) -> str:
        return "M" + "L".join(f"{self.x(x)} {self.y(y)}" for x, y in points)


def _axes(scale: _Scale, plot: Plot, x_ticks: list[float], y_ticks: list[float]) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    grid = "".join(f"M{LEFT} {scale.y(value)}H{right}" for value in y_ticks)
    grid += "".join(f"M{scale.x(value)} {bottom}v5" for value in x_ticks)
    parts = [f'<path class="grid" d="{grid}"/>']
    parts += [_text(LEFT - 8, f"{float(scale.y(value)) + 5:.1f}", "end", short(value)) for value in y_ticks]
    parts += [_text(scale.x(value), bottom + 20, "mid", short(value)) for value in x_ticks]
    return "".join([*parts, _text((LEFT + right) // 2, HEIGHT - 6, "mid title", plot.x)])


def _text(x: float | str, y: float | str, kind: str, text: str) -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>'


def _level(scale: _Scale, name: str, value: float) -> str:
    y, right = scale.y(value), WIDTH - RIGHT
    line = f'<path class="level" d="M{LEFT} {y}H{right}"/>'
    return line + _text(right - 4, f"{float(y) - 5:.1f}", "end level", name)


def _shade(scale: _Scale, name: str, start: float, stop: float) -> str:
    left, right = (float(scale.x(value)) for value in (start, stop))
    size = f'x="{left:.1f}" y="{TOP}" width="{max(1.0, right - left):.1f}" height="{HEIGHT - TOP - BOTTOM}"'
    return f'<rect class="shade" {size}><title>{escape(name)}</title></rect>'


def _drawn(scale: _Scale, one: Series) -> str:
    style = one.style % STYLES
    if one.kind == BAND:
        upper = [(x, high) for x, _, high in one.points]
        lower = [(x, low) for x, low, _ in reversed(one.points)]
        path = f"{scale.path([*upper, *lower])}Z"
    elif one.kind == LINE:
        path = scale.path(one.points)
    else:
        path = "".join(_marker(style, float(scale.x(x)), float(scale.y(y))) for x, y in one.points)
    return f'<path class="{one.kind} s{style}" d="{path}"/>'


def _swatch(one: Series) -> Markup:
    style = one.style % STYLES
    path = {LINE: "M0 6H24", BAND: "M0 1H24V11H0Z", DOTS: _marker(style, 12, 6)}[one.kind]
    return Markup(f'<path class="{one.kind} s{style}" d="{path}"/>')


def _marker(style: int, x: float, y: float) -> str:
    """Disc, square, triangle, diamond, triangle on its head, bar: told apart without colour."""
    return (
        f"M{x:.1f} {y:.1f}"
        + (
            "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z",
            "m-4 -4h8v8h-8Z",
            "m0 -5.5l5 9h-10Z",
            "m0 -6l5 6l-5 6l-5 -6Z",
            "m0 5.5l5 -9h-10Z",
            "m-6 -2.2h12v4.4h-12Z",
        )[style]
    )
