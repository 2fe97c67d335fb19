"""Raw facts of a framework that have moved from release to release: accumulators, errors of kernels, bits.

    python -m bench.matrix.facts --backend mlx-cpu --json FILE

Test with `pytest -m meta bench/meta/test_matrix.py`.
"""

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import cast

import numpy as np

from bench.error import Error
from bench.matrix import divergence
from bench.matrix.record import Kind, Quantity, number, write
from bench.ours import Ours
from bench.strategies import params_of, recipe_of, tokens_of
from bench.subject import load
from impl.spec import Model

ONES = 70_000  # beyond what a sum of ones reaches in bfloat16 (256) and float16 (2048), where adding 1 changes nothing
ADDENDS = 4096
NORM_SHAPE = (2048, 8192)
POINTS = 2**16  # of an elementwise function
ELEMENTWISE: dict[str, tuple[Callable, tuple[float, float]]] = {
    "exp": (np.exp, (-20, 20)),
    "log": (np.log, (1e-6, 100)),
    "tanh": (np.tanh, (-5, 5)),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), (-20, 20)),
    "rsqrt": (lambda x: x**-0.5, (1e-6, 100)),
    "sin": (np.sin, (-100, 100)),
    "erf": (np.vectorize(math.erf), (-4, 4)),
}
MODEL = Model(sequence_len=24, vocab_size=64, depth=2, width=32, heads=4, kv_heads=2, gate_channels=8)


class Bench:
    """One backend with its framework's module, whose names the two frameworks share here."""

    def __init__(self, subject: Ours):
        self.subject, self.backend = subject, subject.backend
        self.ns = import_module({"mlx": "mlx.core", "torch": "torch"}[self.backend.framework])

    def array(self, values, dtype: str):
        return self.backend.array(np.asarray(values, np.float32), dtype)

    def numpy(self, x) -> np.ndarray:
        return self.backend.numpy(x).astype(np.float64)

    def held(self, values, dtype: str):  # -> the array, and its values in float64
        x = self.array(values, dtype)
        return x, self.numpy(x)


def facts(subject: Ours) -> Iterator[Quantity]:
    """Every fact in turn; one that raises is recorded with its reason instead of a value."""
    bench = Bench(subject)
    for name, kind, measure in _questions(bench):
        try:
            value = measure()
        except Exception as error:  # whatever a release cannot do is what its row says
            kind, value = "class", f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"
        yield Quantity(name=name, kind=cast(Kind, kind), value=value if isinstance(value, str) else number(value))


def _questions(bench: Bench) -> Iterator[tuple[str, str, Callable[[], float | str]]]:
    for dtype in ("float32", "bfloat16", "float16"):
        yield f"sum of {ONES} ones, {dtype}", "value", partial(_total, bench, dtype)
    yield f"mean of {ONES} ones, bfloat16", "value", partial(_mean, bench)
    yield "running sum of 1000 ones, bfloat16", "value", partial(_running, bench)
    for dtype in ("float32", "bfloat16"):
        rows, columns = NORM_SHAPE
        yield f"norm of {rows} x {columns} over its true value, {dtype}", "value", partial(_norm, bench, dtype)
        yield f"GEMM 256 x {ADDENDS} x 64, {dtype}", "error", partial(_gemm, bench, dtype)
        yield f"GEMM 256 x {ADDENDS} x 64, {dtype}, bits", "bits", partial(_gemm_bits, bench, dtype)
        for name, function, truth in _REDUCTIONS:
            yield f"{name} of {ADDENDS}, {dtype}", "error", partial(_reduced, bench, function, truth, dtype)
        for name in ("rms_norm", "attention", "cross_entropy"):
            yield f"{name} at a training size, {dtype}", "error", partial(_kernel, bench, name, dtype)
        yield f"gradients, {dtype}, bits", "bits", partial(_gradient_bits, bench, dtype)
    for name in ELEMENTWISE:
        yield f"{name}, float32, ULPs", "error", partial(_ulps, bench, name)
        yield f"{name}, float32, bits", "bits", partial(_bits_of, bench, name)
    yield from divergence.questions(bench.subject)


