"""What the data say: tables in Markdown, and upstream PR #205's claims answered by name, backend and release.

`python -m bench.newton_schulz report`; test with `pytest -m meta -k findings`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.newton_schulz import sheet
from bench.newton_schulz.diverge import BAND
from bench.newton_schulz.spectra import PLAIN
from bench.newton_schulz.variants import FRAMEWORK, NORMS, ROUNDED, SHIPPED

WINDOW = 5  # steps over which a loss is averaged before it is held against the band
WIDTHS_OF_BAND = 4.0  # times the band's own scatter: its runs themselves stay within 2.4
PRODUCTS = ("float32", "tf32", "bfloat16", ROUNDED)
COSTS = 1.1  # a ratio of times within 10 % of 1 is no difference
ABOUT_TEN = (5.0, 20.0)


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


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
    band = [run for run in file["rows"] if run["width"] == width and run["name"] in {run.name for run in BAND}]
    if len(band) < len(BAND):
        return f"{len(row['losses'])} steps, loss {row['losses'][-1]:.2f}"
    left = leaves(row["losses"], [run["losses"] for run in band])
    return "within the band" if left is None else f"leaves the band at step {left}"


def leaves(losses: list[float], band: list[list[float]]) -> int | None:
    """The first step whose loss, averaged over WINDOW steps, lies further above the band than its scatter allows."""
    runs = np.array([smooth(run) for run in band])
    mean, scatter = runs.mean(axis=0), np.sqrt(np.mean(runs.var(axis=0, ddof=1)))
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
    """Each claim of PR #205 by backend and release."""
    rows = [[claim, where, verdict, why] for claim, where, verdict, why in _claims(data)]
    return table(["claim", "where", "answer", "measured"], rows)


def _claims(data: Data) -> Iterator[tuple[str, str, str, str]]:
    name = f"bfloat16 products, {FRAMEWORK} norm"
    for file in data.training:
        row = run_of(file, 512, name)
        if row is None:
            continue
        failed = row["failed_step"]
        what = f"{len(row['losses'])} steps, {outcome(file, 512, name)}"
        yield "bf16 diverges at widths >= 512", label(file), "false" if failed is None else "true", what
        if failed is not None:
            yield "it diverges near step 50", label(file), "true" if 25 <= failed <= 100 else "false", f"step {failed}"
    yield from _emulated(data)
    for file in data.updates:
        timed = [row for row in file["rows"] if row["part"] == "time" and "bfloat16 / float32" in row]
        if timed:
            slowest = max(1 / row["bfloat16 / float32"] for row in timed)
            why = f"float32 takes up to {slowest:.2g} times as long as bfloat16"
            yield "float32 costs no speed", label(file), "true" if slowest <= COSTS else "false", why
        ratios = [row["numpy / float32"] for row in timed if "numpy / float32" in row]
        if ratios:
            about = all(ABOUT_TEN[0] <= ratio <= ABOUT_TEN[1] for ratio in ratios)
            why = f"{min(ratios):.2g} to {max(ratios):.2g} times as long, transfer counted"
            yield "NumPy is about 10 times slower", label(file), "true" if about else "false", why
    yield "all four", "mlx-metal, torch-mps", "not measurable here", "no Apple device"


def _emulated(data: Data) -> Iterator[tuple[str, str, str, str]]:
    """The accumulator of a Metal kernel, in NumPy: the nearest that another machine comes to the claim's own."""
    name = "bfloat16 products, bfloat16, lanes norm"
    for file in data.training:
        ends = {width: run_of(file, width, name) for width in widths(file)}
        ends = {width: row["failed_step"] for width, row in ends.items() if row}
        if not ends:
            continue
        told = "; ".join(f"{w}: " + ("stays" if s is None else f"step {s}") for w, s in ends.items())
        where = f"{label(file)}, 1024 bfloat16 accumulators emulated"
        answer = "true" if ends.get(512) is not None and ends.get(256) is None else "false"
        if set(ends) == {512}:
            answer = "false" if ends[512] is None else "true"
        yield "bf16 diverges at widths >= 512", where, answer, told
        if ends.get(512) is not None:
            yield "it diverges near step 50", where, "true" if 25 <= ends[512] <= 100 else "false", f"step {ends[512]}"


TABLES = {
    "claims": claims,
    "errors": errors,
    "norms": norms,
    "low rank": low_rank,
    "training": training,
    "times": times,
}
