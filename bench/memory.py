"""How much memory a training step takes, from a fit to measured peaks, and the rows of a pass that a memory holds.

    python -m bench.memory    what every preset takes on every backend that was measured, and what it gets by memory

The peaks lie in bench/memory.json, by `python -m bench.footprint`. Test with `pytest -m fast -k memory`.
"""

import argparse
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from impl.spec import PRESETS, Model, Recipe
from impl.spec.model import sized
from impl.spec.optimizer import count
from reports.schema import Hardware

FILE = Path(__file__).with_suffix(".json")
GIB = 2**30
# The peak is the higher of two: the optimizer's update, and the passes over the batch. Only the first TERMS matter to
# an update.
TERMS = ("bytes", "bytes a parameter", "where passes add up", "bytes a token, layer and channel", "bytes a score")
UPDATE_TERMS = 2
UPDATE_TOKENS = 128  # at most these in a sample whose peak is the update's for certain
DOMINANT = 1.1  # a larger sample is the passes' where it exceeds the update's peak by this
# What a step can have of the memory. CUDA: all but the context and what the allocator splits; a CPU's is everybody's.
SHARE = {"cuda": 0.9, "cpu": 0.75}
APPLE_SHARE = 0.65  # where the system was not asked: it advises two thirds to three quarters
# Whose samples stand in where a backend has none of its own. Not a CPU's for CUDA: compiled kernels and fused attention
# hold less. For preset h100, torch-cpu's would foresee 87 GiB, where upstream's program measured 42.
STAND_IN = {
    "mlx-metal": ("mlx-cuda", "mlx-cpu"),
    "mlx-cuda": (),
    "mlx-cpu": (),
    "torch-cuda": (),
    "torch-mps": ("torch-cpu",),  # eager too
    "torch-cpu": (),
}


@dataclass(frozen=True)
class Sample:
    """The measured peak of a step of upstream's model at this depth: `passes` of `rows` of `sequence_len` tokens."""

    backend: str
    policy: str
    depth: int
    sequence_len: int
    rows: int
    passes: int
    peak_bytes: int
    versions: dict[str, str]

    def key(self) -> tuple:
        return self.backend, self.policy, self.depth, self.sequence_len, self.rows, self.passes

    def terms(self) -> np.ndarray:
        return terms(sized(self.depth, sequence_len=self.sequence_len), self.rows, self.passes)


@dataclass(frozen=True)
class Fit:
    """Bytes of each of TERMS, none below 0. `low`: the most that a sample exceeds what the others foresee, relative."""

    update: tuple[float, ...]
    passes: tuple[float, ...]
    low: float
    samples: int

    def peak_bytes(self, model: Model, rows: int, passes: int) -> int:
        """Raised by `low`, so that it errs upwards."""
        return round(_foreseen((self.update, self.passes), terms(model, rows, passes)) * (1 + self.low))

    def token_bytes(self, model: Model) -> float:
        """What one more token of a pass adds."""
        two, one = (terms(model, rows, 1) for rows in (2, 1))
        return float(np.dot(self.passes, two - one)) / model.sequence_len

    def __str__(self) -> str:
        told = (
            f"{name} " + ", ".join(f"{value:.4g} {term}" for term, value in zip(TERMS, part, strict=False) if value)
            for name, part in (("update", self.update), ("passes", self.passes))
        )
        return f"{'; '.join(told)}; {self.samples} samples, each at most {self.low:.1%} above what the others foresee"


@dataclass(frozen=True)
class Plan:
    """The rows of a pass that fit, the peak foreseen with them, of how much, and from whose samples."""

    rows: int
    passes: int
    peak_bytes: int
    usable_bytes: int
    source: str

    @property
    def fits(self) -> bool:
        return self.peak_bytes <= self.usable_bytes

    def __str__(self) -> str:
        size = f"{self.peak_bytes / GIB:.1f} of the {self.usable_bytes / GIB:.1f} GiB to be had"
        doubt = "" if self.fits else "; even one row may not fit"
        return f"{self.rows} rows x {self.passes}: {size}, by samples of {self.source}{doubt}"


def terms(model: Model, rows: int, passes: int) -> np.ndarray:
    """What the memory of a step grows with, as TERMS names it."""
    parameters, tokens = count(model), rows * model.sequence_len
    scores = rows * model.heads * model.sequence_len**2
    return np.array([1.0, parameters, parameters * (passes > 1), tokens * model.depth * model.width, scores])


def fit(measured: list[Sample]) -> Fit:
    """Least squares of relative errors, no coefficient below 0; each sample is also foreseen from the others alone."""
    rows, peaks = np.array([s.terms() for s in measured]), np.array([float(s.peak_bytes) for s in measured])
    small = np.array([s.rows * s.sequence_len <= UPDATE_TOKENS for s in measured])
    everything = np.ones(len(measured), bool)
    fitted, low = _coefficients(rows, peaks, small, everything), 0.0
    for i in np.flatnonzero(~small):
        low = max(
            low, peaks[i] / _foreseen(_coefficients(rows, peaks, small, np.arange(len(measured)) != i), rows[i]) - 1
        )
    return Fit(*(tuple(float(value) for value in part) for part in fitted), low=float(low), samples=len(measured))


def usable_bytes(machine: Hardware, backend: str) -> int | None:
    """What a step on this backend can have; None where it is unknown."""
    kind = backend.split("-")[1]
    whole_bytes = machine.gpu_memory_bytes if kind == "cuda" else machine.memory_bytes
    if kind in ("metal", "mps"):
        return machine.gpu_memory_bytes or (int(APPLE_SHARE * whole_bytes) if whole_bytes else None)
    return int(SHARE[kind] * whole_bytes) if whole_bytes else None


