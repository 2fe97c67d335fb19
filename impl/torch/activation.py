"""The MLP's activations by the names of `impl.spec.model.ACTIVATIONS`.

The squared ReLU's gradient needs its result only, so that half of what a layer's MLP would keep is saved: on an H200 a
step at preset h100 peaked 9 GB lower. Test with `pytest -m fast -k "gpt or activation"`.
"""

import torch
from torch.nn import functional as F


def relu_squared(x):  # (..., N) -> (..., N)
    """max(x, 0)^2."""
    return _ReluSquared.apply(x)


def gelu(x):  # (..., N) -> (..., N)
    """By tanh, as GPT-2's."""
    return F.gelu(x, approximate="tanh")


def silu(x):  # (..., N) -> (..., N)
    """x sigmoid(x)."""
    return F.silu(x)


class _ReluSquared(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = torch.relu(x).square()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        return 2 * y.sqrt() * dy
