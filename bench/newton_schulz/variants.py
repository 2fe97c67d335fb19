"""The norms that ports really take, each put in place of the shipped one: `with norm_as(subject, "bfloat16, serial")`.

A port that squares and sums a bfloat16 array gets its framework's accumulator. Where a framework no longer has the
narrow one, or never had, it is emulated in NumPy. Test with `pytest -m fast -k newton_schulz`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from unittest.mock import patch

import ml_dtypes
import numpy as np

from impl.oracle.precision import precision, to_bfloat16
from impl.spec import Orthogonalizer

LANES, READS = 1024, 4  # threads of a group, and elements each reads at a time: MLX's row reduction on a GPU
GONE = 2.0  # a singular value mapped beyond this is on its way to overflow: none in [0, 1] is mapped beyond 1.21


def _squares(x):  # (m, n) float32 -> (m n) bfloat16
    return np.square(to_bfloat16(x)).astype(ml_dtypes.bfloat16).ravel()


def wide(x) -> float:  # (m, n) -> norm
    """A bfloat16 array summed in float32, the result rounded: torch everywhere, MLX on CUDA, MLX on a CPU of late."""
    total = np.sum(_squares(x).astype(np.float32), dtype=np.float32)
    return float(to_bfloat16(np.sqrt(to_bfloat16(total))))


def serial(x) -> float:  # (m, n) -> norm
    """One bfloat16 accumulator, one element after the other: it stands still at 256 times the mean square."""
    return float(to_bfloat16(np.sqrt(np.float32(np.add.reduce(_squares(x))))))


def lanes(x) -> float:  # (m, n) -> norm
    """A bfloat16 accumulator for each of 1024 threads, then pairs of them: the layout of a GPU's row reduction."""
    squares = _squares(x)
    padded = np.zeros(-(-len(squares) // (LANES * READS)) * LANES * READS, ml_dtypes.bfloat16)
    padded[: len(squares)] = squares
    sums = np.add.reduce(padded.reshape(-1, LANES, READS).transpose(0, 2, 1).reshape(-1, LANES), axis=0)
    while len(sums) > 1:
        sums = sums[: len(sums) // 2] + sums[len(sums) // 2 :]
    return float(to_bfloat16(np.sqrt(np.float32(sums[0]))))


EMULATED: dict[str, Callable] = {"bfloat16, wide": wide, "bfloat16, lanes": lanes, "bfloat16, serial": serial}
FRAMEWORK = "bfloat16, framework"
SHIPPED = "float32"
ROUNDED = "bfloat16, coefficients too"
NORMS = (SHIPPED, FRAMEWORK, *EMULATED)


@contextmanager
def norm_as(subject, norm: str) -> Iterator[None]:
    """Inside, the subject's orthogonaliser divides by this norm. Raises ValueError for an unknown one."""
    if norm not in NORMS:
        raise ValueError(f"norm={norm!r} is unknown; try one of {list(NORMS)}")
    if norm == SHIPPED:
        yield
        return
    owner, function = _replacement(subject, norm)
    with patch.object(owner, "frobenius", function):
        yield


def norm_of(subject, x, norm: str) -> float:  # (m, n) float32 -> norm
    """The norm as `subject` takes it."""
    with norm_as(subject, norm):
        if subject.name == "oracle":
            return float(_oracle().frobenius(x, precision("float32")))
        return float(subject.backend.numpy(subject.muon.frobenius(subject.backend.array(x[None])))[0, 0, 0])


def _replacement(subject, norm: str) -> tuple[object, Callable]:
    """The module whose `frobenius` is replaced, and what by."""
    if subject.name == "oracle":
        return _oracle(), lambda x, p: p.dtype(EMULATED[norm](np.asarray(x, np.float32)))
    return subject.muon, _framework(subject.backend) if norm == FRAMEWORK else _on_host(subject.backend, EMULATED[norm])


def _oracle():
    from impl.oracle import muon

    return muon


def _on_host(backend, emulated: Callable) -> Callable:
    """`emulated` of each matrix of a stack on the device."""

    def frobenius(x):  # (S, m, n) -> (S, 1, 1) float32
        norms = np.array([emulated(matrix) for matrix in backend.numpy(x)], np.float32)
        return backend.array(norms.reshape(-1, 1, 1), "float32")

    return frobenius


def _framework(backend) -> Callable:
    """The framework's own norm of a bfloat16 stack, with whatever accumulator it has."""
    if backend.framework == "torch":
        torch = backend.torch
        return lambda x: torch.linalg.vector_norm(x.bfloat16(), dim=(1, 2), keepdim=True).float()
    mx = backend.mx
    return lambda x: mx.linalg.norm(x.astype(mx.bfloat16), axis=(1, 2), keepdims=True).astype(mx.float32)


def rounded(orthogonalizer: Orthogonalizer) -> Orthogonalizer:
    """Its coefficients as bfloat16 has them: what a framework does that rounds a number to the array's dtype."""
    rows = to_bfloat16(np.array(orthogonalizer.coefficients)).tolist()
    return replace(orthogonalizer, coefficients=tuple(map(tuple, rows)))


def asked(orthogonalizer: Orthogonalizer, products: str) -> tuple[Orthogonalizer, str]:
    """(orthogonalizer, dtype) to ask a subject for. TF32 is a matter of a switch, not of a dtype."""
    if products == ROUNDED:
        return rounded(orthogonalizer), "bfloat16"
    return orthogonalizer, "float32" if products == "tf32" else products


@lru_cache
def cliff(orthogonalizer: Orthogonalizer) -> float:
    """The largest scaled singular value, 1 or more, that the iteration still maps near 1: beyond it, it diverges."""
    low, high = 1.0, 2.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if abs(mapped(middle, orthogonalizer)) > GONE else (middle, high)
    return low


def mapped(sigma: float, orthogonalizer: Orthogonalizer) -> float:
    """What the iteration makes of one scaled singular value, in float64; it stops where the value has gone."""
    for a, b, c in orthogonalizer.rows():
        sigma = a * sigma + b * sigma**3 + c * sigma**5
        if abs(sigma) > 1e9:
            break
    return sigma
