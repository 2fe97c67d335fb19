"""Hypothesis strategies: small configurations, matrices by spectrum, and arrays drawn from a seed.

Hypothesis draws sizes and a seed, NumPy fills the arrays: examples shrink and print small.
"""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from impl.spec import RECIPES, Data, Model, Recipe

SEEDS = st.integers(0, 2**32 - 1)
SPECTRA = ("gaussian", "power law", "condition 1e4", "rank 4 + 1e-3", "one huge", "zero")
SHAPES = ((24, 24), (48, 16), (16, 48), (1, 32), (32, 1), (64, 24))


@st.composite
def models(draw) -> Model:
    """Every branch of the model: one layer or more, windows shorter than the text, grouped heads, odd batch sizes."""
    kv_heads = draw(st.sampled_from([1, 2]))
    heads = kv_heads * draw(st.sampled_from([1, 2]))
    head_dim = draw(st.sampled_from([8, 16]))
    return Model(
        sequence_len=draw(st.sampled_from([8, 14, 24])),
        vocab_size=draw(st.sampled_from([37, 64])),
        depth=draw(st.integers(1, 3)),
        width=heads * head_dim,
        heads=heads,
        kv_heads=kv_heads,
        window_pattern=draw(st.sampled_from(["SSSL", "SL", "L"])),
        gate_channels=6,
    )


def recipe_of(model: Model, accumulation: int = 1, rows: int = 2) -> Recipe:
    """The default recipe at this size."""
    batch = Data(device_batch=rows, total_batch=accumulation * rows * model.sequence_len)
    return replace(RECIPES["autoresearch"], model=model, data=batch)


def params_of(model: Model, seed: int) -> dict[str, np.ndarray]:
    """Parameters as after some training: no zero projection that hides the attention, no scalar at its start."""
    rng = np.random.default_rng(seed)
    params = {}
    for name, shape in model.shapes().items():
        std = 1.0 if "wte" in name or "value_embeds" in name else shape[-1] ** -0.5
        params[name] = (rng.standard_normal(shape) * std).astype(np.float32)
    params["resid_lambdas"] = rng.uniform(0.7, 1.2, model.depth).astype(np.float32)
    params["x0_lambdas"] = rng.uniform(0.05, 0.4, model.depth).astype(np.float32)
    return params


def tokens_of(model: Model, seed: int, rows: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and targets, (rows, T); a few targets are -1."""
    rng = np.random.default_rng(seed + 1)
    tokens, targets = rng.integers(0, model.vocab_size, (2, rows, model.sequence_len))
    targets[rng.random(targets.shape) < 0.1] = -1
    targets[0, 0] = 1  # at least one is scored
    return tokens, targets


def matrix_of(shape: tuple[int, int], spectrum: str, seed: int) -> np.ndarray:
    """A matrix with singular vectors at random and singular values of the named kind; float32."""
    rng = np.random.default_rng(seed)
    if spectrum == "zero":
        return np.zeros(shape, np.float32)
    gaussian = rng.standard_normal(shape)
    if spectrum == "gaussian":
        return gaussian.astype(np.float32)
    u, s, vt = np.linalg.svd(gaussian, full_matrices=False)
    rank = len(s)
    s = {
        "power law": 1.0 / np.arange(1, rank + 1),
        "condition 1e4": np.logspace(0, -4, rank),
        "rank 4 + 1e-3": np.where(np.arange(rank) < 4, 1.0, 1e-3),
        "one huge": np.where(np.arange(rank) < 1, 100.0, 1.0),
    }[spectrum]
    return (u * s @ vt).astype(np.float32)