_REDUCTIONS = (
    ("mean square", lambda ns, x: (x * x).mean(-1), lambda x: (x * x).mean(-1)),
    ("softmax", lambda ns, x: ns.softmax(x, -1), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    ("logsumexp", lambda ns, x: ns.logsumexp(x, -1), lambda x: np.log(np.exp(x).sum(-1))),
)


def _normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _bits(x: np.ndarray) -> str:
    """A name for exactly these numbers."""
    return hashlib.sha256(np.ascontiguousarray(x, np.float32).tobytes()).hexdigest()[:8]


def _total(bench: Bench, dtype: str) -> float:
    return float(bench.numpy(bench.array(np.ones(ONES), dtype).sum()))


def _mean(bench: Bench) -> float:
    return float(bench.numpy(bench.array(np.ones(ONES), "bfloat16").mean()))


def _running(bench: Bench) -> float:
    return float(bench.numpy(bench.ns.cumsum(bench.array(np.ones(1000), "bfloat16"), 0))[-1])


def _norm(bench: Bench, dtype: str) -> float:
    x, true = bench.held(_normal(0, *NORM_SHAPE), dtype)
    return float(bench.numpy(bench.ns.linalg.norm(x)) / np.linalg.norm(true))


def _gemm(bench: Bench, dtype: str) -> float:
    (a, true_a), (b, true_b) = (bench.held(_normal(*sizes), dtype) for sizes in ((1, 256, ADDENDS), (2, ADDENDS, 64)))
    return Error.between(bench.numpy(a @ b), true_a @ true_b).frobenius


def _gemm_bits(bench: Bench, dtype: str) -> str:
    return _bits(
        bench.numpy(bench.array(_normal(1, 256, ADDENDS), dtype) @ bench.array(_normal(2, ADDENDS, 64), dtype))
    )


def _reduced(bench: Bench, function, truth, dtype: str) -> float:
    x, true = bench.held(_normal(3, 64, ADDENDS), dtype)
    return Error.between(bench.numpy(function(bench.ns, x)), truth(true)).frobenius


def _kernel(bench: Bench, name: str, dtype: str) -> float:
    """One of our kernels against float64, both on inputs that `dtype` holds exactly."""
    arrays, attrs = {
        "rms_norm": ((_normal(4, 16, 2048),), {"eps": 1.1920929e-7}),
        "attention": (tuple(_normal(seed, 1, 1024, 2, 64) for seed in (5, 6, 7)), {"window": 1024}),
        "cross_entropy": (
            (_normal(8, 128, 64), _normal(9, 8192, 64), np.random.default_rng(10).integers(0, 8192, 128)),
            {"softcap": 15.0},
        ),
    }[name]
    arrays = tuple(bench.held(x, dtype)[1].astype(np.float32) if x.dtype.kind == "f" else x for x in arrays)
    truth = load("oracle").op(name, arrays, attrs, "float64")
    return Error.between(bench.subject.op(name, arrays, attrs, dtype), truth).frobenius


def _gradients(bench: Bench, dtype: str) -> np.ndarray:
    recipe = recipe_of(MODEL)
    loss, grads = bench.subject.loss_and_grads(recipe, params_of(MODEL, 0), *tokens_of(MODEL, 0), dtype)
    return np.concatenate([[loss], *(grads[name].ravel() for name in sorted(grads))])


def _gradient_bits(bench: Bench, dtype: str) -> str:
    return _bits(_gradients(bench, dtype))


def _elementwise(bench: Bench, name: str):  # -> what the framework says, and float64
    truth, (low, high) = ELEMENTWISE[name]
    x, true = bench.held(np.linspace(low, high, POINTS), "float32")
    return bench.numpy(getattr(bench.ns, name)(x)), truth(true)


def _ulps(bench: Bench, name: str) -> float:
    found, true = _elementwise(bench, name)
    return float(np.max(np.abs(found - true) / np.spacing(np.abs(true).astype(np.float32))))


def _bits_of(bench: Bench, name: str) -> str:
    return _bits(_elementwise(bench, name)[0])


def main() -> None:
    """Print the facts, and write them with the framework's name for its build."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.matrix.facts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", required=True, metavar="NAME", help="whose facts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write them there as well")
    arguments = parser.parse_args()
    subject = cast(Ours, load(arguments.backend))
    found = []
    for fact in facts(subject):
        print(f"{fact.name:<56} {fact.value}", flush=True)
        found.append(fact.model_dump())
    if arguments.json:
        backend = subject.backend
        build = backend.versions()[backend.framework]
        write(arguments.json, json.dumps({"build": build, "blas": backend.blas(), "quantities": found}))


if __name__ == "__main__":
    sys.exit(main())
