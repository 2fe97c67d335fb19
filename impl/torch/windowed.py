"""Attention over a window of W tokens as causal squares: PyTorch's quick kernels know causality, but no window.

Cut into pieces of W tokens, a query sees its own piece causally, and of the piece before it what a causal square shows
when both are read backwards; the two answers are weighted by their sums of exponentials. MLX has no counterpart: its
kernel keeps those sums to itself. B batch, T tokens, P pieces, H heads, D head size.
Test with `pytest -m fast -k "attention or windows"`.
"""

import torch

CPU, FLASH, CUDNN = "cpu", "flash", "cudnn"


def kernel(q, window):  # (B, T, H, D) -> name or None
    """The kernel for arrays like these; None where there is none, or pieces would not fill the text."""
    if q.device.type not in ("cpu", "cuda") or not window or q.shape[1] % window:
        return None
    if q.device.type == "cpu":
        return CPU
    if q.dtype not in (torch.bfloat16, torch.float16) or q.shape[3] > 128 or q.shape[3] % 8:
        return None
    capability = torch.cuda.get_device_capability(q.device)
    return CUDNN if capability >= (9, 0) else FLASH if capability >= (8, 0) else None


def attention(q, k, v, window, scale, kernel):  # 3 x (B, T, H, D) -> (B, T, H, D)
    """Softmax attention of query i over keys i - W to i; T is a multiple of W, and more than that."""
    return _Windowed.apply(q, k, v, window, scale, kernel)


class _Windowed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, window, scale, kernel):
        q, k, v = (x.unflatten(1, (-1, window)) for x in (q, k, v))
        own, own_log, own_rest = _causal(_own(q), _own(k), _own(v), scale, kernel)
        past, past_log, past_rest = _causal(_late(q), _early(k), _early(v), scale, kernel)
        own, own_log = (_pieces(x, q.shape[0]) for x in (own, own_log))
        past, past_log = (_pieces(x, q.shape[0]).flip(2) for x in (past, past_log))
        log = torch.logaddexp(own_log[:, 1:], past_log)
        both = own[:, 1:] * torch.exp(own_log[:, 1:] - log) + past * torch.exp(past_log - log)
        y, log = (torch.cat(x, 1) for x in ((own[:, :1], both.to(q.dtype)), (own_log[:, :1], log)))
        ctx.save_for_backward(q, k, v, y, log, *own_rest, *past_rest)
        ctx.scale, ctx.kernel = scale, kernel
        return y.flatten(1, 2)

    @staticmethod
    def backward(ctx, dy):
        q, k, v, y, log, *rest = ctx.saved_tensors
        dy, half = dy.unflatten(1, (-1, q.shape[2])), len(rest) // 2
        # Both calls are given the log of the whole sum: a score's share of the whole is exp(score - log).
        own = (*map(_own, (dy, q, k, v, y, log)), rest[:half], ctx.scale, ctx.kernel)
        past = (_late(dy), _late(q), _early(k), _early(v), _late(y), _late(log), rest[half:], ctx.scale, ctx.kernel)
        dq, dk, dv = (_pieces(x, q.shape[0]) for x in _gradients(*own))
        late, *early = (_pieces(x, q.shape[0]).flip(2) for x in _gradients(*past))
        dq = torch.cat((dq[:, :1], dq[:, 1:] + late), 1)
        dk, dv = (torch.cat((x[:, :-1] + more, x[:, -1:]), 1) for x, more in zip((dk, dv), early, strict=True))
        return *(x.flatten(1, 2) for x in (dq, dk, dv)), None, None, None


def _own(x):  # (B, P, W, H, D) -> (B * P, H, W, D)
    return x.flatten(0, 1).transpose(1, 2)


def _late(x):  # (B, P, W, H, D) -> (B * (P - 1), H, W, D)
    """All pieces but the first, backwards."""
    return _own(x[:, 1:].flip(2))


def _early(x):  # (B, P, W, H, D) -> (B * (P - 1), H, W, D)
    """All pieces but the last, backwards."""
    return _own(x[:, :-1].flip(2))


def _pieces(x, batch):  # (B * P, H, W, D) -> (B, P, W, H, D)
    return x.transpose(1, 2).unflatten(0, (batch, -1))


def _causal(q, k, v, scale, kernel):  # 3 x (N, H, W, D) -> (N, H, W, D), (N, H, W, 1) float32, what backward needs
    """Attention, and the logarithm of each query's sum of exponentials."""
    if kernel == CPU:
        y, log = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, True, scale=scale)
        return y, log[..., None], ()
    if kernel == FLASH:
        y, log, *_, seed, offset, _ = torch.ops.aten._scaled_dot_product_flash_attention(
            q, k, v, 0.0, True, scale=scale
        )
        return y, log[..., None], (seed, offset)
    y, log, *_, seed, offset, _ = torch.ops.aten._scaled_dot_product_cudnn_attention(
        q, k, v, None, True, 0.0, True, scale=scale
    )
    return y, log, (seed, offset)


def _gradients(dy, q, k, v, y, log, rest, scale, kernel):  # -> 3 x (N, H, W, D)
    if kernel == CPU:
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            dy, q, k, v, y, log[..., 0], 0.0, True, scale=scale
        )
    tokens = q.shape[2]
    if kernel == FLASH:
        return torch.ops.aten._scaled_dot_product_flash_attention_backward(
            dy, q, k, v, y, log[..., 0].contiguous(), None, None, tokens, tokens, 0.0, True, *rest, scale=scale
        )
    return torch.ops.aten._scaled_dot_product_cudnn_attention_backward(
        dy, q, k, v, y, log.contiguous(), *rest, None, None, None, tokens, tokens, 0.0, True, scale=scale
    )
