"""The GPT of `impl.spec.Model` in PyTorch; its kernels are functions, so that each can be tested alone.

Parameters are held in float32. Storage in bfloat16 (wte and value embeddings) means that their values are kept on
bfloat16's grid: the numbers are those of bfloat16 storage, but gradients accumulate in float32 and no operation mixes
dtypes. B batch, T tokens, C width, H heads, K key/value heads, D head size, V vocabulary, W window.
Test with `pytest -m fast -k gpt`.
"""

from importlib.util import find_spec

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from impl.spec import Dtypes, Model
from impl.torch import activation, cpu, windowed
from impl.torch.loss import cross_entropy, row_nats, softcapped

if find_spec("triton"):  # comes with PyTorch for CUDA
    from impl.torch import mlp_kernel, rotary_kernel
else:
    mlp_kernel = rotary_kernel = None


def rms_norm(x, eps):  # (..., N) -> (..., N)
    """x / sqrt(mean(x^2) + eps) over the last axis; the mean is taken in float32."""
    return cpu.rms_norm(x, eps) if x.device.type == "cpu" else F.rms_norm(x, x.shape[-1:], eps=eps)


def rope_tables(sequence_len, head_dim, base, dtype):  # -> cos, sin: 2 x (T, D/2)
    """Cosines and sines of position * base ** (-2i / D), computed in float64 and rounded once."""
    angles = np.outer(np.arange(sequence_len), base ** (-np.arange(0, head_dim, 2) / head_dim))
    return tuple(torch.tensor(table(angles), dtype=getattr(torch, dtype)) for table in (np.cos, np.sin))


def rope(x, cos, sin):  # (B, T, H, D), 2 x (T, D/2) -> (B, T, H, D)
    """Rotate the pairs (i, i + D/2) by minus their angle."""
    cos, sin = (table[:, None, :].to(x.dtype) for table in (cos, sin))
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos + right * sin, right * cos - left * sin), dim=-1)


def rotated_norm(x, cos, sin, eps):  # (B, T, H, D), 2 x (T, D/2) -> (B, T, H, D)
    """rms_norm(rope(x))."""
    if rotary_kernel and rotary_kernel.serves(x):
        return rotary_kernel.rotated_norm(x, cos.to(x.dtype), sin.to(x.dtype), eps)
    return rms_norm(rope(x, cos, sin), eps)


def window_mask(tokens, window, device):  # -> (T, T) bool
    """True where query i may see key j: i - W <= j <= i, so W + 1 keys."""
    place = torch.arange(tokens, device=device)
    reach = place[:, None] - place
    return (reach >= 0) & (reach <= window)


def attention(q, k, v, window):  # (B, T, H, D), 2 x (B, T, K, D) -> (B, T, H, D)
    """Causal softmax attention at scale 1 / sqrt(D); key/value heads are shared by H / K query heads in a row."""
    share = q.shape[2] // k.shape[2]
    k, v = (y.repeat_interleave(share, 2) if share > 1 else y for y in (k, v))
    tokens, scale, mps = q.shape[1], q.shape[3] ** -0.5, q.device.type == "mps"
    if kernel := windowed.kernel(q, window):
        return kernel(q, k, v, window, scale)
    q, k, v = (y.transpose(1, 2) for y in (q, k, v))
    if mps:  # wrong values for transposed heads of 64 and more (pytorch#181133)
        q, k, v = (y.contiguous() for y in (q, k, v))
    if window >= tokens - 1 and not mps:  # nor is_causal there, which let queries see the future (pytorch#195910)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
    else:
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=window_mask(tokens, window, q.device), scale=scale)
    return y.transpose(1, 2)


def mix(x, start, keep, add):  # 2 x (B, T, C), 2 x () float32 -> (B, T, C)
    """keep * x + add * start, in the stream's dtype: MPS does not multiply two of them."""
    return keep.to(x.dtype) * x + add.to(x.dtype) * start


