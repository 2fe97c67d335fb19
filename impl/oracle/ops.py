"""The kernels of the model, each with its derivative beside it. `p` is the precision that everything rounds to.

B batch, T tokens, C width, H heads, K key/value heads, D head size, V vocabulary, N scored tokens.
"""

import numpy as np

from impl.oracle.precision import Precision

GELU_SCALE, GELU_CUBE = (2 / np.pi) ** 0.5, 0.044715  # Hendrycks and Gimpel, arXiv:1606.08415


def rms_norm(x, eps: float, p: Precision):  # (..., C) -> (..., C)
    return p.kernel(x * inverse_rms(x, eps, p))


def inverse_rms(x, eps: float, p: Precision):  # (..., C) -> (..., 1)
    return 1 / np.sqrt(p.mean(x * x) + p.dtype(eps))


def rms_norm_backward(dy, x, eps: float, p: Precision):
    """y = s x with s = (mean x^2 + eps)^(-1/2), so dx = s dy - s^3 x mean(x dy)."""
    s = inverse_rms(x, eps, p)
    return p.kernel(s * dy - s**3 * x * p.mean(x * dy))


def rope_tables(tokens: int, head_dim: int, base: float, p: Precision):  # -> 2 x (T, 1, D / 2)
    """cos and sin of position * base ** (-2 i / D), computed in float64 whatever `p`, then rounded once."""
    frequency = base ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    angle = np.arange(tokens, dtype=np.float64)[:, None, None] * frequency
    return p.kernel(p.array(np.cos(angle))), p.kernel(p.array(np.sin(angle)))


def rope(x, cos, sin, p: Precision):  # (B, T, H, D) -> (B, T, H, D)
    """The first half of a head is paired with the second; each pair turns by minus the angle."""
    x1, x2 = np.split(x, 2, axis=-1)
    return p.kernel(np.concatenate([x1 * cos + x2 * sin, x2 * cos - x1 * sin], axis=-1))


def rope_backward(dy, cos, sin, p: Precision):
    """A rotation's transpose turns the other way."""
    return rope(dy, cos, -sin, p)


def visible(tokens: int, window: int):  # -> (T, T) bool
    """Query i sees keys i - window <= j <= i: window + 1 of them."""
    distance = np.arange(tokens)[:, None] - np.arange(tokens)[None, :]
    return (distance >= 0) & (distance <= window)


def _heads_first(x, repeats: int):  # (B, T, K, D) -> (B, K * repeats, T, D)
    return np.repeat(x.transpose(0, 2, 1, 3), repeats, axis=1)


def attention(q, k, v, window: int, p: Precision):  # (B, T, H, D), 2 x (B, T, K, D) -> (B, T, H, D)
    """Softmax attention over the window; query head h reads key/value head h // (H / K)."""
    out = p.matmul(probabilities(q, k, window, p), _heads_first(v, q.shape[2] // v.shape[2]))
    return out.transpose(0, 2, 1, 3)


def probabilities(q, k, window: int, p: Precision):  # -> (B, H, T, T)
    scale = p.dtype(q.shape[-1] ** -0.5)
    q, k = _heads_first(q, 1), _heads_first(k, q.shape[2] // k.shape[2])
    scores = p.kernel(p.matmul(q, k.swapaxes(-1, -2)) * scale)
    scores = np.where(visible(q.shape[2], window), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return p.kernel(weights / p.sum(weights, axis=-1, keepdims=True))


def attention_backward(dy, q, k, v, window: int, p: Precision):
    """dq, dk, dv; heads that share a key/value head add up."""
    repeats = q.shape[2] // k.shape[2]
    scale = p.dtype(q.shape[-1] ** -0.5)
    weights = probabilities(q, k, window, p)
    dy, q, k, v = _heads_first(dy, 1), _heads_first(q, 1), _heads_first(k, repeats), _heads_first(v, repeats)
    dweights = p.matmul(dy, v.swapaxes(-1, -2))
    dscores = p.kernel(weights * (dweights - p.sum(weights * dweights, axis=-1, keepdims=True)) * scale)
    dq = p.matmul(dscores, k)
    dk = p.matmul(dscores.swapaxes(-1, -2), q)
    dv = p.matmul(weights.swapaxes(-1, -2), dy)
    return dq.transpose(0, 2, 1, 3), _shared(dk, repeats, p), _shared(dv, repeats, p)


def _shared(dx, repeats: int, p: Precision):  # (B, H, T, D) -> (B, T, K, D)
    batch, heads, tokens, size = dx.shape
    summed = p.sum(dx.reshape(batch, heads // repeats, repeats, tokens, size), axis=2)
    return p.kernel(summed).transpose(0, 2, 1, 3)


def add_rows(table, tokens, rows):  # (V, C), (B, T), (B, T, C)
    """The derivative of reading rows of a table, in place: a token seen twice adds up."""
    np.add.at(table, tokens, rows)


def relu_squared(x, p: Precision):
    return p.kernel(np.maximum(x, 0) ** 2)


def relu_squared_backward(dy, x, p: Precision):
    return p.kernel(dy * 2 * np.maximum(x, 0))


def gelu(x, p: Precision):
    """x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    return p.kernel(0.5 * x * (1 + np.tanh(_gelu_angle(x))))


def gelu_backward(dy, x, p: Precision):
    t = np.tanh(_gelu_angle(x))
    return p.kernel(dy * 0.5 * (1 + t + x * (1 - t * t) * GELU_SCALE * (1 + 3 * GELU_CUBE * x * x)))


def _gelu_angle(x):
    return GELU_SCALE * (x + GELU_CUBE * x * x * x)


def silu(x, p: Precision):
    """x sigmoid(x)."""
    return p.kernel(x / (1 + np.exp(-x)))


def silu_backward(dy, x, p: Precision):
    s = 1 / (1 + np.exp(-x))
    return p.kernel(dy * s * (1 + x * (1 - s)))


def softcap(x, cap: float):
    """cap tanh(x / cap), after the cast to float32: no rounding of its own."""
    return cap * np.tanh(x / cap)


def token_nats(logits, targets, p: Precision):  # (N, V), (N,) -> (N,)
    """-log softmax at the target; 0 where the target is -1."""
    top = logits.max(axis=-1, keepdims=True)
    log_sum = np.log(p.sum(np.exp(logits - top), axis=-1)) + top[:, 0]
    nats = log_sum - np.take_along_axis(logits, np.maximum(targets, 0)[:, None], axis=-1)[:, 0]
    return np.where(targets >= 0, nats, 0)


def cross_entropy(raw, targets, cap: float, p: Precision):  # (N, V), (N,) -> scalar
    """Mean over scored targets of the softcapped cross-entropy."""
    return p.sum(token_nats(softcap(raw, cap), targets, p)) / p.dtype(np.sum(targets >= 0))


def cross_entropy_backward(raw, targets, cap: float, p: Precision):  # -> (N, V)
    """(softmax - onehot) (1 - tanh^2) / N."""
    capped = softcap(raw, cap)
    weights = np.exp(capped - capped.max(axis=-1, keepdims=True))
    d = weights / p.sum(weights, axis=-1, keepdims=True)
    d[np.arange(len(targets)), np.maximum(targets, 0)] -= 1
    d *= (targets >= 0)[:, None] / p.dtype(np.sum(targets >= 0))
    return p.kernel(d * (1 - (capped / cap) ** 2))
