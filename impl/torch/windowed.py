"""Attention over a window on CUDA, by kernels that leave out what it hides; under a mask SDPA computes all of it.

FlashAttention 4 where it is installed (extra `flash`) and written for the chip, also without a window; else
FlashAttention 2, which PyTorch carries. Forward and backward at (128, 2048, 4, 128) in bfloat16, W = 1024, on an H200:
3.5 ms, 6.2 ms, masked 10.3 ms; over all before 4.0 ms against SDPA's 4.3 ms.
MLX has no counterpart: its kernel takes masks only. B batch, T tokens, H heads, D head size.
Test with `pytest -m fast -k "attention or windows" --backend torch-cuda`.
"""

from importlib import import_module
from importlib.util import find_spec

import torch

FLASH_4 = find_spec("flash_attn") is not None and find_spec("flash_attn.cute") is not None


def kernel(q, window):  # (B, T, H, D) -> function or None
    """What computes attention of arrays like these over a window, or over all before: None where SDPA does it."""
    if q.device.type != "cuda" or q.dtype not in (torch.bfloat16, torch.float16):
        return None
    chip, size = torch.cuda.get_device_capability(q.device), q.shape[3]
    if size > 128 or size % 8 or chip < (8, 0):
        return None
    # Below 64 the time goes elsewhere, and every size costs FlashAttention 4 seconds of compiling.
    if FLASH_4 and chip[0] in (9, 10) and size >= 64:
        return flash_attention_4
    return flash_attention_2 if window < q.shape[1] - 1 else None


def flash_attention_2(q, k, v, window, scale):  # 3 x (B, T, H, D) -> (B, T, H, D)
    """FlashAttention 2, through the operator that SDPA calls without a window."""
    tokens = q.shape[1]
    q, k, v = (x.contiguous() for x in (q, k, v))
    band = {"window_size_left": window, "window_size_right": 0}
    return torch.ops.aten._flash_attention_forward(
        q, k, v, None, None, tokens, tokens, 0.0, True, False, scale=scale, **band
    )[0]


def flash_attention_4(q, k, v, window, scale):  # 3 x (B, T, H, D) -> (B, T, H, D)
    """FlashAttention 4, through the two functions that PyTorch 2.11 and later call it by, there without windows."""
    return _forward(*(x.contiguous() for x in (q, k, v)), window, scale)[0]


def _flash_4():
    return import_module("flash_attn.cute.interface")


def _band(q, window):
    """Query i sees the `window` keys before it, or all, and its own."""
    return {"causal": True, "window_size_left": window if window < q.shape[1] - 1 else None}


@torch.library.custom_op("nanomark::windowed_forward", mutates_args=())
def _forward(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:  # -> (B, T, H, D), (B, H, T) float32: log of each row's sum
    y, log, *_ = _flash_4()._flash_attn_fwd(q, k, v, softmax_scale=scale, return_lse=True, **_band(q, window))
    return y, log


@_forward.register_fake
def _forward_shapes(q, k, v, window, scale):
    return torch.empty_like(q), q.new_empty(q.shape[0], q.shape[2], q.shape[1], dtype=torch.float32)


@torch.library.custom_op("nanomark::windowed_backward", mutates_args=())
def _backward(
    dy: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    y: torch.Tensor,
    log: torch.Tensor,
    window: int,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    dq, dk, dv, *_ = _flash_4()._flash_attn_bwd(q, k, v, y, dy, log, softmax_scale=scale, **_band(q, window))
    return dq, dk, dv


@_backward.register_fake
def _backward_shapes(dy, q, k, v, y, log, window, scale):
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _save(ctx, inputs, output):
    *arrays, ctx.window, ctx.scale = inputs
    ctx.save_for_backward(*arrays, *output)


def _differentiate(ctx, dy, dlog):
    return *_backward(dy.contiguous(), *ctx.saved_tensors, ctx.window, ctx.scale), None, None


_forward.register_autograd(_differentiate, setup_context=_save)
