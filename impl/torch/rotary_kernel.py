"""rms_norm(rope(x)) of bfloat16 heads on CUDA: one pass forward, one backward, keeping the result and a number a head.

PyTorch's compiler also writes the rotated heads, and takes two passes back. The gradient needs the result only: with
y = r / rms(r), dL/dr = (dL/dy - y mean(y dL/dy)) / rms(r), and back through the rotation by the opposite angle.
B batch, T tokens, H heads, D head size. Test with `pytest -m fast -k gpt --backend torch-cuda`.
"""

import torch
import triton
import triton.language as tl

ELEMENTS = 4096  # of one program


def serves(x):  # (B, T, H, D) -> bool
    """Whether such heads are rotated and normed here."""
    return x.device.type == "cuda" and x.dtype == torch.bfloat16


def rotated_norm(x, cos, sin, eps):  # (B, T, H, D) bf16, 2 x (T, D/2) -> (B, T, H, D)
    """RMS norm over D of the heads rotated to their place."""
    return _forward(x.contiguous(), cos, sin, eps)[0]


@torch.library.custom_op("nanomark::rotated_norm", mutates_args=())
def _forward(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:  # -> (B, T, H, D) bf16, (B, T, H) float32: 1 / rms
    y, scale = _forward_shapes(x, cos, sin, eps)
    _launch(_rotate_and_norm, x, cos, sin, x, y, scale, eps)
    return y, scale


@_forward.register_fake
def _forward_shapes(x, cos, sin, eps):
    return torch.empty_like(x), torch.empty(x.shape[:3], dtype=torch.float32, device=x.device)


@torch.library.custom_op("nanomark::rotated_norm_backward", mutates_args=())
def _backward(
    dy: torch.Tensor, y: torch.Tensor, scale: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> torch.Tensor:  # (B, T, H, D) x 2, (B, T, H), 2 x (T, D/2) -> (B, T, H, D)
    dx = torch.empty_like(y)
    _launch(_back, y, cos, sin, dy, y, scale, dx)
    return dx


@_backward.register_fake
def _backward_shapes(dy, y, scale, cos, sin):
    return torch.empty_like(y)


def _save(ctx, inputs, output):
    _, *tables, _ = inputs
    ctx.save_for_backward(*output, *tables)


def _differentiate(ctx, dy, dscale):
    return _backward(dy.contiguous(), *ctx.saved_tensors), None, None, None


_forward.register_autograd(_differentiate, setup_context=_save)


def _launch(kernel, x, cos, sin, *arrays):
    batch, tokens, heads, size = x.shape
    half = size // 2
    rows = max(1, ELEMENTS // triton.next_power_of_2(size))
    count = batch * tokens * heads
    kernel[(triton.cdiv(count, rows),)](
        cos, sin, *arrays, count, tokens, heads, half, rows, triton.next_power_of_2(half)
    )


@triton.jit
def _halves(row, count, tokens, heads, half, width: tl.constexpr):
    """Places of each row's left half, which elements are there, and the places of its angles."""
    column = tl.arange(0, width)[None, :]
    inside = (row < count) & (column < half)
    return row.to(tl.int64) * (2 * half) + column, inside, (row // heads) % tokens * half + column


@triton.jit
def _rotate_and_norm(cos, sin, x, y, scale, eps, count, tokens, heads, half, rows: tl.constexpr, width: tl.constexpr):
    row = tl.program_id(0) * rows + tl.arange(0, rows)[:, None]
    place, inside, angle = _halves(row, count, tokens, heads, half, width)
    left = tl.load(x + place, inside, 0.0).to(tl.float32)
    right = tl.load(x + place + half, inside, 0.0).to(tl.float32)
    c, s = tl.load(cos + angle, inside, 0.0).to(tl.float32), tl.load(sin + angle, inside, 0.0).to(tl.float32)
    up, down = left * c + right * s, right * c - left * s
    inverse = tl.rsqrt(tl.sum(up * up + down * down, 1, keep_dims=True) / (2 * half) + eps)
    tl.store(scale + row, inverse, row < count)
    tl.store(y + place, (up * inverse).to(tl.bfloat16), inside)
    tl.store(y + place + half, (down * inverse).to(tl.bfloat16), inside)


@triton.jit
def _back(cos, sin, dy, y, scale, dx, count, tokens, heads, half, rows: tl.constexpr, width: tl.constexpr):
    row = tl.program_id(0) * rows + tl.arange(0, rows)[:, None]
    place, inside, angle = _halves(row, count, tokens, heads, half, width)
    left, right = tl.load(y + place, inside, 0.0).to(tl.float32), tl.load(y + place + half, inside, 0.0).to(tl.float32)
    dleft = tl.load(dy + place, inside, 0.0).to(tl.float32)
    dright = tl.load(dy + place + half, inside, 0.0).to(tl.float32)
    along = tl.sum(left * dleft + right * dright, 1, keep_dims=True) / (2 * half)
    inverse = tl.load(scale + row, row < count, 0.0)
    up, down = (dleft - left * along) * inverse, (dright - right * along) * inverse
    c, s = tl.load(cos + angle, inside, 0.0).to(tl.float32), tl.load(sin + angle, inside, 0.0).to(tl.float32)
    tl.store(dx + place, (up * c - down * s).to(tl.bfloat16), inside)
    tl.store(dx + place + half, (up * s + down * c).to(tl.bfloat16), inside)
