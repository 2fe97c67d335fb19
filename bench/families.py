"""Families of operations, each with inputs on which the precision classes lie far apart.

A family answers in parts, whose errors together tell the class. In most, the second part is the same question a million
times larger: exact for every class but float16, which overflows.
Test with `pytest -m fast bench/conformance/test_precision.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bench.subject import Subject
from impl.oracle.precision import Precision, precision
from impl.spec import POLAR_EXPRESS

WIDE = np.float32(2.0**20)  # beyond float16's largest; a power of two, hence exact elsewhere
FAINT = np.float32(2.0**-14)  # of half a matrix' rows: normalised, they lie below float16's smallest normal number
SPLITS = 8  # a long product may be cut in so many, whose sums are rounded on the way, and still count as accurate

Inputs = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of operation.

    owner: "framework" where it is the framework's own and not in what we ship. products: reads operands as GEMM does,
    with so many terms to a sum. widened: which inputs grow in the wide question, and by what power of WIDE.
    lanes: among how many a reduction in the narrow class may be shared out at most, so that it still shows.
    """

    name: str
    inputs: Callable[[np.random.Generator], Inputs]
    answer: Callable[[Subject, Inputs, str], list[np.ndarray]]
    widened: Mapping[str, int] = field(default_factory=dict)
    owner: str = "shipped"
    policies: tuple[str, ...] = ("float32", "bfloat16", "float16")
    products: int = 0
    lanes: int = 1
    draws: int = 1

    def parts(self, subject: Subject, policy: str, at=None, wide: bool = True) -> list[np.ndarray]:
        """The answers of `subject` to inputs that `policy` can hold; `at` is what it is asked for, if not `policy`."""
        asked = [self._parts(subject, policy, at or policy, seed, wide) for seed in range(self.draws)]
        return [np.concatenate([answer.reshape(-1) for answer in part]) for part in zip(*asked, strict=True)]

    def has_wide_part(self, policy: str) -> bool:
        """Float16 itself cannot hold it."""
        return bool(self.widened) and policy != "float16"

    def _parts(self, subject: Subject, policy: str, at, seed: int, wide: bool) -> list[np.ndarray]:
        plain = _floats(self.inputs(np.random.default_rng(seed)), lambda name, x: precision(policy).kernel(x))
        parts = list(self.answer(subject, plain, at))
        if wide and self.has_wide_part(policy):
            grown = _floats(plain, lambda name, x: x * WIDE ** self.widened.get(name, 0))
            parts += self.answer(subject, grown, at)
        return parts

    def orders(self, name: str) -> list[Precision]:
        """The class of this name with the orders of summation between which its real kernels lie."""
        p = precision(name.removesuffix("-sums"))
        accumulator = {"float32": np.float32, "float16": np.float16}.get(p.name, precision("bfloat16-sums").accumulator)
        narrow = replace(p, narrow_sums=True, accumulator=accumulator)
        chunked = bool(self.products)
        if name.endswith("-sums"):
            weak = replace(narrow, lanes=self.lanes, chunk=64 if chunked else None)
            return [weak, replace(narrow, chunk=4 if chunked else None)]
        if name == "float32":
            return [p, replace(narrow, chunk=4 if chunked else None)]
        if chunked and self.products >= 512 * SPLITS and name != "tf32":
            return [p, replace(p, chunk=self.products // SPLITS)]
        return [p]


def _floats(inputs: Inputs, change) -> Inputs:
    return {name: change(name, x) if x.dtype.kind == "f" else x for name, x in inputs.items()}


def _op(name: str, **attrs):
    def answer(subject, inputs, policy):
        return [np.asarray(subject.op(name, tuple(inputs.values()), attrs, policy))]

    return answer


def _normal(rng, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)  # 24-bit mantissas


def _cancelling(rng, *shape: int) -> np.ndarray:
    """Sums along the first axis of a fraction of what their terms are worth: even a tree of narrow additions shows."""
    half = _normal(rng, shape[0] // 2, *shape[1:])
    return rng.permutation(np.concatenate([half, half * (_normal(rng, *half.shape) * np.float32(0.25) - 1)]))


def _sharp(rng, rows: int, columns: int) -> np.ndarray:
    """Half of the rows faint, though of full rank."""
    x = _normal(rng, rows, columns)
    x[rows // 2 :] *= FAINT
    return x


def _orthogonalized(subject, inputs, policy):
    matrix = inputs["x"]
    update = np.asarray(subject.orthogonalize(matrix, POLAR_EXPRESS, policy))
    half = len(matrix) // 2
    return [update[:half], update[half:]]


FAMILIES = {
    family.name: family
    for family in (
        Family(
            name="gemm",
            inputs=lambda rng: {"a": _normal(rng, 48, 4096), "b": _normal(rng, 4096, 48)},
            answer=_op("matmul"),
            widened={"a": 1},
            products=4096,
        ),
        Family(
            name="sdpa",
            inputs=lambda rng: {name: _normal(rng, 1, 512, 1, 64) for name in "qkv"},
            answer=_op("attention", window=512),
            widened={"v": 1},
            products=512,
        ),
        Family(
            name="rms-norm",
            inputs=lambda rng: {"x": _normal(rng, 8, 16384)},
            answer=_op("rms_norm", eps=1.1920929e-7),
            widened={"x": 1},
            lanes=32,
        ),
        Family(
            name="cross-entropy",
            inputs=lambda rng: {
                "x": _normal(rng, 48, 64),
                "weight": _normal(rng, 4096, 64) / 4,
                "targets": rng.integers(0, 4096, 48),
            },
            answer=_op("row_nats", softcap=15.0),
            widened={"x": 1, "weight": -1},
            products=64,
            lanes=8,
        ),
        Family(
            name="orthogonalizer",
            inputs=lambda rng: {"x": _sharp(rng, 128, 256)},
            answer=_orthogonalized,
            policies=("float32", "bfloat16"),  # at float16 it would lose the faint directions of any gradient
            products=256,
            lanes=32,
        ),
        Family(
            name="norm",
            inputs=lambda rng: {"x": _normal(rng, 512, 1024) / 32},  # its sum of squares fits float16
            answer=_op("norm"),
            widened={"x": 1},
            owner="framework",
            lanes=1024,
            draws=4,
        ),
        Family(
            name="sum of all",
            inputs=lambda rng: {"x": _cancelling(rng, 2**17)},
            answer=_op("sum", axis=None),
            widened={"x": 1},
            owner="framework",
            lanes=4096,
            draws=8,
        ),
        Family(
            name="sum of rows",
            inputs=lambda rng: {"x": np.ascontiguousarray(_cancelling(rng, 2**14, 32).T)},
            answer=_op("sum", axis=1),
            widened={"x": 1},
            owner="framework",
            lanes=1024,
        ),
        Family(
            name="sum of columns",
            inputs=lambda rng: {"x": _cancelling(rng, 2**14, 32)},
            answer=_op("sum", axis=0),
            widened={"x": 1},
            owner="framework",
            lanes=1024,
        ),
    )
}
