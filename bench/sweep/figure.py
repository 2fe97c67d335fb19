"""The figure: every seed's bits per byte, data set by data set, and the gains that may stand side by side.

`python -m bench.sweep`; needs the `plots` extra.
"""

from collections.abc import Sequence
from typing import Any

from bench.sweep.table import Row

WIDTH, HEIGHT = 260, 220
PRESET = "preset"


def draw(rows: Sequence[Row]) -> Any:
    """As one Altair chart. Raises ModuleNotFoundError without the `plots` extra."""
    import altair as alt

    names = list(dict.fromkeys(row.data for row in rows))
    panels = [_scores(alt, [row for row in rows if row.data == name], name) for name in names]
    upper = alt.hconcat(*panels, spacing=30).resolve_scale(y="independent")
    chart = alt.vconcat(upper, _gains(alt, rows), spacing=30) if len(names) > 1 else upper
    return (
        chart.configure(font="Helvetica, Arial, sans-serif", background="white")
        .configure_axis(gridColor="#e6e6e6", titleFontWeight="normal", labelFontSize=12, titleFontSize=13)
        .configure_title(fontSize=14, anchor="start", subtitleFontSize=12, subtitleColor="#555")
        .configure_view(stroke=None)
    )


def _scores(alt, rows: Sequence[Row], name: str):
    """One data set: its own scale, a point a seed, a line at their mean."""
    points = [
        {"config": row.config or PRESET, "seed": str(seed), "bpb": score}
        for row in rows
        for seed, score in row.scores.items()
    ]
    order = [row.config or PRESET for row in rows]
    base = alt.Chart(alt.Data(values=points), width=WIDTH, height=HEIGHT).encode(
        x=alt.X("config:N", title=None, sort=order, axis=alt.Axis(labelAngle=0 if len(order) < 4 else -40)),
    )
    scale = alt.Scale(zero=False, nice=True, padding=12)
    drawn = base.mark_point(filled=True, size=60, opacity=0.8, color="#1f6fb4").encode(
        y=alt.Y("bpb:Q", title="val_bpb", scale=scale)
    )
    mean = base.mark_tick(thickness=2, size=36, color="#333").encode(y=alt.Y("mean(bpb):Q", title="val_bpb"))
    return (mean + drawn).properties(title={"text": name, "subtitle": "a point a seed, a line at their mean"})


def _gains(alt, rows: Sequence[Row]):
    """All data sets on one scale, in percent."""
    order = list(dict.fromkeys(row.config or PRESET for row in rows))
    several, first = len(order) > 1, order[0]
    points = [
        {"data": row.data, "config": row.config or PRESET, "gain": gain}
        for row in rows
        if not (several and row.config == first)
        for gain in (row.over_first if several else row.over_unigram).values()
    ]
    over = f"over {first}" if several else "over a unigram model of the same tokens"
    return (
        alt.Chart(alt.Data(values=points), width=2 * WIDTH, height=HEIGHT)
        .mark_point(filled=True, size=60, opacity=0.8)
        .encode(
            x=alt.X("config:N", title=None, sort=order, axis=alt.Axis(labelAngle=0)),
            xOffset="data:N",
            y=alt.Y("gain:Q", title="gain in bits per byte, %", scale=alt.Scale(zero=several, padding=12)),
            color=alt.Color(
                "data:N",
                title=None,
                legend=alt.Legend(orient="bottom"),
                scale=alt.Scale(range=["#1f6fb4", "#e8871e", "#35a67f", "#b3243b"]),
            ),
        )
        .properties(title={"text": "Gain, comparable across data sets", "subtitle": over})
    )
