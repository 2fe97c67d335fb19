"""The initial parameters of a model, in NumPy, so that every backend starts from the same numbers.

Test with `pytest -m fast -k init`.
"""

import numpy as np

from impl.spec import Model


def init(model: Model, seed: int) -> dict[str, np.ndarray]:
    """Every parameter by its upstream name, float32. Source: karpathy/autoresearch.

    Each tensor draws from a stream of its own, keyed by the seed and its name: adding a tensor moves no other.
    """
    return {name: _tensor(model, name, shape, _stream(seed, name)) for name, shape in model.shapes().items()}


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(name.encode())))


def _tensor(model: Model, name: str, shape: tuple[int, ...], stream: np.random.Generator) -> np.ndarray:
    limit = (3.0 / model.width) ** 0.5  # the uniform distribution of variance 1 / width
    match name.removesuffix(".weight").split(".")[-1]:
        case "wte":
            return stream.standard_normal(shape, np.float32) * np.float32(model.wte_std)
        case "lm_head":
            return stream.standard_normal(shape, np.float32) * np.float32(model.lm_head_std)
        case "c_proj" | "ve_gate":
            return np.zeros(shape, np.float32)
        case "resid_lambdas":
            return np.full(shape, model.resid_init, np.float32)
        case "x0_lambdas":
            return np.full(shape, model.x0_init, np.float32)
        case _:  # c_q, c_k, c_v, c_fc and the value embeddings
            return stream.uniform(-limit, limit, shape).astype(np.float32)
