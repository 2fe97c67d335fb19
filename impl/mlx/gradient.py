"""Gradients written by hand where MLX's own pass over memory more often than they need.

MLX's compiler fuses element-wise operations only, and stores what two kernels share. So a backward pass that begins
with the operations of the forward pass would read a stored float32 array: here it reads `again(x)` and recomputes.
PyTorch has no counterpart. Test with `pytest -m fast -k "pieces or gpt"`.
"""

from itertools import pairwise

import mlx.core as mx

from impl.mlx import cuda, gradient_kernel


def again(x, ones=1):  # (...) -> (1, ...)
    """The same values in another view, which the compiler does not take for the same.

    Back with `reshape`: an index of 0 is a gather, which on an H200 copied at a tenth of the memory's speed.
    """
    return x.reshape((1,) * ones + x.shape)


def dots(x, y):  # 2 x (..., N) -> (...) float32
    """Each row's sum of x * y as a product of two vectors, whose terms never stand in memory."""
    return (x.reshape(-1, 1, x.shape[-1]) @ y.reshape(-1, y.shape[-1], 1)).reshape(x.shape[:-1]).astype(mx.float32)


def scaled_sum(x, start, keep, add):  # 2 x (..., C), 2 x () float32 -> (..., C)
    """keep * x + add * start, in float32."""

    @mx.custom_function
    def function(x, start, keep, add):
        return (keep * x.astype(mx.float32) + add * start.astype(mx.float32)).astype(x.dtype)

    @function.vjp
    def backward(primals, dy, _):
        x, start, keep, add = primals
        if cuda.serves(x.dtype):
            return gradient_kernel.scaled_sum(dy, x, start, keep, add)
        views = zip((keep, add), (again(dy), again(dy, 2)), strict=True)  # of one, the cast would be stored for both
        dx, dstart = ((scale * view.astype(mx.float32)).astype(x.dtype).reshape(x.shape) for scale, view in views)
        return dx, dstart, dots(dy, x).sum(), dots(dy, start).sum()

    return function(x, start, keep, add)


def scaled_rows(x, y, scale):  # 2 x (..., N), (...) float32 -> (..., N)
    """x + scale * y, in float32, with a scale for each row."""

    @mx.custom_function
    def function(x, y, scale):
        return (x.astype(mx.float32) + scale[..., None] * y.astype(mx.float32)).astype(x.dtype)

    @function.vjp
    def backward(primals, dy, _):
        _, y, scale = primals
        if cuda.serves(y.dtype):
            return dy, *gradient_kernel.scaled_rows(dy, y, scale)
        return dy, (scale[..., None] * dy.astype(mx.float32)).astype(y.dtype), dots(dy, y)

    return function(x, y, scale)


def rows(table, tokens, dtype):  # (V, C) float32, (B, T) -> (B, T, C)
    """Rows of the table, rounded to `dtype` before they are copied; their gradients sum in float32."""
    here = cuda.serves(dtype)

    @mx.custom_function
    def function(table):
        return gradient_kernel.rows(table.astype(dtype), tokens) if here else table.astype(dtype)[tokens]

    @function.vjp
    def backward(table, dy, _):
        if here:
            return gradient_kernel.rows_back(dy, tokens, table.shape)
        return mx.zeros_like(table).at[tokens].add(dy.astype(mx.float32))

    return function(table)


def turned(x, cos, sin):  # (B, T, H, D), 2 x (T, D/2) -> (B, T, H, D)
    """The pairs (i, i + D/2) rotated by minus their angle; their gradient is rotated back."""

    def turn(x, sin):
        halves = x.reshape(*x.shape[:-1], 2, -1)  # swapped by a view: joined again, they would be copied
        return (halves * cos + halves[..., ::-1, :] * mx.concatenate((sin, -sin), axis=2)).reshape(x.shape)

    cos, sin = (table[:, None, None, :].astype(x.dtype) for table in (cos, sin))
    function = mx.custom_function(lambda x: turn(x, sin))

    @function.vjp
    def backward(x, dy, _):
        return turn(dy, -sin)

    return function(x)


def joined(parts, ranges):  # [(B, t, H, D)] -> (B, T, H, D)
    """What `pieces` took apart, of ranges without a gap that do not overlap."""
    if not cuda.serves(parts[0].dtype):
        return mx.concatenate(parts, axis=1)
    batch, _, *heads = parts[0].shape
    function = mx.custom_function(lambda *x: gradient_kernel.joined(x, ranges, (batch, ranges[-1].stop, *heads)))

    @function.vjp
    def backward(_, dy, __):
        return tuple(dy[:, r.start : r.stop] for r in ranges)

    return function(*parts)


def pieces(x, ranges):  # (B, T, H, D) -> [(B, t, H, D)]
    """Ranges of tokens, overlapping or not; MLX's own gradient would fill and add a whole array for each."""
    edges = sorted({edge for r in ranges for edge in (r.start, r.stop)})
    function = mx.custom_function(lambda x: tuple(x[:, r.start : r.stop] for r in ranges))

    @function.vjp
    def backward(primal, cotangents, _):
        if cuda.serves(primal.dtype):
            return gradient_kernel.joined(cotangents, ranges, primal.shape)
        sums = []
        for start, stop in pairwise(edges):
            parts = [
                dy[:, start - r.start : stop - r.start].astype(mx.float32)
                for r, dy in zip(ranges, cotangents, strict=True)
                if r.start <= start and stop <= r.stop
            ]
            sums.append(sum(parts[1:], parts[0]).astype(primal.dtype))
        return mx.concatenate(sums, axis=1)

    return function(x)
