"""Kernels alone: products, attention, norm, rotation, loss, orthogonalisation; most with their gradients too.

`pytest -m bench bench/throughput/test_kernels.py`
"""

from functools import partial
from math import prod

import numpy as np
import pytest

from bench.throughput.case import PRODUCT, Case
from bench.throughput.draws import drawn
from bench.throughput.kernel import as_trained, with_gradients
from bench.throughput.plugin import shapes
from impl.spec import NS5, POLAR_EXPRESS, Model

pytestmark = pytest.mark.bench
BYTES = {"float32": 4, "bfloat16": 2}
MODEL = Model()
MODES = ("forward", "both")  # both: with gradients


def label(*sizes) -> str:
    return "x".join(map(str, sizes))


def cased(backend, precision, name, kernel, sizes, mode, *, counted=None, shape=None, **work) -> Case:
    """A kernel of `counted` arrays that move (all of them), forward or with gradients; the output is like the first."""
    if mode == "forward":
        return Case(
            operation=name,
            shape=shape or label(*sizes[0]),
            precision=precision,
            call=as_trained(backend, kernel),
            inputs=drawn(backend, precision, *sizes),
            **work,
        )
    return Case(
        operation=f"{name}, gradients",
        shape=shape or label(*sizes[0]),
        precision=precision,
        call=with_gradients(backend, kernel, counted or len(sizes)),
        inputs=drawn(backend, precision, *sizes, sizes[0]),
        **work,
    )


@shapes("gemm")
def test_gemm(subject, measured, shape):
    precision, n = shape
    work = {"flop": 2 * n**3, "bytes": 3 * n * n * BYTES[precision]}
    two = [(n, n), (n, n)]
    measured(
        lambda: cased(
            subject.backend, precision, PRODUCT, lambda a, b: a @ b, two, "forward", shape=label(n, n, n), **work
        ),
        subject.backend,
    )


@shapes("rows")
@pytest.mark.parametrize("mode", MODES)
def test_rms_norm(subject, measured, bench_precision, shape, mode):
    def build():
        moved = 2 if mode == "forward" else 5  # x, y; x and dy in, dx out
        work = {"bytes": moved * prod(shape) * BYTES[bench_precision]}
        kernel = partial(subject.gpt.rms_norm, eps=MODEL.norm_eps)
        return cased(subject.backend, bench_precision, "rms norm", kernel, [shape], mode, **work)

    measured(build, subject.backend)


@shapes("heads")
@pytest.mark.parametrize("mode", MODES)
def test_rope(subject, measured, bench_precision, shape, mode):
    def build():
        moved = 2 if mode == "forward" else 4
        work = {"bytes": moved * prod(shape) * BYTES[bench_precision]}
        tables = subject.gpt.rope_tables(shape[1], shape[3], MODEL.rope_base, bench_precision)
        cos, sin = (subject.backend.array(subject.backend.numpy(table), bench_precision) for table in tables)
        kernel = partial(subject.gpt.rope, cos=cos, sin=sin)
        return cased(subject.backend, bench_precision, "rope", kernel, [shape], mode, **work)

    measured(build, subject.backend)


@shapes("heads")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("reach", ("full", "windowed"))
def test_attention(subject, measured, bench_precision, shape, reach, mode):
    """FLOP count the keys that are seen: two products forward, five more backward."""

    def build():
        rows, tokens, heads, size = shape
        window = tokens if reach == "full" else tokens // 2
        seen = sum(min(i, window) + 1 for i in range(tokens))
        products = 2 if mode == "forward" else 7
        work = {
            "flop": products * 2 * rows * heads * size * seen,
            "bytes": (4 if mode == "forward" else 12) * prod(shape) * BYTES[bench_precision],
        }
        kernel = partial(subject.gpt.attention, window=window)
        return cased(subject.backend, bench_precision, f"attention, {reach}", kernel, [shape] * 3, mode, **work)

    measured(build, subject.backend)


@shapes("losses")
def test_cross_entropy(subject, measured, bench_precision, shape):
    """Forward and backward, from the last hidden state: three products of (N, C) and (V, C)."""
    rows, width, vocabulary = shape
    backend = subject.backend

    def build():
        rng = np.random.default_rng(1)
        token = "int64" if backend.framework == "torch" else "int32"
        hidden, heads = drawn(backend, bench_precision, (rows, width)), drawn(backend, "float32", (vocabulary, width))
        sets = [
            (
                x,
                0.02 * head,
                backend.array(rng.integers(0, vocabulary, rows), token),
                backend.array(np.array(1.0, np.float32), "float32"),
            )
            for (x,), (head,) in zip(hidden, heads, strict=True)
        ]
        kernel = partial(subject.loss.cross_entropy, softcap=MODEL.softcap)
        return Case(
            operation="cross entropy",
            shape=label(*shape),
            precision=bench_precision,
            call=with_gradients(backend, kernel, 2),
            inputs=sets,
            flop=6 * rows * width * vocabulary,
            bytes=2 * rows * width * BYTES[bench_precision] + 2 * vocabulary * width * 4,
        )

    measured(build, backend)


@shapes("stacks")
@pytest.mark.parametrize("products", ("float32", "bfloat16"))
@pytest.mark.parametrize("polynomial", ("polar express", "ns5"))
def test_orthogonalize(subject, measured, shape, polynomial, products):
    """On a CPU in float32 alone: bfloat16 products take MLX a hundred times longer there."""
    if products == "bfloat16" and subject.name == "mlx-cpu":
        pytest.skip("mlx-cpu: bfloat16 products run at 5 GFLOP/s, see the row of gemm")
    rule = POLAR_EXPRESS if polynomial == "polar express" else NS5
    stack, short, long = shape[0], *sorted(shape[1:])

    def build():
        flop = stack * rule.steps * 2 * (2 * short**2 * long + short**3)
        return Case(
            operation=polynomial,
            shape=label(*shape),
            precision=products,
            call=as_trained(subject.backend, lambda x: subject.muon.orthogonalize(x, rule, products)),
            inputs=drawn(subject.backend, "float32", shape),
            flop=flop,
            bytes=2 * prod(shape) * 4,
        )

    measured(build, subject.backend)
