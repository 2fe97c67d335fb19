"""The model's kernels against float64: RMSNorm, RoPE, windowed grouped attention, softcapped cross-entropy, GEMM.

`pytest -m fast bench/conformance/test_ops.py`
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.check import agree
from bench.strategies import SEEDS

pytestmark = pytest.mark.fast


def ask_op(name: str, **attrs):
    """The question "what does this kernel give", for `agree`."""

    def ask(subject, inputs, policy):
        return {"": subject.op(name, tuple(inputs.values()), attrs, policy)}

    return ask


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@given(seed=SEEDS, m=st.integers(1, 40), k=st.sampled_from([1, 7, 64, 200, 1024]), n=st.integers(1, 40))
def test_matmul_matches_oracle(subject, policy, seed, m, k, n):
    inputs = {"a": normal(seed, m, k), "b": normal(seed + 1, k, n)}
    agree(subject, "matmul", policy, inputs, ask_op("matmul"))


def test_large_matmul_matches_oracle(subject, policy):
    """A size at which other kernels run, and at which one release of MLX on M5 was silently wrong (mlx#3585)."""
    inputs = {"a": normal(0, 1024, 2048), "b": normal(1, 2048, 96)}
    agree(subject, "large_matmul", policy, inputs, ask_op("matmul"))


@given(seed=SEEDS, rows=st.integers(1, 6), width=st.sampled_from([1, 8, 96, 257, 2048]), exponent=st.integers(-6, 6))
def test_rms_norm_matches_oracle(subject, policy, seed, rows, width, exponent):
    """Scales from 1e-6, where eps decides, to 1e6."""
    inputs = {"x": normal(seed, rows, width) * np.float32(10.0**exponent)}
    agree(subject, "rms_norm", policy, inputs, ask_op("rms_norm", eps=1.1920929e-7))


@given(seed=SEEDS, tokens=st.sampled_from([1, 2, 33, 300]), heads=st.integers(1, 3), half=st.sampled_from([1, 4, 32]))
def test_rope_matches_oracle(subject, policy, seed, tokens, heads, half):
    inputs = {"x": normal(seed, 2, tokens, heads, 2 * half)}
    agree(subject, "rope", policy, inputs, ask_op("rope", base=10_000.0))


@st.composite
def attention_cases(draw):
    tokens = draw(st.sampled_from([1, 5, 16, 33]))
    window = draw(st.sampled_from(sorted({0, 1, tokens // 2, max(0, tokens - 2), tokens - 1, tokens})))
    return tokens, window, draw(st.sampled_from([(1, 1), (2, 2), (4, 2), (4, 1)])), draw(st.sampled_from([8, 16]))


@given(seed=SEEDS, case=attention_cases())
def test_attention_matches_oracle(subject, policy, seed, case):
    """Windows of one key, of all keys, and both sides of the sequence length; query heads sharing key heads."""
    tokens, window, (heads, kv_heads), size = case
    inputs = {
        "q": normal(seed, 2, tokens, heads, size),
        "k": normal(seed + 1, 2, tokens, kv_heads, size),
        "v": normal(seed + 2, 2, tokens, kv_heads, size),
    }
    agree(subject, "attention", policy, inputs, ask_op("attention", window=window), key=(window,))


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("window", [32, 70])
def test_attention_of_real_heads_matches_oracle(subject, policy, size, window):
    """Fused kernels begin at such sizes; MPS had one that misread transposed heads, and one that saw the future."""
    inputs = {name: normal(seed, 2, 70, 2, size) for seed, name in enumerate("qkv")}
    agree(subject, "attention", policy, inputs, ask_op("attention", window=window), key=(window,))


@given(seed=SEEDS, rows=st.integers(1, 70), vocab=st.sampled_from([3, 65]), scale=st.sampled_from([0.01, 1.0, 12.0]))
def test_cross_entropy_matches_oracle(subject, policy, seed, rows, vocab, scale):
    """Logits from flat to far beyond the cap; some targets not scored."""
    targets = np.random.default_rng(seed + 2).integers(-1, vocab, rows)
    targets[0] = vocab - 1
    inputs = {
        "x": normal(seed, rows, 16) * np.float32(scale),
        "weight": normal(seed + 1, vocab, 16),
        "targets": targets,
    }
    agree(subject, "cross_entropy", policy, inputs, ask_op("cross_entropy", softcap=15.0))
