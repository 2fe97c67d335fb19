"""What the data say: tables in Markdown, and upstream PR #205's claims answered by name, backend and release.

`python -m bench.newton_schulz report`; test with `pytest -m meta -k findings`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import sheet
from bench.newton_schulz.diverge import BAND
from bench.newton_schulz.spectra import PLAIN
from bench.newton_schulz.variants import FRAMEWORK, NORMS, ROUNDED, SHIPPED
from bench.page import table

WINDOW = 5  # steps over which a loss is averaged before it is held against the band
WIDTHS_OF_BAND = 4.0  # times the band's own scatter: its runs themselves stay within 2.4
PRODUCTS = ("float32", "tf32", "bfloat16", ROUNDED)
COSTS = 1.1  # a ratio of times within 10 % of 1 is no difference
ABOUT_TEN = (5.0, 20.0)
NEAR_50 = range(25, 101)


@dataclass(frozen=True)
class Data:
    """Every committed file: updates, training runs and low-rank runs, each with its origin."""

    updates: tuple[dict, ...]
    training: tuple[dict, ...]
    low_rank: tuple[dict, ...]

    @classmethod
    def load(cls, folder: Path) -> "Data":
        """Raises ValueError where there is nothing to report on."""
        files = [sheet.load(path) for path in sorted(folder.glob("newton-schulz-*.json"))]
        kinds = ("newton-schulz", "newton-schulz training", "newton-schulz low rank")
        groups = [tuple(file for file in files if file["what"] == kind) for kind in kinds]
        if not groups[0] or not groups[1]:
            raise ValueError(f"{folder} has no measurements; run measure and diverge first")
        return cls(*groups)


def label(file: dict) -> str:
    """Backend and the framework's release."""
    framework = file["backend"].split("-")[0]
    return f"{file['backend']} {file['versions'][framework].split('+')[0]}"


def updates_of(file: dict, **factors) -> list[dict]:
    """The rows whose factors are these; by default of Polar Express at scale 1."""
    wanted = {"orthogonalizer": "polar express", "scale": 1.0, **factors}
    return [row for row in file["rows"] if all(row.get(name) == value for name, value in wanted.items())]


def errors(data: Data) -> str:
    """Relative error of the update at 512 x 512, by backend, products and spectrum; the norm is float32's."""
    rows = []
    for file in data.updates:
        for products in PRODUCTS:
            found = {r["spectrum"]: r for r in updates_of(file, products=products, norm=SHIPPED, shape=[512, 512])}
            if found:
                rows.append([label(file), products, *(_error(found.get(spectrum)) for spectrum in PLAIN)])
    return table(["backend", "products", *PLAIN], rows)


def _error(row: dict | None) -> str:
    if row is None:
        return ""
    return "not finite" if row["error"] is None else f"{row['error']:.2g}"


def norms(data: Data) -> str:
    """The norm as taken, over the true one, and what Polar Express makes of it; products in bfloat16."""
    sizes = (512, 1024, 2048)
    rows = []
    for file in data.updates:
        for norm in NORMS[1:] if file is data.updates[0] else NORMS[1:2]:
            row = [norm if norm != FRAMEWORK else f"{norm}: {label(file)}"]
            for spectrum in ("gaussian", "rank 16 + 1e-3"):
                for size in sizes:
                    found = updates_of(file, norm=norm, spectrum=spectrum, shape=[size, size])
                    found = [r for r in found if r["products"] in ("float32", "bfloat16")]
                    row.append(_taken(found[0]) if found else "")
            rows.append(row)
    return table(["norm", *(f"{s} {n}" for s in ("gaussian", "rank 16") for n in sizes)], rows)


def _taken(row: dict) -> str:
    return f"{row['norm_ratio']:.3f}" + ("" if row["finite"] and row["margin"] > 1 else ", diverges")


def low_rank(data: Data) -> str:
    """Muon on rank 16 and noise: the norm as taken over the true one, and the step at which the loss is gone."""
    files = data.low_rank
    names = list(dict.fromkeys(row["key"] for file in files for row in file["rows"]))
    rows = []
    for name in names:
        found = [next((row for row in file["rows"] if row["key"] == name), None) for file in files]
        rows.append([name.replace(" | ", ", "), *(_ended(row) for row in found)])
    return table(["", *map(label, files)], rows)


def _ended(row: dict | None) -> str:
    if row is None:
        return ""
    end = "stays" if row["failed_step"] is None else f"diverges at step {row['failed_step']}"
    return f"{row['norm_ratio']:.2f}, {end}"


def training(data: Data) -> str:
    """The step at which each run's loss is gone or leaves the band of float32 runs, by width and backend."""
    columns = [(file, width) for file in data.training for width in widths(file)]
    names = list(dict.fromkeys(row["name"] for file in data.training for row in file["rows"]))
    rows = []
    for name in names:
        if name in {run.name for run in BAND}:
            continue
        rows.append([name, *(outcome(file, width, name) for file, width in columns)])
    header = [f"{label(file)}, {width} wide" for file, width in columns]
    return table(["run", *header], rows)


def widths(file: dict) -> list[int]:
    return sorted({row["width"] for row in file["rows"]}, reverse=True)


def run_of(file: dict, width: int, name: str) -> dict | None:
    return next((row for row in file["rows"] if row["width"] == width and row["name"] == name), None)


