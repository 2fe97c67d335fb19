"""The figure: every run's score by what varied, the parts with their intervals, and what a number of runs tells.

`python -m bench.noise --page`; needs the `plots` extra.
"""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from bench.noise.findings import EFFECTS, Study
from bench.noise.variance import Estimate

WIDTH, HEIGHT = 300, 300
VARIED = {"kernel": "kernels", "seed": "seed", "clock": "schedule", "both": "all three"}  # by kind of run
COLOURS = ("#1f6fb4", "#e8871e", "#35a67f", "#b3243b", "#8457a8", "#555555")
RUNS = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50)


def draw(studies: Sequence[Study]) -> Any:
    """Three panels as one Altair chart. Raises ModuleNotFoundError without the `plots` extra."""
    import altair as alt

    panels = [_runs(alt, studies), _parts(alt, studies), _telling(alt, studies)]
    return (
        alt.hconcat(*panels, spacing=40)
        .configure(font="Helvetica, Arial, sans-serif", background="white")
        .configure_axis(labelFontSize=12, titleFontSize=13, gridColor="#e6e6e6", titleFontWeight="normal")
        .configure_title(fontSize=14, anchor="start", subtitleFontSize=12, subtitleColor="#555")
        .configure_legend(orient="bottom", labelFontSize=12, titleFontSize=12, labelLimit=320, symbolSize=90)
        .configure_view(stroke=None)
    )


def _colour(alt, studies: Sequence[Study]):
    scale = alt.Scale(domain=[study.name for study in studies], range=list(COLOURS))
    return alt.Color("study:N", title=None, scale=scale)


def _runs(alt, studies: Sequence[Study]):
    """Panel A: percent from the mean of the runs in which the same varies."""
    points = [
        {"study": study.name, "varied": told, "percent": 100 * (score / fmean(scores) - 1)}
        for study in studies
        for kind, told in VARIED.items()
        for scores in [study.scores[kind]]
        for score in scores
    ]
    return (
        alt.Chart(alt.Data(values=points), width=WIDTH, height=HEIGHT)
        .mark_point(filled=True, size=45, opacity=0.7)
        .encode(
            x=alt.X("varied:N", title="what varied", sort=list(VARIED.values()), axis=alt.Axis(labelAngle=0)),
            xOffset="study:N",
            y=alt.Y("percent:Q", title="val_bpb, % from their mean"),
            color=_colour(alt, studies),
        )
        .properties(title={"text": "A  Runs", "subtitle": "a point a run"})
    )


def _estimates(study: Study) -> Iterator[tuple[str, Estimate | None]]:
    yield from study.parts.sd.items()
    yield "all three", study.parts.measured
    yield "other windows", study.sample("window")
    yield "other documents", study.sample("document")
    yield "the same, of a difference", study.sample("document", pairs=True)


def _parts(alt, studies: Sequence[Study]):
    """Panel B: standard deviations with 95 % intervals; what is zero has no place on the axis."""
    rows = [
        {"study": s.name, "part": part, **{n: 100 * getattr(found, n) / s.mean for n in ("value", "low", "high")}}
        for s in studies
        for part, found in _estimates(s)
        if found and found.high
    ]
    floor = min((row["value"] or row["high"] for row in rows), default=1e-3) / 3
    for row in rows:
        row["low"] = max(row["low"], floor)
        row["value"] = row["value"] or None  # of a part that may be zero the interval alone is drawn
    order = [name for name, _ in _estimates(studies[0])]
    base = alt.Chart(alt.Data(values=rows), width=WIDTH, height=HEIGHT).encode(
        y=alt.Y("part:N", title=None, sort=order, scale=alt.Scale(domain=order)),
        yOffset="study:N",
        color=_colour(alt, studies),
    )
    scale = alt.Scale(type="log", nice=False, padding=8)
    title = "standard deviation, % of val_bpb"
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title, scale=scale), x2="high:Q")
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x=alt.X("value:Q", title=title, scale=scale))
    subtitle = "95 % intervals; kernels that repeat bit for bit are not drawn"
    return (bars + points).properties(title={"text": "B  Parts", "subtitle": subtitle})


def _telling(alt, studies: Sequence[Study]):
    """Panel C: the least effect that so many runs a side tell by themselves."""
    rows = [
        {"study": study.name, "runs": n, "percent": 100 * (study.detectable(n, known=False) or 0.0) / study.mean}
        for study in studies
        for n in RUNS
    ]
    x = alt.X("runs:Q", title="runs a side", scale=alt.Scale(type="log", nice=False))
    y = alt.Y("percent:Q", title="least effect told in 80 % of cases, %", scale=alt.Scale(type="log", nice=False))
    lines = (
        alt.Chart(alt.Data(values=rows), width=WIDTH, height=HEIGHT)
        .mark_line(point=True, strokeWidth=1.6)
        .encode(x=x, y=y, color=_colour(alt, studies))
    )
    marks = alt.Data(values=[{"percent": 100 * effect} for effect in EFFECTS])
    rules = alt.Chart(marks).mark_rule(strokeDash=[4, 4], color="#555").encode(y=y)
    subtitle = "by themselves; dashed: 1 % and 0.5 %"
    return (lines + rules).properties(title={"text": "C  Telling", "subtitle": subtitle})
