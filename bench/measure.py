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
PROBE_REPEATS = 5
PROBE_SIZE = {"cpu": 512, "gpu": 4096}  # a product of 0.27 GFLOP takes 45 ms on the slowest BLAS known


def seconds(action: Callable[[], object]) -> float:
    """Wall seconds of one call, which must wait for its own results."""
    start_ns = time.perf_counter_ns()
    action()
    return (time.perf_counter_ns() - start_ns) / 1e9


def warm_up(step: Callable[[], object], limit_s: float = WARMUP_LIMIT_S) -> tuple[Warmup, float]:
    """Run blocks of steps until one improves by less than 5 % on the one before, or the limit is reached.

    Returns what it took, and how much longer the first step was than a warm one: compilation and first touches.
    """
    samples = [seconds(step)]
    block_s = float("inf")
    while sum(samples) < limit_s:
        samples += [seconds(step) for _ in range(BLOCK_STEPS)]
        previous_s, block_s = block_s, median(samples[-BLOCK_STEPS:])
        if block_s > (1 - IMPROVEMENT) * previous_s:
            break
    return Warmup(steps=len(samples), seconds=sum(samples)), max(0.0, samples[0] - min(block_s, samples[0]))


def probe_gemm(backend, precision: str, when: str) -> Probe:
    """The quickest of a few square products in `precision`: the same work before, during and after a run."""
    size = PROBE_SIZE["cpu" if backend.name.endswith("-cpu") else "gpu"]
    a = backend.array(np.random.default_rng(0).standard_normal((size, size), np.float32), precision)
    backend.sync(a @ a)
    fastest_s = min(seconds(lambda: backend.sync(a @ a)) for _ in range(PROBE_REPEATS))
    return Probe.model_validate({"when": when, "flop": 2 * size**3, "seconds": fastest_s, "precision": precision})
