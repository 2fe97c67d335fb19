"""Gradients written by hand where MLX's own pass over memory more often than they need.

PyTorch has no counterpart: its compiler finds these. Test with `pytest -m fast -k "pieces or gpt"`.
"""

from itertools import pairwise

import mlx.core as mx


def pieces(x, ranges):  # (B, H, T, D) -> [(B, H, t, D)]
    """Ranges of tokens, overlapping or not; MLX's own gradient would fill and add a whole array for each."""
    edges = sorted({edge for r in ranges for edge in (r.start, r.stop)})
    function = mx.custom_function(lambda x: tuple(x[:, :, r.start : r.stop] for r in ranges))

    @function.vjp
    def backward(primal, cotangents, outputs):
        sums = []
        for start, stop in pairwise(edges):
            parts = [
                dy[:, :, start - r.start : stop - r.start].astype(mx.float32)
                for r, dy in zip(ranges, cotangents, strict=True)
                if r.start <= start and stop <= r.stop
            ]
            sums.append(sum(parts[1:], parts[0]).astype(primal.dtype))
        return mx.concatenate(sums, axis=2)

    return function(x)
