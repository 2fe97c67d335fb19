"""Steps of the shipped trainer along depth, sequence length and batch, one at a time: seconds, peak memory, FLOP.

Test with `python -m bench.scaling --backend torch-cpu`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from bench.measure import seconds, warm_up
from bench.throughput.case import release
from bench.throughput.memory import peak_of
from impl import backend as backends
from impl.flops import flop_per_token
from impl.spec import PRESETS, Recipe, preset
from impl.spec.model import sized

SWEEPS = ("depth", "sequence_len", "batch")
WARM_S, STEPS, BUDGET_S, FEWEST = 3.0, 20, 4.0, 5
# The middle of each sweep, and its sizes: width grows with depth, tokens with sequence length and batch.
CPU = {
    "middle": {"depth": 2, "sequence_len": 128, "batch": 4, "aspect": 32, "head_dim": 32, "vocab_size": 1024},
    "depth": (1, 2, 3, 4),
    "sequence_len": (64, 128, 256, 512),
    "batch": (1, 2, 4, 8),
}
GPU = {
    "middle": {"depth": 8, "sequence_len": 2048, "batch": 16, "aspect": 64, "head_dim": 128, "vocab_size": 8192},
    "depth": (4, 6, 8, 12),
    "sequence_len": (512, 1024, 2048, 4096),
    "batch": (4, 8, 16, 32, 64),
}


def sizes(backend_name: str) -> dict[str, Any]:
    return CPU if backend_name.endswith("-cpu") else GPU


def recipe(middle: dict[str, int], **changed: int) -> Recipe:
    """The default recipe at these sizes, a step of one pass."""
    at = {**middle, **changed}
    shape = {name: at[name] for name in ("aspect", "head_dim", "sequence_len", "vocab_size")}
    data = replace(PRESETS["tiny"].data, total_batch=at["batch"] * at["sequence_len"], device_batch=at["batch"])
    return replace(preset("tiny"), model=sized(at["depth"], **shape), data=data)


def points(subject, precision: str, sweep: str, done: list[dict]) -> Iterator[dict[str, Any]]:
    """One row a size that is not in `done`; a sweep ends where memory does, with a row that says so."""
    chosen = sizes(subject.name)
    for size in chosen[sweep]:
        if any(row["sweep"] == sweep and row["size"] == size and row["precision"] == precision for row in done):
            continue
        row = {"backend": subject.name, "precision": precision, "sweep": sweep, "size": size}
        try:
            yield row | _measured(subject, precision, recipe(chosen["middle"], **{sweep: size}))
        except Exception as error:
            if not backends.out_of_memory(error):
                raise
            yield row | {"samples_s": None, "peak_bytes": None, "flop": None, "failure": "out of memory"}
            return
        finally:
            release()


def _measured(subject, precision: str, recipe: Recipe) -> dict[str, Any]:
    model = recipe.model
    trainer = subject.trainer(recipe, subject.init(recipe, 42), precision, compiled=True)
    shape = (2, recipe.data.device_batch, model.sequence_len)
    host = np.random.default_rng(0).integers(0, model.vocab_size, shape)
    token = "int64" if subject.backend.framework == "torch" else "int32"
    batch = [tuple(subject.backend.array(tokens, token) for tokens in host)]
    hyper = recipe.schedule.at(0, 0.1)

    def step():
        loss, _ = trainer.step(batch, hyper)
        if not np.isfinite(loss):
            raise RuntimeError(f"loss is {loss} at depth {model.depth}; the times of such a step mean nothing")

    step()
    warm_up(step, WARM_S)
    peak_bytes, method = peak_of(subject.backend, step)
    first_s = seconds(step)
    samples_s = [seconds(step) for _ in range(int(np.clip(BUDGET_S / first_s, FEWEST, STEPS)))]
    tokens = recipe.data.total_batch
    return {
        "samples_s": samples_s,
        "peak_bytes": peak_bytes,
        "peak_method": method,
        "tokens": tokens,
        "flop": tokens * flop_per_token(model),
        "compiled": trainer.compiled,
        "failure": None,
    }
