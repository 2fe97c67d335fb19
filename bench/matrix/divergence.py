"""Muon with the bfloat16 norm that ports take, on low-rank gradients and on real text: does this release hold?

Nothing else differs from what we ship: products are float32. `python -m bench.matrix.facts --help`
Test with `pytest -m meta bench/meta/test_matrix.py`.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np

from bench.newton_schulz import lowrank
from bench.newton_schulz.diverge import Variant
from bench.newton_schulz.variants import FRAMEWORK, SHIPPED, norm_as
from bench.ours import Ours
from impl.data import corpus
from impl.init import init
from impl.spec import RECIPES, Data, Model

SHAPES = ((128, 512), (512, 128))
STEPS = 12
# A run whose loss stands this far above its start has left every band: a correct one falls by 3 meanwhile.
LEFT_NATS = 2.0
# Text as bytes: nothing to prepare. Blocks of width 128 have matrices of 512 x 128 and 128 x 512.
MODEL = Model(sequence_len=64, vocab_size=256, depth=1, width=128, heads=4, kv_heads=4)
RECIPE = replace(RECIPES["autoresearch"], model=MODEL, data=Data(device_batch=4, total_batch=256))
NORMS = {"bfloat16": FRAMEWORK, "float32": SHIPPED}


def questions(subject: Ours) -> Iterator[tuple[str, str, Callable[[], str]]]:
    """(name, kind, measurement) for `bench.matrix.facts`."""
    for norm, variant in NORMS.items():
        for m, n in SHAPES:
            name = f"Muon on rank 16 and noise, {m} x {n}, {norm} norm"
            yield name, "class", partial(low_rank, subject, (m, n), variant)
        yield f"training on text, {STEPS} steps, {norm} norm", "class", partial(trained, subject, variant)


def low_rank(subject: Ours, shape: tuple[int, int], norm: str) -> str:
    """The step of least squares at which the loss is no number or out of bounds."""
    return _outcome(lowrank.descend(subject, shape, Variant(norm, norm=norm))["failed_step"])


def trained(subject: Ours, norm: str) -> str:
    """The step of a run on real text whose loss is no number or has left every band."""
    losses = training(subject, norm)
    return _outcome(len(losses) - 1 if _left(losses) else None)


def training(subject: Ours, norm: str) -> list[float]:
    """The losses of STEPS steps of the shipped trainer, or up to where the run left."""
    losses: list[float] = []
    with norm_as(subject, norm):
        trainer = subject.trainer(RECIPE, init(MODEL, 0), "float32")
        for step, rows in enumerate(_text()):
            loss, _ = trainer.step([(rows[:, :-1], rows[:, 1:])], RECIPE.schedule.at(step, 0.0))
            losses.append(float(loss))
            if _left(losses):
                break
    return losses


def _left(losses: list[float]) -> bool:
    return not losses[-1] <= losses[0] + LEFT_NATS  # NaN included


def _outcome(step: int | None) -> str:
    return "holds" if step is None else f"diverges at {step}"


@lru_cache(maxsize=1)
def _text() -> np.ndarray:  # -> (STEPS, B, T + 1)
    rows = RECIPE.data.device_batch * STEPS
    text = "\n".join(corpus.read()["train"][:200]).encode()[: rows * (MODEL.sequence_len + 1)]
    return np.frombuffer(text, np.uint8).astype(np.int64).reshape(STEPS, RECIPE.data.device_batch, -1)