def plan(recipe: Recipe, backend: str, policy: str, machine: Hardware) -> Plan | None:
    """The most rows of a pass, at most the recipe's own and a divisor of them, so that the batch in tokens stays.

    One row where even that may not fit; None where the memory or all samples are unknown.
    """
    found, most_bytes = foreseen(backend, policy), usable_bytes(machine, backend)
    if most_bytes is None or found is None:
        return None
    fitted, source = found
    most = recipe.data.device_batch
    for rows in (rows for rows in range(most, 0, -1) if most % rows == 0):
        passes = replace(recipe.data, device_batch=rows).accumulation(recipe.model.sequence_len)
        peak_bytes = fitted.peak_bytes(recipe.model, rows, passes)
        if peak_bytes <= most_bytes or rows == 1:
            return Plan(rows, passes, peak_bytes, most_bytes, source)
    raise AssertionError("a batch has a row")


def fitted(recipe: Recipe, planned: Plan | None) -> Recipe:
    """`recipe` with the plan's rows; the batch in tokens, and all that decides comparability, stays."""
    return replace(recipe, data=replace(recipe.data, device_batch=planned.rows)) if planned else recipe


def chosen(recipe: Recipe, why: str, backend: str, policy: str, machine: Hardware) -> tuple[Recipe, str]:
    """`recipe` with rows that fit on this machine, and `why` with the reason where that made them fewer."""
    planned = plan(recipe, backend, policy, machine)
    if planned is None or (planned.fits and planned.rows == recipe.data.device_batch):
        return recipe, why
    return fitted(recipe, planned), f"{why}; {planned}"


@lru_cache
def foreseen(backend: str, policy: str) -> tuple[Fit, str] | None:
    """The fit for a backend and whose samples it is from: its own, else those of its next of kin."""
    width = "float32" if policy == "float32" else "bfloat16"
    for name in (backend, *STAND_IN[backend]):
        measured = [s for s in samples() if (s.backend, s.policy) == (name, width)]
        if measured:
            return fit(measured), name if name == backend else f"{name}, for want of its own"
    return None


@lru_cache
def samples() -> tuple[Sample, ...]:
    """All measured peaks."""
    return tuple(Sample(**row) for row in json.loads(FILE.read_text("utf-8"))) if FILE.exists() else ()


def resident_bytes() -> int:
    """What this process holds in memory now."""
    return psutil.Process().memory_info().rss


def _foreseen(parts, row: np.ndarray) -> float:
    """The higher of the update's and the passes' peak."""
    return max(float(np.dot(part, row[: len(part)])) for part in parts)


def _coefficients(rows, peaks, small, used) -> tuple[np.ndarray, np.ndarray]:  # (S, terms), 3 x (S,)
    """The update's coefficients from the small samples, and the passes' from those that exceed its peak."""
    if (small & used).sum() <= UPDATE_TERMS:
        raise ValueError(f"{(small & used).sum()} samples of <= {UPDATE_TOKENS} tokens; measure {UPDATE_TERMS + 1}")
    update = _squares(rows[small & used, :UPDATE_TERMS], peaks[small & used])
    larger = used & ~small & (peaks > DOMINANT * (rows[:, :UPDATE_TERMS] @ update))
    if larger.sum() < len(TERMS):
        raise ValueError(f"{larger.sum()} samples exceed the update's peak; measure {len(TERMS)} or more, of more rows")
    return update, _squares(rows[larger], peaks[larger])


def _squares(rows: np.ndarray, peaks: np.ndarray) -> np.ndarray:  # (S, terms), (S,) -> (terms,)
    """Least squares of relative errors; terms that come out negative are left out, the most negative first."""
    scaled, used = rows / peaks[:, None], list(range(rows.shape[1]))
    while True:
        size = np.linalg.norm(scaled[:, used], axis=0)
        size[size == 0] = 1.0
        found = np.linalg.lstsq(scaled[:, used] / size, np.ones(len(peaks)), rcond=None)[0] / size
        if (found >= 0).all():
            whole = np.zeros(rows.shape[1])
            whole[used] = found
            return whole
        used.pop(int(np.argmin(found * size)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description="What presets take, and what fits.")
    parser.add_argument("--backend", choices=sorted(STAND_IN), action="append", help="default: those measured")
    console, sizes_gib = Console(highlight=False), (8, 16, 24, 36, 48, 80, 141)
    machines = [Hardware(chip="any", memory_bytes=gib * GIB, gpu_memory_bytes=gib * GIB) for gib in sizes_gib]
    for backend in parser.parse_args().backend or sorted({sample.backend for sample in samples()}):
        for policy in ("float32", "bfloat16"):
            if (found := foreseen(backend, policy)) is None:
                console.print(f"{backend} {policy}: never measured; try python -m bench.footprint --backend {backend}")
                continue
            console.print(f"{backend} {policy}, of {found[1]}: {found[0]}")
            table = Table("preset", "KiB/token", "GiB", *(f"rows in {gib}" for gib in sizes_gib), box=None)
            for name, chosen in PRESETS.items():
                recipe = Recipe(name=name, model=chosen.model, data=chosen.data)
                plans = [plan(recipe, backend, policy, machine) for machine in machines]
                whole = found[0].peak_bytes(chosen.model, chosen.data.device_batch, recipe.accumulation())
                fits = (f"{each.rows}" if each.fits else "none" for each in plans if each)
                table.add_row(name, f"{found[0].token_bytes(chosen.model) / 2**10:.1f}", f"{whole / GIB:.2f}", *fits)
            console.print(table)


if __name__ == "__main__":
    main()
