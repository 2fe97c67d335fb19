"""Matrices by spectrum, at any size and scale, and the largest singular value of any matrix.

Test with `pytest -m fast -k newton_schulz`.
"""

import numpy as np

RANK = 16
NOISE = 1e-3  # of the largest singular value
HUGE = 100.0
SPECTRA = ("gaussian", "power law", "condition 1e4", "rank 16 + 1e-3", "one huge", "zero", "one row")
PLAIN = SPECTRA[:5]  # neither empty nor a vector
SVD_UP_TO = 1024
ITERATIONS, BLOCK = 24, 24


def matrix(shape: tuple[int, int], spectrum: str, seed: int = 0, scale: float = 1.0):  # -> (m, n) float32
    """Singular vectors at random, the largest singular value about `scale`; "one row" has one, of that many columns.

    Raises ValueError for an unknown spectrum.
    """
    rng = np.random.default_rng(seed)
    rows, columns = (1, shape[1]) if spectrum == "one row" else shape
    if spectrum == "zero":
        return np.zeros(shape, np.float32)
    noise = rng.standard_normal((rows, columns)) / (rows**0.5 + columns**0.5)  # its largest singular value is about 1
    if spectrum in ("gaussian", "one row"):
        found = noise
    elif spectrum == "rank 16 + 1e-3":
        found = _product(rng, rows, columns, np.ones(min(RANK, rows, columns))) + NOISE * noise
    elif spectrum == "one huge":
        found = _product(rng, rows, columns, np.ones(1)) + noise / HUGE
    elif spectrum in ("power law", "condition 1e4"):
        rank = min(rows, columns)
        values = 1 / np.arange(1, rank + 1) if spectrum == "power law" else np.logspace(0, -4, rank)
        found = _product(rng, rows, columns, values)
    else:
        raise ValueError(f"spectrum={spectrum!r} is unknown; try one of {list(SPECTRA)}")
    return (found * scale).astype(np.float32)


def _product(rng, rows: int, columns: int, values):  # (k,) -> (rows, columns)
    """The matrix of these singular values, its vectors orthonormal and at random."""
    left, right = (np.linalg.qr(rng.standard_normal((size, len(values))))[0] for size in (rows, columns))
    return left * values @ right.T


def largest(x) -> float:
    """The largest singular value in float64; above SVD_UP_TO by iterating a block of vectors, which errs below 1 %."""
    x = np.asarray(x, np.float64)
    if not np.all(np.isfinite(x)):
        return float("inf")
    peak = np.max(np.abs(x), initial=0)
    if peak == 0:
        return 0.0
    x = x / peak  # float64 squares too would overflow what float32 holds at its end
    x = x if x.shape[0] <= x.shape[1] else x.T
    if len(x) <= SVD_UP_TO:
        return float(np.sqrt(max(np.linalg.eigvalsh(x @ x.T)[-1], 0)) * peak)
    block = np.random.default_rng(0).standard_normal((len(x), BLOCK))
    for _ in range(ITERATIONS):
        block = np.linalg.qr(x @ (x.T @ block))[0]
    return float(np.linalg.norm(x.T @ block, 2) * peak)
