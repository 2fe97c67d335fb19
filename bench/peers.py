"""Someone else's program beside ours, from a checkout given by path, in one interleaved measurement.

Runs that checkout's code. `python -m bench.peers --upstream PATH [--rounds 12]`
"""

import argparse
import ast
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

import numpy as np

from bench.measure import seconds
from bench.ours import Ours
from impl import backend as backends
from impl.init import init
from impl.spec import RECIPES, Data, Recipe
from impl.spec.model import sized

WARMUP_ROUNDS = 3
REST_S = 0.3  # OpenMP threads spin on after their work; the other side must not pay for that
SIDES = ("ours", "upstream")


def definitions(source: str) -> str:
    """The imports, functions, classes and constants of a training script, without its set-up and its loop."""
    kept: list[ast.stmt] = []
    for node in ast.parse(source).body:
        named = isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
        foreign = isinstance(node, ast.ImportFrom) and node.module in ("kernels", "prepare")
        constant = isinstance(node, ast.Assign) and not any(isinstance(n, ast.Name) for n in ast.walk(node.value))
        if (named and not foreign) or constant:
            kept.append(node)
    return ast.unparse(ast.Module(body=kept, type_ignores=[]))


def load_upstream(checkout: Path) -> ModuleType:
    """karpathy/autoresearch's model and optimizer, eager, FlashAttention replaced by SDPA with a mask.

    Raises FileNotFoundError for a checkout without train.py.
    """
    import torch

    script = checkout / "train.py"
    if not script.is_file():
        raise FileNotFoundError(f"{script} is not there; pass a checkout of karpathy/autoresearch")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upstream_train.py"
        path.write_text(definitions(script.read_text()))
        spec = importlib.util.spec_from_file_location("upstream_train", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        with patch.object(torch, "compile", lambda *_, **__: lambda function: function):
            spec.loader.exec_module(module)
    vars(module)["fa3"] = SimpleNamespace(flash_attn_func=windowed_attention)
    return module


def windowed_attention(q, k, v, causal, window_size):  # 3 x (B, T, H, D) -> (B, T, H, D)
    """What FlashAttention's call means, through SDPA."""
    import torch
    from torch.nn import functional as F

    tokens = q.shape[1]
    reach = torch.arange(tokens)[:, None] - torch.arange(tokens)[None, :]
    mask = ((reach >= 0) & (reach <= window_size[0])).to(q.device)
    return F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), attn_mask=mask).transpose(1, 2)


def upstream_step(module: ModuleType, recipe: Recipe, tokens, targets) -> Callable[[], None]:
    """One whole training step of the peer: forward, backward, optimizer, loss read back."""
    import torch

    model_spec = recipe.model
    config = module.GPTConfig(
        sequence_len=model_spec.sequence_len,
        vocab_size=model_spec.vocab_size,
        n_layer=model_spec.depth,
        n_head=model_spec.heads,
        n_kv_head=model_spec.kv_heads,
        n_embd=model_spec.width,
        window_pattern=model_spec.window_pattern,
    )
    torch.manual_seed(0)
    model = module.GPT(config)
    model.init_weights()
    optimizer = model.setup_optimizer(
        unembedding_lr=module.UNEMBEDDING_LR,
        embedding_lr=module.EMBEDDING_LR,
        scalar_lr=module.SCALAR_LR,
        adam_betas=module.ADAM_BETAS,
        matrix_lr=module.MATRIX_LR,
        weight_decay=module.WEIGHT_DECAY,
    )
    x, y = torch.tensor(tokens), torch.tensor(targets)

    def step() -> None:
        with torch.amp.autocast(device_type="cpu", dtype=torch.bfloat16):
            loss = model(x, y)
        loss.backward()
        optimizer.step()
        model.zero_grad(set_to_none=True)
        loss.item()

    return step


def our_step(recipe: Recipe, tokens, targets) -> Callable[[], None]:
    """The same of ours, through the shipped trainer in bfloat16."""
    trainer = Ours(backends.load("torch-cpu")).trainer(recipe, init(recipe.model, 0), "bfloat16", compiled=True)
    hyper = recipe.schedule.at(0, 0.0)
    return lambda: trainer.step([(tokens, targets)], hyper)


def serve(side: str, checkout: Path, recipe: Recipe, pipe: Connection) -> None:
    """One side in a process of its own: times one step for each message, until told to stop."""
    shape = (2, recipe.data.device_batch, recipe.model.sequence_len)
    tokens, targets = np.random.default_rng(0).integers(0, recipe.model.vocab_size, shape)
    if side == "ours":
        step = our_step(recipe, tokens, targets)
    else:
        step = upstream_step(load_upstream(checkout), recipe, tokens, targets)
    while pipe.recv():
        pipe.send(seconds(step))


def interleaved(checkout: Path, recipe: Recipe, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, A B A B ..., after warm-up rounds that do not count.

    Each side has its own process, or it would run with the other's allocator settings; the one that waits is idle.
    """
    context = get_context("spawn")
    pipes = {}
    for side in SIDES:
        pipes[side], theirs = context.Pipe()
        context.Process(target=serve, args=(side, checkout, recipe, theirs), daemon=True).start()
        theirs.close()
    samples: dict[str, list[float]] = {side: [] for side in SIDES}
    for round_ in range(WARMUP_ROUNDS + rounds):
        for side, pipe in pipes.items():
            pipe.send(True)
            taken_s = pipe.recv()
            if round_ >= WARMUP_ROUNDS:
                samples[side].append(taken_s)
            time.sleep(REST_S)
    for pipe in pipes.values():
        pipe.send(False)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--upstream", type=Path, required=True, help="checkout of karpathy/autoresearch; its code runs")
    parser.add_argument("--rounds", type=int, default=12, help="counted rounds of each (12)")
    arguments = parser.parse_args()
    model = sized(4, sequence_len=512)
    recipe = replace(RECIPES["autoresearch"], model=model, data=Data(total_batch=4096, device_batch=8))
    try:
        samples = interleaved(arguments.upstream, recipe, arguments.rounds)
    except EOFError:
        sys.exit("one side died; its traceback is above")
    for name, taken in samples.items():
        print(f"{name:<10}{recipe.data.total_batch / median(taken):>10,.0f} tokens/s (median of {len(taken)} steps)")
    ratios = [theirs / mine for mine, theirs in zip(samples["ours"], samples["upstream"], strict=True)]
    print(f"ratio     {median(ratios):>10.2f} (pairs from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
