"""Normal arrays, made on the device: drawn once on the host, and laid end to end there as often as a size asks.

To lay out twelve arrays of (16, 2048, 4, 128) on the host took one of two cores 0.55 s, more than the samples of a
visit take. What is made by MLX on a CUDA device is in that device's memory, too, as it is in training; what NumPy gave
it is in memory that the two share by pages.

Test with `pytest -m meta bench/meta/test_case.py`.
"""

from functools import lru_cache
from math import prod

import numpy as np

ROTATED = 3  # sets of inputs of a row
PERIOD = 4_194_301  # a prime, so that no two rows of a matrix are alike


def drawn(backend, precision: str, *sizes: tuple[int, ...]) -> list[tuple]:
    """ROTATED sets of normal arrays of these shapes on the device, no two of them alike."""
    library = backend.torch if backend.framework == "torch" else backend.mx
    draws = backend.array(_draws(), precision)
    made = []
    for i in range(ROTATED * len(sizes)):
        size, start = sizes[i % len(sizes)], i * PERIOD // (ROTATED * len(sizes))
        turned = library.concatenate([draws[start:], draws[:start]])
        whole, rest = divmod(prod(size), PERIOD)
        # Of one piece MLX would make a view, which keeps all of it.
        made.append(library.concatenate([turned[:0], *[turned] * whole, turned[:rest]]).reshape(size))
    backend.sync(made)
    return [tuple(made[i : i + len(sizes)]) for i in range(0, len(made), len(sizes))]


@lru_cache
def _draws() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(PERIOD, np.float32)
