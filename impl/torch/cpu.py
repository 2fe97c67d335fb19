"""What PyTorch's eager kernels need on a CPU: each passes over all it is given, so it is given what a cache holds.

MLX has no counterpart: its kernels for these are fused. Test with `pytest -m fast -k "norm or optimizer"`.
"""

import torch

from impl.torch import adamw

BLOCK = 2**16  # elements


def rms_norm(x, eps):  # (..., N) -> (..., N)
    """As `gpt.rms_norm`: F.rms_norm's gradient is a dozen passes over memory on a CPU, this one is one."""
    return _RmsNorm.apply(x, eps)


def adamw_step(param, grad, first, second, rates, rule, dtype):  # as `adamw.step`, in place
    """AdamW block by block."""
    arrays = (x.view(-1).split(BLOCK) for x in (param, grad, first, second))
    for block in zip(*arrays, strict=True):
        for old, new in zip((block[0], *block[2:]), adamw.step(*block, rates, rule, dtype), strict=True):
            old.copy_(new)
    return param, first, second


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, eps):
        rows, y = x.reshape(-1, x.shape[-1]), torch.empty_like(x, memory_format=torch.contiguous_format)
        inverse = torch.empty(rows.shape[0], 1)
        for block, y_block, r in _blocks(rows, y.view(rows.shape), inverse):
            wide = block.float()
            r.copy_(wide.square().mean(-1, keepdim=True).add_(eps).rsqrt_())
            y_block.copy_(wide * r)
        ctx.save_for_backward(y, inverse)
        return y

    @staticmethod
    def backward(ctx, dy):
        y, inverse = ctx.saved_tensors
        rows, dx = dy.reshape(-1, y.shape[-1]), torch.empty_like(y)
        for block, y_block, r, dx_block in _blocks(rows, y.view(rows.shape), inverse, dx.view(rows.shape)):
            wide, y_wide = block.float(), y_block.float()
            mean = (wide * y_wide).mean(-1, keepdim=True)
            dx_block.copy_(wide.addcmul(y_wide, mean, value=-1).mul_(r))
        return dx, None


def _blocks(rows, *others):  # (n, N), ... -> the same rows of each, BLOCK elements of the first at a time
    size = max(1, BLOCK // rows.shape[-1])
    return zip(*(x.split(size) for x in (rows, *others)), strict=True)
