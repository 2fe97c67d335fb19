"""Muon over a stack of matrices of one shape: orthogonalised momentum, NorMuon's variance, cautious decay.

Everything is float32 but the orthogonaliser's products, whose dtype the rule names.
S stacked matrices, m rows, n columns. Test with `pytest -m fast -k orthogonalizer`.
"""

import mlx.core as mx

from impl.spec import Muon, Orthogonalizer
from impl.spec.optimizer import SHRINK, SQUARABLE


def frobenius(x):  # (S, m, n) -> (S, 1, 1) float32
    """Each matrix's norm, of whatever float32 can hold.

    It sums rows first: mlx-cpu adds a whole matrix up one by one, which put the update 12 times further from float64
    than float32 has to be.
    """
    x = x.astype(mx.float32)
    shrink = mx.where(x.abs().max((1, 2), keepdims=True) > SQUARABLE, SHRINK, 1.0)
    square = (x * shrink).square()
    return mx.sqrt(square.sum(2, keepdims=True).sum(1, keepdims=True)) / shrink


def orthogonalize(x, orthogonalizer: Orthogonalizer, dtype):  # (S, m, n) -> (S, m, n)
    """Each matrix's odd polynomial, on the side with fewer rows, its products in `dtype`; the norm is float32's.

    Source: Amsel et al., arXiv:2505.16932 (Polar Express); K. Jordan's Muon (NS5).
    """
    tall = x.shape[1] > x.shape[2]
    y = (x / (frobenius(x) * orthogonalizer.safety + orthogonalizer.eps)).astype(getattr(mx, dtype))
    y = y.swapaxes(1, 2) if tall else y
    for row in orthogonalizer.rows():
        gram = y @ y.swapaxes(1, 2)
        if y.dtype == mx.float32:
            a, b, c = row
            y = mx.addmm(y, mx.addmm(gram, gram, gram, alpha=c, beta=b), y, beta=a)
        else:  # on CPUs older MLX adds nothing else so; Python's numbers would be rounded to the dtype of y
            a, b, c = mx.array(row)
            y = (a * y + (b * gram + c * (gram @ gram)).astype(y.dtype) @ y).astype(y.dtype)
    return (y.swapaxes(1, 2) if tall else y).astype(x.dtype)


def normalize_variance(update, second, rule: Muon):  # (S, m, n), (S, m, 1) or (S, 1, n) -> both, new
    """Divide each row (tall, square) or column (wide) by its running RMS, then restore each matrix's norm."""
    axis = 2 if update.shape[1] >= update.shape[2] else 1
    count = update.shape[axis]
    mean_square = update.square().sum(axis, keepdims=True) / count
    norm = mx.sqrt(mean_square.sum((1, 2), keepdims=True) * count)
    second = second + (1 - rule.beta2) * (mean_square - second)
    scale = mx.rsqrt(mx.maximum(second, rule.variance_floor))
    scaled_norm = mx.sqrt((mean_square * count * scale.square()).sum((1, 2), keepdims=True))
    return update * (scale * (norm / mx.maximum(scaled_norm, rule.variance_floor))), second


def second_shape(shape):  # (m, n) -> (m, 1) or (1, n)
    """Of NorMuon's running mean square: one number a row, or a column of a wide matrix."""
    return (shape[0], 1) if shape[0] >= shape[1] else (1, shape[1])


def rates(rule: Muon, lr, hyper, steps):
    """What `step` is told of the schedule: rate, rate of decay, momentum."""
    return lr * hyper.lr, lr * hyper.lr * rule.weight_decay * hyper.weight_decay, hyper.momentum


def step(param, grad, first, second, rates, rule: Muon, dtype):  # stacks, (3,) -> param, first, second, new
    """One step over a stack; `rates` are those of the function above, as an array.

    Source: karpathy/autoresearch; NorMuon, arXiv:2510.05491; cautious decay, arXiv:2510.12402.
    """
    lr, decay, momentum = rates
    first = momentum * first + (1 - momentum) * grad
    update = orthogonalize((1 - momentum) * grad + momentum * first, rule.orthogonalizer, dtype)
    update, second = normalize_variance(update, second, rule)
    return param - lr * update - decay * param * (update * param >= 0), first, second
