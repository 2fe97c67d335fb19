"""How long an update takes: bfloat16 against float32, NumPy against the framework. Absolute times are of GPUs only.

Which products "float32" means is settled here too. Test with `pytest -m fast -k newton_schulz`.
"""

import os
from functools import partial
from statistics import median

import numpy as np

from bench.measure import seconds
from bench.newton_schulz import spectra
from bench.newton_schulz.variants import asked
from impl.oracle import muon
from impl.oracle.precision import precision
from impl.spec import POLAR_EXPRESS

REPEATS = 5
TIMED = ((1, 512, 512), (1, 1024, 1024), (1, 2048, 2048), (8, 2048, 512), (1, 4096, 4096), (1, 8192, 8192))
NUMPY_S = 20.0  # NumPy is not timed where it would take longer than this
NUMPY_FLOP_PER_S = 5e10


def precisions(subject) -> tuple[str, ...]:
    """What products can be asked for in this process: TF32 takes the place of float32 where the switch is on."""
    return ("tf32",) if tf32_is_on(subject.backend) else ("float32", "bfloat16")


def tf32_is_on(backend) -> bool:
    """MLX reads its switch once per process; torch's is turned by the same variable, so that one way serves both.

    Where a device has no TF32, the switch changes nothing and the class is float32's.
    """
    asked = os.environ.get("MLX_ENABLE_TF32") == "1" and not backend.name.endswith("-cpu")
    if asked and backend.framework == "torch":
        backend.torch.backends.cuda.matmul.allow_tf32 = True
    return asked


def flop_per_s(subject, products: str) -> float:
    """Of a product of 1024 on a GPU, 256 on a CPU, whose slowest takes 7 ms."""
    size = 256 if subject.name.endswith("-cpu") else 1024
    x = subject.backend.array(np.ones((size, size), np.float32), asked(POLAR_EXPRESS, products)[1])
    subject.backend.sync(x @ x)
    return 2 * size**3 / min(seconds(lambda: subject.backend.sync(x @ x)) for _ in range(REPEATS))


def add_times(subject, sizes, rates: dict[str, float], case_s: float, results) -> None:
    """A row for each timed shape not yet there: medians of interleaved calls, Polar Express."""
    for shape in TIMED:
        stack, rows, columns = shape
        key = f"time | {stack}x{rows}x{columns}" + (" | tf32" if "tf32" in rates else "")
        flop = stack * 5 * 2 * (2 * min(shape[1:]) ** 2 * max(shape[1:]) + min(shape[1:]) ** 3)
        if key in results.rows or max(shape[1:]) > max(sizes) or 3 * flop / min(rates.values()) > case_s:
            continue
        times_s = timed(subject, shape, tuple(rates), flop)
        ratios = {f"{name} / float32": t / times_s["float32"] for name, t in times_s.items() if "float32" in times_s}
        absolute = {} if subject.name.endswith("-cpu") else {f"{name} s": t for name, t in times_s.items()}
        results.add(key, {"part": "time", "shape": list(shape), **ratios, **absolute})


def timed(subject, shape: tuple[int, int, int], products: tuple[str, ...], flop: float) -> dict[str, float]:
    """Median seconds by products, and of NumPy on one stack fetched from the device and put back, as "numpy"."""
    backend = subject.backend
    host = np.stack([spectra.matrix(shape[1:], "gaussian", seed) for seed in range(shape[0])])
    stack = backend.array(host, "float32")

    def act(name):
        if name == "numpy":
            backend.sync(backend.array(in_numpy(backend.numpy(stack)), "float32"))
        else:
            backend.sync(subject.muon.orthogonalize(stack, *asked(POLAR_EXPRESS, name)))

    names = [*products]
    if flop / NUMPY_FLOP_PER_S < NUMPY_S and "float32" in products:
        names.append("numpy")
    for name in names:
        act(name)
    samples = {name: [] for name in names}
    for _ in range(REPEATS):
        for name in names:
            samples[name].append(seconds(partial(act, name)))
    return {name: median(taken) for name, taken in samples.items()}


def in_numpy(stack):  # (S, m, n) float32 -> the same
    """The update in NumPy's float32, matrix by matrix, as a port did it."""
    return np.stack([muon.orthogonalize(x, POLAR_EXPRESS, precision("float32")) for x in stack])
