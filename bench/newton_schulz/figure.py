"""The figure: error by size and by spectrum, distance to the cliff during a run, losses by variant.

`python -m bench.newton_schulz report`; needs the `plots` extra.
"""

from collections.abc import Iterator
from typing import Any

from bench.newton_schulz.diverge import BAND
from bench.newton_schulz.findings import (
    PRODUCTS,
    Data,
    label,
    run_of,
    smooth,
    updates_of,
    widths,
)
from bench.newton_schulz.spectra import PLAIN
from bench.newton_schulz.variants import ROUNDED, SHIPPED, cliff
from impl.spec import POLAR_EXPRESS

WIDTH, HEIGHT = 440, 300
PROBED_STEPS = 60  # the cliff is nearest at the start
EXCESS = 0.2  # nats; other seeds lie further away for the first steps
PRODUCT_COLOURS = ("#1f6fb4", "#35a67f", "#e8871e", "#b3243b")
NORM_COLOURS = {SHIPPED: "#1f6fb4", "bfloat16, wide": "#35a67f", "bfloat16, lanes": "#e8871e"}
NORM_COLOURS["bfloat16, serial"] = "#b3243b"
NORM_NAMES = {
    SHIPPED: "float32",
    "bfloat16, wide": "bfloat16, float32 sum",
    "bfloat16, lanes": "bfloat16, 1024 bf16 sums",
    "bfloat16, serial": "bfloat16, one bf16 sum",
}
OTHERS = "float32"
RUNS = {
    OTHERS: ("float32, one ULP away, other seeds", "#1f6fb4"),
    "bfloat16 products, float32 norm": ("bf16 products, float32 norm", "#35a67f"),
    "bfloat16 products and coefficients, float32 norm": ("bf16 products and coefficients", "#8457a8"),
    "bfloat16 products, bfloat16, lanes norm": ("bf16 products, 1024 bf16 sums", "#e8871e"),
    "bfloat16 products, bfloat16, serial norm": ("bf16 products, one bf16 sum", "#b3243b"),
}


def draw(data: Data) -> Any:
    """Four panels as one Altair chart. Raises ModuleNotFoundError without the `plots` extra."""
    import altair as alt

    apart = {"color": "independent", "shape": "independent", "strokeDash": "independent"}
    upper = alt.hconcat(_sizes(alt, data), _spectra(alt, data), spacing=50).resolve_scale(**apart)
    lower = alt.hconcat(_cliff(alt, data), _losses(alt, data), spacing=50).resolve_scale(**apart)
    return (
        alt.vconcat(upper, lower, spacing=40)
        .resolve_scale(**apart)
        .configure(font="Helvetica, Arial, sans-serif", background="white")
        .configure_axis(labelFontSize=12, titleFontSize=13, gridColor="#e6e6e6", titleFontWeight="normal")
        .configure_title(fontSize=14, anchor="start", subtitleFontSize=12, subtitleColor="#555")
        .configure_legend(orient="bottom", labelFontSize=12, titleFontSize=12, labelLimit=320, symbolSize=90)
        .configure_view(stroke=None)
    )


def _named(products: str) -> str:
    return {ROUNDED: "bfloat16, coefficients too"}.get(products, products)


def _colours(alt, legend):
    names = [_named(products) for products in PRODUCTS]
    return alt.Color(
        "products:N",
        title="products",
        legend=legend,
        scale=alt.Scale(domain=names, range=list(PRODUCT_COLOURS)),
    )


def _backends(alt, legend):
    return alt.Shape("backend:N", title="backend", legend=legend)


def _percent(alt, title: str):
    scale = alt.Scale(type="log", domain=[1e-6, 1])
    values = [10.0**power for power in range(-6, 1)]
    return alt.Y("error:Q", title=title, scale=scale, axis=alt.Axis(values=values, format=".0e"))


