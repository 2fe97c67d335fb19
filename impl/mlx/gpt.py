"""The GPT of `impl.spec.Model` in MLX; its kernels are functions, so that each can be tested alone.

Parameters are held in float32. Storage in bfloat16 (wte and value embeddings) means that their values are kept on
bfloat16's grid: the numbers are those of bfloat16 storage, but gradients accumulate in float32 and no operation mixes
dtypes. B batch, T tokens, C width, H heads, K key/value heads, D head size, V vocabulary, W window.
Test with `pytest -m fast -k gpt`.
"""

import mlx.core as mx
import numpy as np
from mlx import nn

from impl.mlx import activation, gradient, norm_kernel, rotary_kernel
from impl.mlx.loss import cross_entropy, row_nats, softcapped
from impl.spec import Dtypes, Model

BLOCK = 256  # queries that share their keys where the window ends; CUDA's fused gradient needs a multiple of 128


def rms_norm(x, eps):  # (..., N) -> (..., N)
    """x / sqrt(mean(x^2) + eps) over the last axis; the mean is taken in float32."""
    if norm_kernel.serves(x):
        return norm_kernel.rms_norm(x, eps)
    return mx.fast.rms_norm(x, None, eps)


def rope_tables(sequence_len, head_dim, base, dtype):  # -> cos, sin: 2 x (T, D/2)
    """Cosines and sines of position * base ** (-2i / D), computed in float64 and rounded once."""
    angles = np.outer(np.arange(sequence_len), base ** (-np.arange(0, head_dim, 2) / head_dim))
    return tuple(mx.array(table(angles), mx.float32).astype(getattr(mx, dtype)) for table in (np.cos, np.sin))


def rope(x, cos, sin):  # (B, T, H, D), 2 x (T, D/2) -> (B, T, H, D)
    """Rotate the pairs (i, i + D/2) by minus their angle."""
    return gradient.turned(x, cos, sin)


def rotated_norm(x, cos, sin, eps):  # (B, T, H, D), 2 x (T, D/2) -> (B, T, H, D)
    """rms_norm(rope(x))."""
    if rotary_kernel.serves(x):
        return rotary_kernel.rotated_norm(x, cos.astype(x.dtype), sin.astype(x.dtype), eps)
    return rms_norm(rope(x, cos, sin), eps)


def window_mask(queries, keys, window, dtype):  # 2 x range -> (queries, keys)
    """0 where query i may see key j: i - W <= j <= i, so W + 1 keys; elsewhere -inf. Added: quicker than a boolean."""
    reach = mx.arange(queries.start, queries.stop)[:, None] - mx.arange(keys.start, keys.stop)
    return mx.where((reach >= 0) & (reach <= window), 0.0, -mx.inf).astype(dtype)


def attention(q, k, v, window):  # (B, T, H, D), 2 x (B, T, K, D) -> (B, T, H, D)
    """Causal softmax attention at scale 1 / sqrt(D); key/value heads are shared by H / K query heads in a row.

    The first W queries see all before them; those after go in blocks, each with the keys that some query of it sees.
    """
    tokens, scale = q.shape[1], q.shape[3] ** -0.5

    def attend(q, k, v, mask):
        q, k, v = (y.swapaxes(1, 2) for y in (q, k, v))
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask).swapaxes(1, 2)

    if window >= tokens - 1:
        return attend(q, k, v, "causal")
    first = max(1, window)
    queries = [range(first)] + [range(i, min(i + BLOCK, tokens)) for i in range(first, tokens, BLOCK)]
    keys = [range(max(0, block.start - window), block.stop) for block in queries]
    masks = ["causal"] + [window_mask(*each, window, q.dtype) for each in zip(queries[1:], keys[1:], strict=True)]
    parts = (gradient.pieces(*each) for each in ((q, queries), (k, keys), (v, keys)))
    return gradient.joined([attend(*part) for part in zip(*parts, masks, strict=True)], queries)


def mix(x, start, keep, add):  # 2 x (B, T, C), 2 x () float32 -> (B, T, C)
    """keep * x + add * start, in float32."""
    return gradient.scaled_sum(x, start, keep, add)


