"""The shipped steps, run for the record: training, evaluation, state and loader.

Test with `pytest -m fast -k "mps_ops or mlx_ops"`.
"""

from dataclasses import replace

import numpy as np

from bench.strategies import params_of, recipe_of, tokens_of
from impl.spec import Model, preset

POLICIES = ("float32", "bfloat16")
# Windows that cut and windows that do not, grouped heads, value embeddings, wide and tall matrices; heads of 64,
# where the kernels that MPS has of its own begin, and their faults.
MODEL = Model(sequence_len=16, vocab_size=48, depth=2, width=128, heads=2, kv_heads=1, window_pattern="SL")


def run(backend, trainer, prefetch, policy: str, model: Model = MODEL) -> None:
    """A step of two micro-batches, then all else that a trainer is asked."""
    recipe = recipe_of(model, accumulation=2)
    shipped = trainer(backend, recipe, params_of(model, 0), policy, compiled=False)
    batches = prefetch(((*tokens_of(model, seed), 1) for seed in range(2)), backend)
    shipped.step([batch[:2] for batch in batches], recipe.schedule.at(0, 0.0))
    tokens, targets = tokens_of(model, 9)
    backend.numpy(shipped.nats(tokens, targets))
    backend.numpy(shipped.logits(tokens))
    shipped.activations(tokens)
    shipped.load(shipped.state())
    grads = {name: backend.array(x, "float32") for name, x in shipped.parameters().items()}
    shipped.update(grads, shipped.rates(recipe.schedule.at(1, 1.0)))
    backend.sync(shipped.params, shipped.moments)


def meta_backend():
    """PyTorch's backend for MPS, which has nothing to wait for."""
    from impl.torch.backend import TorchBackend

    backend = TorchBackend("torch-mps")
    backend.sync = lambda *trees: None
    return backend


def record_torch(policies=POLICIES):
    """What `impl/torch` calls on MPS, at each policy."""
    from bench.operators.recording import Recording
    from impl.torch.loader import prefetch
    from impl.torch.train import Trainer

    recording = Recording()
    with recording.on():
        for policy in policies:
            run(meta_backend(), Trainer, prefetch, policy)
    return recording


def record_torch_sizes(name: str):
    """What a micro-batch of a preset's own size calls on MPS: tensors without values take no memory.

    Two layers are as large as any.
    """
    from bench.operators.recording import Recording
    from impl.torch.train import Trainer

    recipe, recording = preset(name), Recording()
    model = replace(recipe.model, depth=2)
    params = {name: np.broadcast_to(np.float32(0), shape) for name, shape in model.shapes().items()}
    tokens = np.broadcast_to(np.int64(0), (recipe.data.device_batch, model.sequence_len))
    with recording.on():
        trainer = Trainer(meta_backend(), replace(recipe, model=model), params, "bfloat16", compiled=False)
        trainer.loss_and_grads(tokens, tokens)
        trainer.nats(tokens, tokens)
    return recording


def record_mlx(policies=POLICIES):
    """What `impl/mlx` calls, at each policy; on the CPU, which is everywhere."""
    from bench.operators.primitives import Graph, core
    from impl.mlx.backend import open_backend
    from impl.mlx.loader import prefetch
    from impl.mlx.train import Trainer

    graph, mx = Graph(), core()
    device = mx.default_device()
    backend = open_backend("mlx-cpu")
    try:
        with graph.on(backend):
            for policy in policies:
                run(backend, Trainer, prefetch, policy)
    finally:
        mx.set_default_device(device)
    return graph