def _sizes(alt, data: Data):
    """Panel A: error of the update against the size of a square matrix."""
    rows = [
        {"size": row["rows"], "error": row["error"], "products": _named(row["products"]), "spectrum": row["spectrum"],
         "backend": label(file)}
        for file in data.updates
        for spectrum in ("gaussian", "rank 16 + 1e-3")
        for row in updates_of(file, norm=SHIPPED, spectrum=spectrum)
        if row["rows"] == row["columns"] and row["error"]
    ]  # fmt: skip
    sizes = sorted({row["size"] for row in rows})
    base = alt.Chart(alt.Data(values=rows), width=WIDTH, height=HEIGHT).encode(
        x=alt.X(
            "size:Q",
            title="rows = columns",
            scale=alt.Scale(type="log", base=2, domain=[sizes[0], sizes[-1]]),
            axis=alt.Axis(values=sizes, format="d"),
        ),
        y=_percent(alt, "error of the update, relative"),
        color=_colours(alt, alt.Legend(columns=2)),
    )
    wide = alt.Legend(columns=1, symbolSize=400, symbolStrokeColor="#333")
    dash = alt.StrokeDash("spectrum:N", title="spectrum", scale=alt.Scale(range=[[1, 0], [5, 4]]), legend=wide)
    lines = base.mark_line(strokeWidth=1.6, opacity=0.75).encode(strokeDash=dash, detail="backend:N")
    points = base.mark_point(filled=True, size=45, opacity=0.9).encode(shape=_backends(alt, None))
    return (lines + points).properties(
        title={"text": "A  By size and products", "subtitle": "Polar Express, norm in float32, against float64"}
    )


def _spectra(alt, data: Data):
    """Panel B: error against the spectrum at 512 x 512."""
    rows = [
        {
            "spectrum": row["spectrum"],
            "error": row["error"],
            "products": _named(row["products"]),
            "backend": label(file),
        }
        for file in data.updates
        for row in updates_of(file, norm=SHIPPED, shape=[512, 512])
        if row["spectrum"] in PLAIN and row["error"]
    ]
    order = ["gaussian", "power law", "one huge", "condition 1e4", "rank 16 + 1e-3"]
    axis = alt.Axis(labelAngle=0, title="spectrum, 512 x 512")
    points = (
        alt.Chart(alt.Data(values=rows), width=WIDTH, height=HEIGHT)
        .mark_point(filled=True, size=75, opacity=0.85)
        .encode(
            x=alt.X("spectrum:N", sort=order, axis=axis),
            xOffset=alt.XOffset("backend:N"),
            y=_percent(alt, "error of the update, relative"),
            color=_colours(alt, None),
            shape=_backends(alt, alt.Legend(columns=2)),
        )
    )
    return points.properties(
        title={"text": "B  By spectrum", "subtitle": "low rank: noise is lifted to 1, and bfloat16's own noise with it"}
    )


def _cliff(alt, data: Data):
    """Panel C: the scaled largest singular value of a healthy run's momentum, by the norm that would be taken."""
    rows = [
        {**probe, "norm": NORM_NAMES[probe["norm"]], "run": f"{file['backend']}, {row['width']} wide"}
        for file in _told_once(data)
        for width in widths(file)
        for row in [run_of(file, width, BAND[0].name)]
        if row
        for probe in row["probes"]
        if probe["step"] <= PROBED_STEPS
    ]
    limit = cliff(POLAR_EXPRESS)
    colours = alt.Scale(domain=list(NORM_NAMES.values()), range=[NORM_COLOURS[name] for name in NORM_NAMES])
    y = alt.Y(
        "scaled_sigma:Q",
        title="largest singular value / (1.02 x norm)",
        scale=alt.Scale(type="log", domain=[0.5, 20], nice=False),
        axis=alt.Axis(values=[0.5, 0.7, 1, 2, 4, 8, 16], format="~g"),
    )
    base = alt.Chart(alt.Data(values=rows), width=WIDTH, height=HEIGHT).encode(
        x=alt.X("step:Q", title="step of a float32 run", scale=alt.Scale(domain=[0, PROBED_STEPS])),
        y=y,
        color=alt.Color("norm:N", title="norm as taken", scale=colours, legend=alt.Legend(columns=2)),
    )
    dash = alt.StrokeDash("run:N", title="run", legend=alt.Legend(columns=1, symbolSize=400, symbolStrokeColor="#333"))
    lines = base.mark_line(strokeWidth=1.6).encode(strokeDash=dash)
    points = base.mark_point(filled=True, size=20).encode(detail="run:N")
    last = max((row["step"] for row in rows), default=0)
    edge = [{"limit": limit, "step": last, "text": f"cliff, {limit:.3f}: diverges above"}]
    rule = alt.Chart(alt.Data(values=edge)).mark_rule(color="black", strokeWidth=1.5).encode(y="limit:Q")
    words = (
        alt.Chart(alt.Data(values=edge))
        .mark_text(align="right", dy=-7, fontSize=12)
        .encode(x="step:Q", y="limit:Q", text="text:N")
    )
    return (lines + points + rule + words).properties(
        title={"text": "C  Distance to the cliff", "subtitle": "the worst matrix of Muon's momentum, real text"}
    )