class Linear(nn.Module):
    """x W' without bias; the float32 weight is cast to x's dtype at each use."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = mx.zeros((outputs, inputs))

    def __call__(self, x):  # (..., inputs) -> (..., outputs)
        return x @ self.weight.astype(x.dtype).T


class Embedding(nn.Module):
    """Rows of a float32 table."""

    def __init__(self, rows, width):
        super().__init__()
        self.weight = mx.zeros((rows, width))

    def __call__(self, tokens, dtype):  # (B, T) -> (B, T, width) of the dtype
        return gradient.rows(self.weight, tokens, dtype)


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

    def __call__(self, x, value_embed, cos, sin):  # (B, T, C), (B, T, K * D) or None -> (B, T, C)
        model, heads = self.model, (*x.shape[:2], -1, self.model.head_dim)
        weights = [project.weight for project in (self.c_q, self.c_k, self.c_v)]
        together = x @ mx.concatenate(weights).astype(x.dtype).T  # one product reads x once, and so do its gradients
        cuts = [len(weights[0]), len(weights[0]) + len(weights[1])]
        q, k, v = (y.reshape(heads) for y in together.split(cuts, axis=-1))
        if value_embed is not None:
            gate = model.gate_scale * mx.sigmoid(self.ve_gate(x[..., : model.gate_channels]).astype(mx.float32))
            v = gradient.scaled_rows(v, value_embed.reshape(heads), gate)
        q, k = (rotated_norm(y, cos, sin, model.norm_eps) for y in (q, k))
        return self.c_proj(attention(q, k, v, self.window).reshape(x.shape))


class Mlp(nn.Module):
    """activation(x W1) W2."""

    def __init__(self, model: Model):
        super().__init__()
        self.activation = getattr(activation, model.activation)
        self.c_fc = Linear(model.width, model.mlp_ratio * model.width)
        self.c_proj = Linear(model.mlp_ratio * model.width, model.width)

    def __call__(self, x):  # (B, T, C) -> (B, T, C)
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
        self.h = [Block(model, layer) for layer in range(model.depth)]


class GPT(nn.Module):
    """Parameters have exactly the names and shapes of `model.shapes()`; products run in the policy's dtype."""

    def __init__(self, model: Model, dtypes: Dtypes, policy: str):
        super().__init__()
        self.model = model
        dtypes = dtypes.under(policy)
        self.compute, self.stream = getattr(mx, policy), getattr(mx, dtypes.residual)
        self.transformer = Transformer(model)
        kv_width = model.kv_heads * model.head_dim
        self.value_embeds = {str(i): Embedding(model.vocab_size, kv_width) for i in model.value_layers()}
        self.lm_head = Linear(model.width, model.vocab_size)
        self.resid_lambdas = mx.zeros(model.depth)
        self.x0_lambdas = mx.zeros(model.depth)
        tables = rope_tables(model.sequence_len, model.head_dim, model.rope_base, dtypes.rope)
        self._cos, self._sin = tables

    def hidden(self, tokens, tap=None):  # (B, T) -> (B, T, C)
        """The stream after the last norm. `tap(name, x)` sees "embed", "h.i.attn", "h.i" and "final" on the way.

        Raises ValueError for more tokens than the rotation tables hold.
        """
        model, tap = self.model, tap or (lambda name, x: None)
        if tokens.shape[1] > model.sequence_len:
            raise ValueError(f"tokens={tokens.shape[1]} exceed sequence_len={model.sequence_len}; cut the row")
        cos, sin = self._cos[: tokens.shape[1]], self._sin[: tokens.shape[1]]
        x = start = rms_norm(self.transformer.wte(tokens, self.stream), model.norm_eps)
        tap("embed", x)
        for i, block in enumerate(self.transformer.h):
            x = mix(x, start, self.resid_lambdas[i], self.x0_lambdas[i])
            value_embed = self.value_embeds[str(i)](tokens, self.compute) if i in model.value_layers() else None
            y = block.attn(rms_norm(x, model.norm_eps).astype(self.compute), value_embed, cos, sin)
            x = x + y.astype(self.stream)
            tap(f"h.{i}.attn", x)
            y = block.mlp(rms_norm(x, model.norm_eps).astype(self.compute))
            x = x + y.astype(self.stream)
            tap(f"h.{i}", x)
        x = rms_norm(x, model.norm_eps).astype(self.compute)
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
