"""The peak memory of a training step, measured in a process of its own: the samples that `bench.memory` fits.

    python -m bench.footprint --backend mlx-cpu            measure and print
    python -m bench.footprint --backend mlx-cpu --write    keep the samples in bench/memory.json, in place of older ones

Takes minutes, since every sample has a process and a compilation of its own; --resume goes on where it was cut off.
Test with `pytest -m fast -k memory`.
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np
from rich.console import Console
from rich.progress import track

from bench import memory
from bench.memory import Sample
from bench.ours import Ours
from impl import backend as backends
from impl.backend import out_of_memory
from impl.data import atomic
from impl.init import init
from impl.spec import RECIPES, Data
from impl.spec.model import sized

STEPS = 2  # the second finds the first one's leftovers
# (depth, tokens of a row, rows of a pass, passes of a step): some of few tokens, whose peak is the update's, and others
# in which each axis moves while the rest stand, of so many tokens that the peak is the passes'.
GRIDS = {
    "cpu": (
        (2, 64, 1, 1), (4, 64, 1, 1), (6, 64, 1, 1),
        (2, 256, 32, 1), (2, 512, 8, 1), (2, 1024, 4, 1), (3, 256, 16, 1), (3, 1024, 4, 2), (4, 256, 16, 1),
        (4, 256, 16, 2), (4, 512, 8, 1), (4, 1024, 4, 1), (5, 512, 10, 1),
    ),
    "gpu": (
        (4, 64, 1, 1), (6, 64, 1, 1), (8, 64, 1, 1), (10, 64, 1, 1),
        (4, 2048, 16, 1), (4, 512, 128, 1), (6, 2048, 16, 2), (8, 2048, 8, 1), (8, 2048, 32, 1), (8, 2048, 32, 2),
        (8, 1024, 64, 1), (10, 2048, 16, 1), (10, 2048, 32, 2),
    ),
}  # fmt: skip


def measure(backend: str, policy: str, shape: tuple[int, int, int, int]) -> Sample | None:
    """One sample, in a new process: on a CPU only a process tells its peak. None where it does not fit."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(backend, policy, shape, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        peak_bytes, versions = ours.recv()
    except EOFError:
        raise RuntimeError(f"{backend} died on shape {shape}; its traceback is above") from None
    finally:
        process.join()
    depth, sequence_len, rows, passes = shape
    if peak_bytes is None:
        return None
    return Sample(backend, policy, depth, sequence_len, rows, passes, peak_bytes, versions)


def _serve(backend: str, policy: str, shape: tuple[int, int, int, int], pipe: Connection) -> None:
    opened = backends.load(backend)
    try:
        pipe.send((_peak_bytes(opened, policy, shape), opened.versions()))
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        pipe.send((None, {}))


def _peak_bytes(backend, policy: str, shape: tuple[int, int, int, int]) -> int:
    """What the steps add to what the process holds before it has a model."""
    depth, sequence_len, rows, passes = shape
    data = Data(total_batch=passes * rows * sequence_len, device_batch=rows)
    recipe = replace(RECIPES["autoresearch"], model=sized(depth, sequence_len=sequence_len), data=data)
    backend.sync(backend.array(np.ones((256, 256), np.float32), policy) @ backend.array(np.ones((256, 256)), policy))
    backend.reset_peak_memory()
    before_bytes = memory.resident_bytes() if "resident" in backend.memory_method else 0
    tokens = np.random.default_rng(0).integers(0, recipe.model.vocab_size, (passes, 2, rows, sequence_len))
    trainer = Ours(backend).trainer(recipe, init(recipe.model, 0), policy, compiled=True)
    for _ in range(STEPS):
        trainer.step([tuple(micro) for micro in tokens], recipe.schedule.at(0, 0.0))
    peak_bytes = backend.peak_memory_bytes()
    if peak_bytes is None:
        raise ValueError(f"{backend.name} does not tell its peak memory; measure it on another system")
    return peak_bytes - before_bytes


def keep(sample: Sample | None, dropped: frozenset[tuple[str, str]] = frozenset()) -> None:
    """Add a sample to the file, in place of the one of its shape, and drop all of the pairs (backend, policy)."""
    old = {s.key(): s for s in memory.samples() if (s.backend, s.policy) not in dropped}
    if sample:
        old[sample.key()] = sample
    rows = [json.dumps(asdict(old[key]), sort_keys=True) for key in sorted(old)]
    with atomic.replacing(memory.FILE) as temporary:
        temporary.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    memory.samples.cache_clear()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.footprint", description="Measure a step's peak memory.")
    parser.add_argument("--backend", required=True, help="one that is here")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="default: both")
    parser.add_argument("--write", action="store_true", help=f"keep the samples in {memory.FILE.name}, each at once")
    parser.add_argument("--resume", action="store_true", help="measure only those that the file lacks")
    asked, console = parser.parse_args(), Console()
    try:
        backend = backends.resolve(asked.backend)
    except backends.BackendError as error:
        sys.exit(str(error))
    policies = (asked.precision,) if asked.precision else ("float32", "bfloat16")
    work = [(policy, shape) for policy in policies for shape in GRIDS["cpu" if backend.endswith("-cpu") else "gpu"]]
    samples = [s for s in memory.samples() if asked.resume and s.backend == backend and s.policy in policies]
    if asked.write and not asked.resume:
        keep(None, dropped=frozenset((backend, policy) for policy in policies))
    done = {s.key() for s in samples}
    work = [(policy, shape) for policy, shape in work if (backend, policy, *shape) not in done]
    for policy, shape in track(work, description=backend, console=console):
        if sample := measure(backend, policy, shape):
            samples.append(sample)
            if asked.write:
                keep(sample)
        else:
            console.print(f"{backend} {policy}: {shape} does not fit; left out")
    for policy in policies:
        console.print(f"{backend} {policy}: {memory.fit([s for s in samples if s.policy == policy])}")


if __name__ == "__main__":
    main()