def outcome(file: dict, width: int, name: str) -> str:
    """What became of one run, in words."""
    row = run_of(file, width, name)
    if row is None:
        return ""
    if row["failed_step"] is not None:
        return f"diverges at step {row['failed_step']}"
    band = band_of(file, width)
    if band is None:
        return f"stays finite for {len(row['losses'])} steps"
    left = leaves(row["losses"], *band)
    return "within the band" if left is None else f"leaves the band at step {left}"


def band_of(file: dict, width: int) -> tuple | None:
    """Mean and scatter by step of smoothed losses of float32 runs that differ by seed or one ULP; None without them.

    Four runs may happen to meet, hence no less than the median scatter of all steps.
    """
    runs = [run_of(file, width, run.name) for run in BAND]
    if any(run is None for run in runs):
        return None
    losses = np.array([smooth(run["losses"]) for run in runs if run])
    scatter = losses.std(axis=0, ddof=1)
    return losses.mean(axis=0), np.maximum(scatter, np.median(scatter))


def leaves(losses: list[float], mean, scatter) -> int | None:
    """The first step whose loss, averaged over WINDOW steps, lies further above the band than its scatter allows."""
    above = np.flatnonzero(smooth(losses) - mean > WIDTHS_OF_BAND * scatter)
    return int(above[0]) + WINDOW - 1 if len(above) else None


def smooth(losses: list[float]):  # (steps,) -> (steps - WINDOW + 1,)
    return np.convolve(losses, np.ones(WINDOW) / WINDOW, mode="valid")


def times(data: Data) -> str:
    """Time of an update over that of float32; on a GPU, milliseconds of float32 too."""
    rows = []
    for file in data.updates:
        timed = {
            tuple(row["shape"]): row for row in file["rows"] if row["part"] == "time" and "float32 / float32" in row
        }
        tf32 = {tuple(row["shape"]): row.get("tf32 s") for row in file["rows"] if row["part"] == "time"}
        tf32 |= {tuple(r["shape"]): r["tf32 s"] for r in file["rows"] if r["part"] == "time" and "tf32 s" in r}
        for shape, row in timed.items():
            base_s, fast_s = row.get("float32 s"), tf32.get(shape)
            rows.append([
                label(file),
                " x ".join(map(str, shape)),
                f"{1e3 * base_s:.3g}" if base_s else "",
                _ratio(row.get("bfloat16 / float32")),
                _ratio(fast_s / base_s if fast_s and base_s else None),
                _ratio(row.get("numpy / float32")),
            ])  # fmt: skip
    return table(["backend", "shape", "float32, ms", "bfloat16", "tf32", "NumPy"], rows)


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def claims(data: Data) -> str:
    """Each claim of PR #205, by backend and release; an emulated accumulator has a row of its own."""
    header = ["", "bf16 diverges at widths >= 512", "near step 50", "float32 costs no speed", "NumPy ~10x slower"]
    speeds = {label(file): _speed(file) for file in data.updates}
    rows = []
    for file in data.training:
        rows.append([label(file), *_divergence(file, FRAMEWORK), *speeds.pop(label(file), ("not measured",) * 2)])
    rows += [[name, "not measured", "not measured", *speed] for name, speed in speeds.items()]
    for norm, name in (("bfloat16, lanes", "1024 bf16 accumulators"), ("bfloat16, serial", "one bf16 accumulator")):
        for file in data.training:
            if run_of(file, 512, f"bfloat16 products, {norm} norm"):
                rows.append([f"{label(file)}, {name}, emulated", *_divergence(file, norm), "", ""])
    rows.append(["mlx-metal, torch-mps", *["not measurable here"] * 4])
    return table(header, rows)


def _divergence(file: dict, norm: str) -> tuple[str, str]:
    """Whether bfloat16 with this norm diverges at 512 wide, and whether that is near step 50."""
    name = f"bfloat16 products, {norm} norm"
    row, narrower = run_of(file, 512, name), run_of(file, 256, name)
    if row is None:
        return "not measured", "not measured"
    told = outcome(file, 512, name)
    told += f"; 256 wide {outcome(file, 256, name)}" if narrower else ""
    failed = row["failed_step"]
    when = "no divergence" if failed is None else f"{_truth(failed in NEAR_50)}: step {failed}"
    return f"{_truth(failed is not None)}: {told}", when


def _speed(file: dict) -> tuple[str, str]:
    """Whether float32 is as quick as bfloat16, and NumPy about ten times slower than float32 on the device."""
    timed = [row for row in file["rows"] if row["part"] == "time" and "bfloat16 / float32" in row]
    slower = [1 / row["bfloat16 / float32"] for row in timed]
    ratios = [row["numpy / float32"] for row in timed if "numpy / float32" in row]
    if not timed:
        return "not measured", "not measured"
    quick = f"{_truth(max(slower) <= COSTS)}: takes {min(slower):.2g} to {max(slower):.2g} times as long"
    about = all(ABOUT_TEN[0] <= ratio <= ABOUT_TEN[1] for ratio in ratios)
    return quick, f"{_truth(about)}: {min(ratios):.2g} to {max(ratios):.0f} times as long" if ratios else "not measured"


def _truth(holds: bool) -> str:
    return "true" if holds else "false"


TABLES = {
    "claims": claims,
    "errors": errors,
    "norms": norms,
    "low rank": low_rank,
    "training": training,
    "times": times,
}
