"""How things are timed: warm-up that ends by convergence, a fixed matrix product that shows throttling.

`pytest -m fast -k measure`
"""

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from reports.schema import Probe, Warmup

BLOCK_STEPS = 3
IMPROVEMENT = 0.05  # warm-up goes on while a block is faster than the one before by more than this
WARMUP_LIMIT_S = 60.0
# Filters of what runs long: a warning ends nothing, and what a kernel compiler says of itself is not told.
WARNINGS = ("default", "ignore:::cutlass", "ignore:::flash_attn", "ignore:::quack")
PROBE_REPEATS = 5
PROBE_SIZE = {"cpu": 512, "gpu": 4096}  # a product of 0.27 GFLOP takes 45 ms on the slowest BLAS known


def seconds(action: Callable[[], object]) -> float:
    """Wall seconds of one call, which must wait for its own results."""
    start_ns = time.perf_counter_ns()
    action()
    return (time.perf_counter_ns() - start_ns) / 1e9


def warm_up(step: Callable[[], object], limit_s: float = WARMUP_LIMIT_S) -> tuple[Warmup, float]:
    """Run blocks of steps until one improves by less than 5 % on the one before, or the limit is reached.

    The first step stands outside of the limit: on an H200 MLX compiles for two minutes in it. Returns what it took, and
    how much longer the first step was than a warm one: compilation and first touches.
    """
    first_s, later_s, block_s = seconds(step), [], float("inf")
    while sum(later_s) < limit_s:
        for _ in range(BLOCK_STEPS):
            later_s.append(seconds(step))
            if sum(later_s) >= limit_s:
                break
        previous_s, block_s = block_s, median(later_s[-BLOCK_STEPS:])
        if block_s > (1 - IMPROVEMENT) * previous_s:
            break
    return Warmup(steps=1 + len(later_s), seconds=first_s + sum(later_s)), max(0.0, first_s - block_s)


def probe_gemm(backend, precision: str, when: str) -> Probe:
    """The quickest of a few square products in `precision`: the same work before, during and after a run."""
    size = PROBE_SIZE["cpu" if backend.name.endswith("-cpu") else "gpu"]
    a = backend.array(np.random.default_rng(0).standard_normal((size, size), np.float32), precision)
    backend.sync(a @ a)
    fastest_s = min(seconds(lambda: backend.sync(a @ a)) for _ in range(PROBE_REPEATS))
    return Probe.model_validate({"when": when, "flop": 2 * size**3, "seconds": fastest_s, "precision": precision})
