"""The same arithmetic at another precision: where a real kernel rounds its output, the emulation rounds too.

Points that round, one per kernel: norm, rope, matmul, scores, probabilities, attention output, squared ReLU, residual
sums, and every scalar (a norm, a scale). Sums accumulate in float32, save in the one class that is about not doing so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np


def _unchanged(x):
    return x


def to_bfloat16(x):
    """Nearest bfloat16, ties to even, held in float32."""
    return np.asarray(x, np.float32).astype(ml_dtypes.bfloat16).astype(np.float32)


def to_float16(x):
    """Nearest float16, ties to even, held in float32; overflow is infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(x, np.float32).astype(np.float16).astype(np.float32)


def to_tf32(x):
    """Ten explicit mantissa bits, ties to even, held in float32: what tensor cores read."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    rounded = bits + np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))
    return (rounded & np.uint32(0xFFFFE000)).view(np.float32)


@dataclass(frozen=True)
class Precision:
    """One precision class.

    dtype: what arrays are held in. kernel: rounding of a kernel's output. operand: rounding of what GEMM and SDPA read.
    narrow_sums: reductions accumulate in `accumulator`, in this many `lanes` whose results are added in pairs.
    chunk: GEMM adds so many products at a time and rounds its running sum; None: once, at the end. ulp: spacing of
    the kernel's grid at 1.
    """

    name: str
    ulp: float
    dtype: type = np.float32
    kernel: Callable = _unchanged
    operand: Callable = _unchanged
    narrow_sums: bool = False
    accumulator: type = ml_dtypes.bfloat16
    lanes: int = 1
    chunk: int | None = None

    def array(self, x):
        """`x` in the working dtype."""
        return np.asarray(x, self.dtype)

    def matmul(self, a, b):  # (..., m, k), (..., k, n) -> (..., m, n)
        a, b = self.operand(a), self.operand(b)
        if self.chunk is None:
            return self.kernel(np.matmul(a, b))
        total = np.zeros((), self.dtype)
        for i in range(0, a.shape[-1], self.chunk):
            total = self.kernel(total + np.matmul(a[..., i : i + self.chunk], b[..., i : i + self.chunk, :]))
        return total

    def sum(self, x, axis=None, keepdims=False):
        if self.narrow_sums:
            return self._narrow_sum(x, axis, keepdims)
        return np.sum(x, axis=axis, keepdims=keepdims, dtype=self.dtype)

    def _narrow_sum(self, x, axis, keepdims):
        """Every lane adds term after term, as `accumulate` does where `reduce` may not; then the lanes in pairs."""
        terms = x.reshape(-1) if axis is None else np.moveaxis(x, axis, -1)
        terms = terms.astype(self.accumulator)
        padding = [(0, 0)] * (terms.ndim - 1) + [(0, -terms.shape[-1] % self.lanes)]
        terms = np.pad(terms, padding).reshape(*terms.shape[:-1], -1, self.lanes)
        sums = np.add.accumulate(terms, axis=-2)[..., -1, :]
        while sums.shape[-1] > 1:  # lanes are a power of two
            sums = sums[..., ::2] + sums[..., 1::2]
        total = sums[..., 0].astype(np.float32)
        if not keepdims:
            return total
        return total.reshape([1] * x.ndim) if axis is None else np.expand_dims(total, axis)

    def mean(self, x):  # (..., C) -> (..., 1)
        return self.sum(x, axis=-1, keepdims=True) / self.dtype(x.shape[-1])


FLOAT64 = Precision("float64", 2.0**-52, np.float64)
PRECISIONS = {
    p.name: p
    for p in (
        FLOAT64,
        Precision("float32", 2.0**-23),
        Precision("tf32", 2.0**-23, operand=to_tf32),
        Precision("float16", 2.0**-10, kernel=to_float16),
        Precision("bfloat16", 2.0**-7, kernel=to_bfloat16),
        Precision("bfloat16-sums", 2.0**-7, kernel=to_bfloat16, narrow_sums=True),
    )
}


def precision(name: str | Precision) -> Precision:
    """The class of this name, or the one given. Raises ValueError for an unknown one."""
    if isinstance(name, Precision):
        return name
    if name not in PRECISIONS:
        raise ValueError(f"precision={name!r} is unknown; try one of {sorted(PRECISIONS)}")
    return PRECISIONS[name]
