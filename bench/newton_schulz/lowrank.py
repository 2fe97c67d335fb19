"""Gradients of rank 16 and a little noise, through the shipped Muon step: what tells a narrow accumulator in seconds.

`python -m bench.newton_schulz diverge --quick --backend mlx-cpu`
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console

from bench import sheet
from bench.newton_schulz import variants
from bench.newton_schulz.diverge import Variant, ours
from bench.newton_schulz.spectra import RANK, matrix
from bench.newton_schulz.variants import FRAMEWORK, norm_as
from bench.training.loop import LOSS_LIMIT
from impl.spec import Muon

SHAPES = ((128, 512), (512, 128), (256, 512))
STEPS = 30
RULE = Muon(weight_decay=0.0)
RATES = (0.02, 0.0, 0.95)  # learning rate, decay, momentum
EXAMPLES = 64
RUNS = (
    Variant("float32 norm"),
    Variant("bfloat16 norm as the framework takes it", norm=FRAMEWORK),
    Variant("bfloat16 norm, one accumulator", norm="bfloat16, serial"),
    Variant("bfloat16 norm as the framework takes it, bfloat16 products", "bfloat16", FRAMEWORK),
)


def low_rank(backend: str, out: Path) -> None:
    """Every shape with every variant, anew; prints a line each."""
    out.unlink(missing_ok=True)
    subject = ours(backend)
    results = sheet.Sheet.open(out, sheet.origin(subject.backend, "newton-schulz low rank"))
    for shape in SHAPES:
        for run in RUNS if shape == SHAPES[0] else RUNS[:-1]:  # a CPU's bfloat16 products can be slow
            row = descend(subject, shape, run)
            key = f"{shape[0]}x{shape[1]} | {run.name}"
            results.add(key, {"shape": list(shape), **asdict(run), **row})
            failed = row["failed_step"]
            end = (
                f"loss {row['losses'][-1]:.3g} after {STEPS} steps" if failed is None else f"diverges at step {failed}"
            )
            Console(highlight=False).print(
                f"{subject.name} {key}: norm {row['norm_ratio']:.3g} of the true one, {end}", soft_wrap=True
            )


def descend(subject, shape: tuple[int, int], run: Variant) -> dict:
    """Least squares on inputs of rank 16 and noise by Muon; the loss is relative to its start."""
    inputs = matrix((shape[1], EXAMPLES), "rank 16 + 1e-3", seed=1)
    target = matrix(shape, "rank 16 + 1e-3", seed=2, scale=0.5)
    backend = subject.backend
    weight, first = np.zeros((1, *shape), np.float32), np.zeros((1, *shape), np.float32)
    second = np.zeros((1, *subject.muon.second_shape(shape)), np.float32)
    held = [backend.array(x, "float32") for x in (weight, first, second)]
    rates = backend.array(np.array(RATES, np.float32))
    losses, norm_ratio = [], None
    start = float(np.sum(np.square(target @ inputs)))
    with norm_as(subject, run.norm), np.errstate(all="ignore"):
        for step in range(STEPS):
            residual = (backend.numpy(held[0])[0] - target) @ inputs
            losses.append(float(np.sum(np.square(residual))) / start)
            if not np.isfinite(losses[-1]) or losses[-1] > LOSS_LIMIT:
                return {"failed_step": step, "norm_ratio": norm_ratio, "losses": losses, "rank": RANK}
            grad = residual @ inputs.T
            norm_ratio = norm_ratio or variants.norm_of(subject, grad, run.norm) / float(np.linalg.norm(grad))
            held = list(subject.muon.step(held[0], backend.array(grad[None]), *held[1:], rates, RULE, run.products))
    return {"failed_step": None, "norm_ratio": norm_ratio, "losses": losses, "rank": RANK}