class Linear(nn.Module):
    """x W' without bias; the float32 weight is cast to x's dtype at each use."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))

    def forward(self, x):  # (..., inputs) -> (..., outputs)
        return x @ self.weight.to(x.dtype).T


class Embedding(nn.Module):
    """Rows of a float32 table."""

    def __init__(self, rows, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, width))

    def forward(self, tokens):  # (B, T) -> (B, T, width) float32
        return F.embedding(tokens, self.weight)


class Attention(nn.Module):
    """Queries and keys are rotated, then normed; a value embedding is mixed into the values by a gate per head."""

    def __init__(self, model: Model, layer: int):
        super().__init__()
        self.model = model
        self.window = model.windows()[layer]
        kv_width = model.kv_heads * model.head_dim
        self.c_q = Linear(model.width, model.width)
        self.c_k = Linear(model.width, kv_width)
        self.c_v = Linear(model.width, kv_width)
        self.c_proj = Linear(model.width, model.width)
        if layer in model.value_layers():
            self.ve_gate = Linear(model.gate_channels, model.kv_heads)

    def forward(self, x, value_embed, cos, sin):  # (B, T, C), (B, T, K * D) float32 or None -> (B, T, C)
        model, heads = self.model, (*x.shape[:2], -1, self.model.head_dim)
        q, k, v = (project(x).reshape(heads) for project in (self.c_q, self.c_k, self.c_v))
        if value_embed is not None:
            gate = model.gate_scale * torch.sigmoid(self.ve_gate(x[..., : model.gate_channels]).float())
            v = (v.float() + gate[..., None] * value_embed.reshape(heads).float()).to(v.dtype)
        q, k = (rotated_norm(y, cos, sin, model.norm_eps) for y in (q, k))
        return self.c_proj(attention(q, k, v, self.window).reshape(x.shape))


class Mlp(nn.Module):
    """activation(x W1) W2."""

    def __init__(self, model: Model):
        super().__init__()
        self.activation = getattr(activation, model.activation)
        self.c_fc = Linear(model.width, model.mlp_ratio * model.width)
        self.c_proj = Linear(model.mlp_ratio * model.width, model.width)

    def forward(self, x):  # (B, T, C) -> (B, T, C)
        if mlp_kernel and self.activation is activation.relu_squared and mlp_kernel.serves(x):
            return mlp_kernel.relu_squared_mlp(x, self.c_fc.weight.to(x.dtype), self.c_proj.weight.to(x.dtype))
        return self.c_proj(self.activation(self.c_fc(x)))


class Block(nn.Module):
    """Attention and MLP of one layer."""

    def __init__(self, model: Model, layer: int):
        super().__init__()
        self.attn = Attention(model, layer)
        self.mlp = Mlp(model)


class Transformer(nn.Module):
    """The token table and the blocks."""

    def __init__(self, model: Model):
        super().__init__()
        self.wte = Embedding(model.vocab_size, model.width)
        self.h = nn.ModuleList([Block(model, layer) for layer in range(model.depth)])


class GPT(nn.Module):
    """Parameters have exactly the names and shapes of `model.shapes()`; products run in the policy's dtype."""

    def __init__(self, model: Model, dtypes: Dtypes, policy: str):
        super().__init__()
        self.model = model
        dtypes = dtypes.under(policy)
        self.compute, self.stream = getattr(torch, policy), getattr(torch, dtypes.residual)
        self.transformer = Transformer(model)
        kv_width = model.kv_heads * model.head_dim
        self.value_embeds = nn.ModuleDict({str(i): Embedding(model.vocab_size, kv_width) for i in model.value_layers()})
        self.lm_head = Linear(model.width, model.vocab_size)
        self.resid_lambdas = nn.Parameter(torch.zeros(model.depth))
        self.x0_lambdas = nn.Parameter(torch.zeros(model.depth))
        tables = rope_tables(model.sequence_len, model.head_dim, model.rope_base, dtypes.rope)
        self.register_buffer("_cos", tables[0], persistent=False)
        self.register_buffer("_sin", tables[1], persistent=False)

    def hidden(self, tokens, tap=None):  # (B, T) -> (B, T, C)
        """The stream after the last norm. `tap(name, x)` sees "embed", "h.i.attn", "h.i" and "final" on the way.

        Raises ValueError for more tokens than the rotation tables hold.
        """
        model, tap = self.model, tap or (lambda name, x: None)
        if tokens.shape[1] > model.sequence_len:
            raise ValueError(f"tokens={tokens.shape[1]} exceed sequence_len={model.sequence_len}; cut the row")
        cos, sin = self._cos[: tokens.shape[1]], self._sin[: tokens.shape[1]]
        x = start = rms_norm(self.transformer.wte(tokens).to(self.stream), model.norm_eps)
        tap("embed", x)
        for i, block in enumerate(self.transformer.h):
            x = mix(x, start, self.resid_lambdas[i], self.x0_lambdas[i])
            value_embed = self.value_embeds[str(i)](tokens).to(self.compute) if i in model.value_layers() else None
            y = block.attn(rms_norm(x, model.norm_eps).to(self.compute), value_embed, cos, sin)
            x = x + y.to(self.stream)
            tap(f"h.{i}.attn", x)
            y = block.mlp(rms_norm(x, model.norm_eps).to(self.compute))
            x = x + y.to(self.stream)
            tap(f"h.{i}", x)
        x = rms_norm(x, model.norm_eps).to(self.compute)
        tap("final", x)
        return x

    def logits(self, tokens):  # (B, T) -> (B, T, V) float32
        """Softcapped after the cast to float32."""
        return softcapped(self.lm_head(self.hidden(tokens)), self.model.softcap)

    def loss(self, tokens, targets):  # 2 x (B, T) -> () float32
        """Mean nats over the targets that are not -1."""
        x = self.hidden(tokens).reshape(-1, self.model.width)
        return cross_entropy(x, self.lm_head.weight, targets.reshape(-1), self.model.softcap)

    def nats(self, tokens, targets):  # 2 x (B, T) -> (B,) float32
        """Each row's sum over the targets that are not -1; no gradient."""
        x = self.hidden(tokens).reshape(-1, self.model.width)
        return row_nats(x, self.lm_head.weight, targets.reshape(-1), self.model.softcap).reshape(tokens.shape).sum(1)
