"""The squared-ReLU MLP in bfloat16 on Hopper: the activation inside the matrix products.

relu(x W1')^2 W2' is bound by its products, but between them a compiler that calls a library passes over the wide
array once forward and once back. Here the first product writes the activation only, and the gradient's first product
multiplies by its derivative, 2 sqrt(h), on the way out; the other four products stay the library's.
N rows, C width, F the MLP's width. Test with `pytest -m fast -k gpt --backend torch-cuda`.
"""

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

ROWS, COLUMNS, DEPTH = 128, 256, 64  # of one program's tile, and of one step over the inner axis


def serves(x):  # (..., C) -> bool
    """Whether the products of such rows are written here."""
    if x.device.type != "cuda" or x.dtype != torch.bfloat16 or x.shape[-1] % 8:
        return False
    return torch.cuda.get_device_capability(x.device)[0] == 9


def relu_squared_mlp(x, w1, w2):  # (..., C), (F, C), (C, F) -> (..., C)
    """relu(x W1')^2 W2'."""
    return _Mlp.apply(x.flatten(0, -2), w1, w2).view(x.shape)


class _Mlp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w1, w2):
        h = _activated(x, w1)
        ctx.save_for_backward(x, w1, w2, h)
        return h @ w2.T

    @staticmethod
    def backward(ctx, dy):
        x, w1, w2, h = ctx.saved_tensors
        d = _gradient(dy.contiguous(), w2.T.contiguous(), h)
        return d @ w1, d.T @ x, dy.T @ h


@torch.library.custom_op("nanomark::relu_squared_product", mutates_args=())
def _activated(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:  # (N, C), (F, C) -> (N, F): relu(x W')^2
    h = _activated_shape(x, weight)
    _launch(x, weight, h, h, False)
    return h


@_activated.register_fake
def _activated_shape(x, weight):
    return x.new_empty(x.shape[0], weight.shape[0])


@torch.library.custom_op("nanomark::relu_squared_gradient", mutates_args=())
def _gradient(dy: torch.Tensor, weight: torch.Tensor, h: torch.Tensor) -> torch.Tensor:  # (N, C), (F, C), (N, F)
    d = torch.empty_like(h)
    _launch(dy, weight, h, d, True)
    return d


@_gradient.register_fake
def _gradient_shape(dy, weight, h):
    return torch.empty_like(h)


def _launch(a, b, h, out, back):
    n, c = a.shape
    f = b.shape[0]
    part = COLUMNS // 2
    blocks = ([ROWS, DEPTH], [COLUMNS, DEPTH], [ROWS, part], [ROWS, part])
    described = [TensorDescriptor.from_tensor(x, block) for x, block in zip((a, b, h, out), blocks, strict=True)]
    programs = torch.cuda.get_device_properties(a.device).multi_processor_count
    _product[(programs,)](*described, n, f, c, programs, ROWS, COLUMNS, DEPTH, back, num_warps=8, num_stages=3)


@triton.jit
def _product(
    a,
    b,
    h,
    out,
    n,
    f,
    c,
    programs: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    depth: tl.constexpr,
    back: tl.constexpr,
):
    across = tl.cdiv(f, columns)
    for tile in tl.range(tl.program_id(0), tl.cdiv(n, rows) * across, programs, flatten=True):
        row, column = tile // across * rows, tile % across * columns
        total = tl.zeros((rows, columns), tl.float32)
        for k in range(tl.cdiv(c, depth)):
            total = tl.dot(a.load([row, k * depth]), b.load([column, k * depth]).T, total)
        parts = tl.permute(tl.reshape(total, (rows, 2, columns // 2)), (0, 2, 1))
        left, right = tl.split(parts)
        if back:
            left *= 2 * tl.sqrt(h.load([row, column]).to(tl.float32))
            right *= 2 * tl.sqrt(h.load([row, column + columns // 2]).to(tl.float32))
        else:
            left, right = tl.maximum(left, 0), tl.maximum(right, 0)
            left, right = left * left, right * right
        out.store([row, column], left.to(out.dtype))
        out.store([row, column + columns // 2], right.to(out.dtype))
