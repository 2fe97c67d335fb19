"""What the compiler makes of a step is the eager step, with its state captured and nothing frozen into it.

`pytest -m fast -k compiled`
"""

from functools import partial
from importlib import import_module

import numpy as np
import pytest

from bench.strategies import params_of, recipe_of, tokens_of
from impl.backend import Found, discover, load
from impl.spec import Model

pytestmark = pytest.mark.fast

MODEL = Model(sequence_len=8, vocab_size=37, depth=2, width=32, heads=2, kv_heads=1, gate_channels=6)
CHECKED = ("mlx-metal", "torch-cuda", "mlx-cuda", "mlx-cpu", "torch-cpu")


def torch_compile():
    import torch

    return torch.compile


def rms_norm(x, eps):
    from torch.nn.functional import rms_norm

    return rms_norm(x, x.shape[-1:], eps=eps)


@pytest.mark.parametrize("name", CHECKED)
def test_compiled_steps_are_the_eager_steps(name, monkeypatch):
    if not isinstance(discover()[name], Found):
        pytest.skip(f"{name} is not there")
    backend = load(name)
    if not backend.can_compile():
        pytest.skip(f"{name} has no compiler")
    train = import_module(f"impl.{backend.framework}.train")
    monkeypatch.setattr(train, "_pays", lambda backend: True)
    if name == "torch-cpu":  # what CUDA compiles, traced in one piece; C++ for it would take a minute
        traced = partial(torch_compile(), backend="aot_eager", fullgraph=True)
        monkeypatch.setattr("torch.compile", lambda **options: lambda function: traced(function, **options))
        monkeypatch.setattr("impl.torch.gpt.rms_norm", rms_norm)
        monkeypatch.setattr("impl.torch.cpu.adamw_step", import_module("impl.torch.adamw").step)
    recipe = recipe_of(MODEL, accumulation=2)
    trainers = [train.Trainer(backend, recipe, params_of(MODEL, 0), "float32", compiled) for compiled in (True, False)]
    assert [trainer.compiled for trainer in trainers] == [True, False]
    for step in range(3):  # rates move, and the second step sees what the first has written
        micro_batches = [tokens_of(MODEL, seed) for seed in (2 * step, 2 * step + 1)]
        hyper = recipe.schedule.at(step, 0.4 * step)
        (loss, norm), (eager_loss, eager_norm) = (trainer.step(micro_batches, hyper) for trainer in trainers)
        assert loss == pytest.approx(eager_loss, rel=1e-5) and norm == pytest.approx(eager_norm, rel=1e-4)
    start, compiled, eager = params_of(MODEL, 0), *(trainer.parameters() for trainer in trainers)
    for parameter in start:
        moved = np.linalg.norm(eager[parameter] - start[parameter])
        assert moved > 0
        assert np.linalg.norm(compiled[parameter] - eager[parameter]) < 1e-3 * moved, parameter
