"""The MLP's activations by the names of `impl.spec.model.ACTIVATIONS`.

Test with `pytest -m fast -k "gpt or activation"`.
"""

import mlx.core as mx
from mlx import nn

from impl.mlx.gradient import again


def relu_squared(x):  # (..., N) -> (..., N)
    """max(x, 0)^2."""
    function = mx.custom_function(lambda x: mx.maximum(x, 0).square())

    @function.vjp
    def backward(x, dy, _):
        return (2 * mx.maximum(again(x), 0) * again(dy)).reshape(x.shape)

    return function(x)


def gelu(x):  # (..., N) -> (..., N)
    """By tanh, as GPT-2's; in float32, which MLX would not take for bfloat16."""
    return nn.gelu_approx(x.astype(mx.float32)).astype(x.dtype)


def silu(x):  # (..., N) -> (..., N)
    """x sigmoid(x), in float32 likewise."""
    return nn.silu(x.astype(mx.float32)).astype(x.dtype)