def _told_once(data: Data) -> list[dict]:
    """One CPU's file and one GPU's: the momentum of the same run differs by rounding only."""
    chosen = {file["backend"].endswith("-cpu"): file for file in data.training if _probed(file)}
    return list(chosen.values())  # the last by name: torch's


def _probed(file: dict) -> bool:
    return any(row["probes"] for row in file["rows"])


def _losses(alt, data: Data):
    """Panel D: losses over that of the float32 run, on the backend that ran the most; a cross where a run ends."""
    file = max(data.training, key=lambda file: len(file["rows"]) * len(file["rows"][0]["losses"]))
    width = widths(file)[0]
    curves, ends = list(_curves(file, width)), list(_ends(file, width))
    for i, end in enumerate(ends):
        end["excess"] = -EXCESS * (0.75 + 0.13 * i)
    domain, colours = zip(*RUNS.values(), strict=True)
    scale = alt.Scale(domain=list(domain), range=list(colours))
    x = alt.X("step:Q", title="step")
    limits = alt.Scale(domain=[-EXCESS, EXCESS], nice=False)
    y = alt.Y("excess:Q", title="loss over that of the float32 run, nats", scale=limits)
    colour = alt.Color("run:N", title="run", scale=scale, legend=alt.Legend(columns=2))
    chart = alt.Chart(alt.Data(values=curves), width=WIDTH, height=HEIGHT)
    lines = chart.mark_line(strokeWidth=1.6, clip=True).encode(x=x, y=y, color=colour, detail="curve:N")
    crosses = alt.Chart(alt.Data(values=ends)).mark_point(shape="cross", angle=45, filled=True, size=150)
    words = alt.Chart(alt.Data(values=ends)).mark_text(align="left", dx=12, fontSize=12)
    marks = [crosses.encode(x=x, y=y, color=colour), words.encode(x=x, y=y, text="text:N", color=colour)]
    text = f"{label(file)}, depth {file['rows'][0]['depth']}, {width} wide, real text"
    return alt.layer(lines, *marks).properties(title={"text": "D  Runs by norm and products", "subtitle": text})


def _curves(file: dict, width: int) -> Iterator[dict]:
    """Points of every run that stays, over the float32 run of the same seed."""
    base = run_of(file, width, BAND[0].name)
    for name in (*(run.name for run in BAND[1:]), *RUNS):
        row = run_of(file, width, name)
        if base and row and row["failed_step"] is None and row is not base:
            for i, excess in enumerate(smooth(row["losses"]) - smooth(base["losses"])):
                shown = RUNS.get(name, RUNS[OTHERS])[0]
                yield {"step": i + 2, "excess": float(excess), "run": shown, "curve": name}


def _ends(file: dict, width: int) -> Iterator[dict]:
    for name, (shown, _) in RUNS.items():
        row = run_of(file, width, name)
        if row and row["failed_step"] is not None:
            step = row["failed_step"]
            yield {"step": step, "run": shown, "text": f"{shown}: not finite at step {step}"}
