"""The figure: seconds and peak memory of a step along each sweep, with the fitted laws.

`python -m bench.scaling --draw FILE...`; needs the `plots` extra.
"""

from typing import Any

from bench.scaling.law import fit
from bench.scaling.sweep import SWEEPS

SIDE = 240
TITLES = {"depth": "depth (width follows)", "sequence_len": "tokens a row", "batch": "rows"}
QUANTITIES = {"seconds": "seconds a step", "MiB": "peak memory, MiB"}


def values(row: dict[str, Any], quantity: str) -> list[float]:
    """A row's measurements of one quantity; empty where there is none."""
    if quantity == "seconds":
        return row["samples_s"] or []
    return [row["peak_bytes"] / 2**20] if row["peak_bytes"] else []


def draw(rows: list[dict[str, Any]]) -> Any:
    """Quantities by sweeps as one Altair chart. Raises ModuleNotFoundError without the `plots` extra."""
    import altair as alt

    panels = [alt.hconcat(*[_panel(alt, rows, sweep, quantity) for sweep in SWEEPS]) for quantity in QUANTITIES]
    return (
        alt.vconcat(*panels)
        .configure(font="Helvetica, Arial, sans-serif", background="white")
        .configure_axis(gridColor="#e6e6e6", titleFontWeight="normal")
        .configure_view(stroke=None)
    )


def _panel(alt, rows, sweep: str, quantity: str):
    points, lines = [], []
    for series in sorted({(row["backend"], row["precision"]) for row in rows}):
        name = " ".join(series)
        held = [row for row in rows if (row["backend"], row["precision"]) == series and row["sweep"] == sweep]
        found = sorted((row["size"], values(row, quantity)) for row in held if values(row, quantity))
        sizes, samples = [size for size, _ in found], [taken for _, taken in found]
        points += [{"size": size, "value": value, "series": name} for size, taken in found for value in taken]
        law = fit(sizes, samples)
        lines += [{"size": size, "value": law.at(size), "series": name} for size in sizes if law]
    axis = alt.Axis(values=sorted({point["size"] for point in points}), format="d")
    encoded = {
        "x": alt.X("size:Q", title=TITLES[sweep], scale=alt.Scale(type="log", base=2, nice=False), axis=axis),
        "y": alt.Y("value:Q", title=QUANTITIES[quantity], scale=alt.Scale(type="log")),
        "color": alt.Color("series:N", title=None, legend=alt.Legend(orient="bottom")),
    }
    drawn = (
        alt.Chart(alt.Data(values=points), width=SIDE, height=SIDE).mark_point(filled=True, size=25).encode(**encoded)
    )
    return drawn + alt.Chart(alt.Data(values=lines)).mark_line(strokeWidth=1.2).encode(**encoded)
