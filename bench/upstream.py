"""karpathy/autoresearch's own model, optimizer and schedules, from a checkout, in bfloat16 autocast.

Runs that checkout's code: compiled on CUDA, as it ships; eager on a CPU, where compiling made it three times slower.
FlashAttention 3, which it downloads, is replaced: by flex attention on CUDA, by SDPA with a mask on a CPU.
Used by `python -m bench.peers`.
"""

import ast
import importlib.util
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

from impl.spec import Recipe

UNTIMED_STEPS = 11  # upstream counts none of its first steps, though it trains in them


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


def load(checkout: Path, device: str) -> ModuleType:
    """The definitions of its training script, without compilation on a CPU.

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
        sys.modules[spec.name] = module  # where the compiler looks its functions up
        eager = patch.object(torch, "compile", lambda *_, **__: lambda function: function)
        with eager if device == "cpu" else nullcontext():
            spec.loader.exec_module(module)
    attention = masked_attention if device == "cpu" else flex_attention
    vars(module)["fa3"] = SimpleNamespace(flash_attn_func=attention)
    return module


MASKS = {}  # by (tokens, window): made before compilation, which takes them as constants


def flex_attention(q, k, v, causal, window_size):  # 3 x (B, T, H, D) -> (B, T, H, D)
    """What FlashAttention's call means, through a kernel that PyTorch compiles for the window."""
    from torch.nn.attention import flex_attention as flex

    mask = MASKS[q.shape[1], window_size[0]]
    return flex.flex_attention(*(x.transpose(1, 2) for x in (q, k, v)), block_mask=mask).transpose(1, 2)


def block_mask(tokens, window):
    """Which blocks of (T, T) the window touches."""
    from torch.nn.attention.flex_attention import create_block_mask

    def visible(batch, head, i, j):
        return (i >= j) & (i - j <= window)

    return create_block_mask(visible, None, None, tokens, tokens, device="cuda")


def masked_attention(q, k, v, causal, window_size):  # 3 x (B, T, H, D) -> (B, T, H, D)
    """The same through SDPA."""
    import torch
    from torch.nn import functional as F

    tokens = q.shape[1]
    reach = torch.arange(tokens)[:, None] - torch.arange(tokens)[None, :]
    mask = ((reach >= 0) & (reach <= window_size[0])).to(q.device)
    return F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), attn_mask=mask).transpose(1, 2)


class Upstream:
    """A model and its optimizer at the sizes of `recipe`, whose rules are upstream's own."""

    def __init__(self, checkout: Path, recipe: Recipe, seed: int, device: str):
        import torch

        self.torch, self.device, self.code = torch, device, (code := load(checkout, device))
        model = recipe.model
        torch.manual_seed(seed)
        torch.set_float32_matmul_precision("high")  # as its script does
        with torch.device(device):
            self.model = code.GPT(
                code.GPTConfig(
                    sequence_len=model.sequence_len,
                    vocab_size=model.vocab_size,
                    n_layer=model.depth,
                    n_head=model.heads,
                    n_kv_head=model.kv_heads,
                    n_embd=model.width,
                    window_pattern=model.window_pattern,
                )
            )
        self.model.init_weights()
        self.optimizer = self.model.setup_optimizer(
            unembedding_lr=code.UNEMBEDDING_LR,
            embedding_lr=code.EMBEDDING_LR,
            scalar_lr=code.SCALAR_LR,
            adam_betas=code.ADAM_BETAS,
            matrix_lr=code.MATRIX_LR,
            weight_decay=code.WEIGHT_DECAY,
        )
        self.forward = self.model
        if device != "cpu":
            for window in {window for window, _ in self.model.window_sizes}:
                MASKS[model.sequence_len, window] = block_mask(model.sequence_len, window)
            self.forward = torch.compile(self.model, dynamic=False)

    def step(self, micro_batches, step: int = 0, progress: float = 0.0) -> float:
        """One whole step, forward to loss read back, at its own schedule's rates."""
        self.rates(step, progress)
        loss = self.gradients(micro_batches)
        self.optimizer.step()
        self.model.zero_grad(set_to_none=True)
        return loss.item()

    def gradients(self, micro_batches):
        """Accumulates them; the last micro-batch's loss."""
        for tokens, targets in micro_batches:
            with self._autocast():
                loss = self.forward(self._sent(tokens), self._sent(targets))
            (loss / len(micro_batches)).backward()
        return loss.detach()

    def rates(self, step: int, progress: float) -> None:
        """What the schedules say at `step` and `progress`, told to the optimizer."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.code.get_lr_multiplier(progress)
            if group["kind"] == "muon":
                group["momentum"] = self.code.get_muon_momentum(step)
                group["weight_decay"] = self.code.get_weight_decay(progress)

    def nats(self, tokens, targets) -> float:  # 2 x (B, T)
        """Summed over the targets that are not -1."""
        with self.torch.no_grad(), self._autocast():
            nats = self.forward(self._sent(tokens), self._sent(targets), reduction="none")
        return float(nats.double().sum())

    def _sent(self, tokens):
        return self.torch.as_tensor(tokens, device=self.device)

    def _autocast(self):
        return self.torch.amp.autocast(device_type=self.device, dtype=self.torch.bfloat16)
