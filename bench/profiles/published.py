"""Scores that others published, with what they hang on; numbers of two rows with other data are never comparable.

Test with `pytest -m fast bench/profiles`.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Result:
    """One published run under the rules of `profile`, from which untimed steps and evaluation follow.

    None: not published. `mfu` is the share as printed, of the program's own peak.
    """

    profile: str
    chip: str
    data: str
    val_bpb: float
    source: str
    steps: int | None = None
    timed_s: float | None = None
    total_batch: int | None = None
    device_batch: int | None = None
    tokens_m: float | None = None
    params_m: float | None = None
    peak_mb: float | None = None
    mfu: float | None = None
    note: str = ""


EC = "elementalcollision/autoresearch, README"
EC_WIKI = "elementalcollision/autoresearch, wiki"
UNIFIED = "elementalcollision/autoresearch-unified"
TR = "trevin-creator/autoresearch-mlx"
CLIMBMIX = "climbmix"

H100 = Result(
    profile="karpathy",
    chip="NVIDIA H100 80GB HBM3",
    data=CLIMBMIX,
    val_bpb=0.997900,
    steps=953,
    timed_s=300.1,
    total_batch=2**19,
    device_batch=128,
    tokens_m=499.6,
    params_m=50.3,
    peak_mb=45_060,
    mfu=0.3980,
    source="karpathy/autoresearch, program.md",
)
M5_MAX = Result(
    profile="elementalcollision",
    chip="Apple M5 Max",
    data=CLIMBMIX,
    val_bpb=1.319639,
    steps=312,
    timed_s=300.7,
    total_batch=2**15,
    device_batch=16,
    tokens_m=10.2,
    params_m=50.3,
    peak_mb=26_742.3,
    mfu=0.2335,
    source=EC,
)
M4_PRO = Result(
    profile="elementalcollision",
    chip="Apple M4 Pro",
    data=CLIMBMIX,
    val_bpb=1.4294,
    steps=751,
    total_batch=2**13,
    device_batch=4,
    tokens_m=6.2,
    params_m=21.9,
    peak_mb=4_511,
    source=EC,
)
M1_MAX = Result(
    profile="elementalcollision",
    chip="Apple M1 Max",
    data=CLIMBMIX,
    val_bpb=1.621,
    steps=210,
    total_batch=2**14,
    device_batch=8,
    source=EC,
    note="about 210 steps, from 2.094",
)


def _ec(data: str, val_bpb: float, note: str, source: str = EC_WIKI) -> Result:
    return Result(
        profile="elementalcollision", chip="Apple M5 Max", data=data, val_bpb=val_bpb, source=source, note=note
    )


def _tr(chip: str, val_bpb: float, note: str, **sizes) -> Result:
    return Result(profile="autoresearch-mlx", chip=chip, data=CLIMBMIX, val_bpb=val_bpb, note=note, **sizes)


def _pg(chip: str, val_bpb: float, note: str) -> Result:
    return Result(
        profile="parameter-golf",
        chip=chip,
        data="fineweb",
        val_bpb=val_bpb,
        source="openai/parameter-golf, records",
        note=note,
    )


PUBLISHED = (  # the figure that a program is known by stands first among its own
    H100,
    _ec(CLIMBMIX, 1.2959, "the best of its runs"),
    M5_MAX,
    _ec(CLIMBMIX, 1.3669, "baseline, width 256", source=UNIFIED),
    _ec(CLIMBMIX, 1.3041, "the same on another day", source=UNIFIED),
    M4_PRO,
    M1_MAX,
    _ec("fineweb-edu", 1.295, "README; its wiki has 1.342", source=EC),
    _ec("fineweb-edu-high", 1.346, "a tokenizer of its own"),
    _ec("cosmopedia-v2", 0.961, "a tokenizer of its own"),
    _ec("slimpajama", 1.526, "a tokenizer of its own"),
    _tr("Apple M4 Max", 1.294526, "AdamW, from 1.597", source=TR),
    _tr("Apple M4 Max", 1.330509, "AdamW, from 1.808", source=TR),
    _tr("Mac Mini", 1.353329, "Muon, from 1.922", source=TR),
    _tr("Apple M3 Max", 1.2809, "Muon and SwiGLU, from 1.764", source="trevin-creator/autoresearch-mlx#4"),
    _tr(
        "Apple M5 Max",
        1.235,
        "about 1900 steps, from 1.574",
        source="trevin-creator/autoresearch-mlx#21",
        steps=1900,
        total_batch=2**15,
    ),
    _tr(
        "Apple M2",
        1.555172,
        "",
        source="trevin-creator/autoresearch-mlx#31",
        steps=284,
        tokens_m=18.6,
        params_m=11.0,
        peak_mb=20_681,
    ),
    Result(
        profile="karpathy",
        chip="Apple M4 Max",
        data=CLIMBMIX,
        val_bpb=1.280,
        source="karpathy/autoresearch#351",
        note="Muon, Peri-LN",
    ),
    _pg("8 x NVIDIA H100", 1.2244, "naive baseline, 600 s"),
    _pg("Apple M4 Pro", 1.9011, "MLX, no record"),
    _pg("Mac", 1.9588, "14 layers, no record"),
)


def results(profile: str, chip: str | None = None) -> Iterator[Result]:
    """Those of one program, on one chip where it is given."""
    return (row for row in PUBLISHED if row.profile == profile and chip in (None, row.chip))
