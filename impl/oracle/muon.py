"""Muon: orthogonalised momentum, NorMuon's variance, cautious decay. One matrix at a time.

m rows, n columns; `p` rounds the orthogonaliser, everything after it stays in the working dtype.
"""

from dataclasses import dataclass

import numpy as np

from impl.oracle.precision import Precision
from impl.spec import Muon, Orthogonalizer
from impl.spec.optimizer import SHRINK, SQUARABLE


def frobenius(x, p: Precision):  # (m, n) -> ()
    """The norm, of whatever float32 can hold."""
    shrink = p.dtype(SHRINK if np.max(np.abs(x), initial=0) > SQUARABLE else 1)
    return p.kernel(np.sqrt(p.sum((x * shrink) * (x * shrink))) / shrink)


def orthogonalize(x, orthogonalizer: Orthogonalizer, p: Precision):  # (m, n) -> (m, n)
    """The odd polynomial of the orthogonaliser in x / (safety |x| + eps), on the side with fewer rows.

    Source: Amsel et al., arXiv:2505.16932 (Polar Express); K. Jordan's Muon (NS5).
    """
    if x.shape[0] > x.shape[1]:
        return orthogonalize(x.T, orthogonalizer, p).T
    x = p.kernel(p.array(x))
    x = p.kernel(x / (frobenius(x, p) * p.dtype(orthogonalizer.safety) + p.dtype(orthogonalizer.eps)))
    for a, b, c in orthogonalizer.rows():
        gram = p.matmul(x, x.T)
        polynomial = p.kernel(p.dtype(b) * gram + p.dtype(c) * p.matmul(gram, gram))
        x = p.kernel(p.dtype(a) * x + p.matmul(polynomial, x))
    return x


@dataclass
class State:
    """First moment (m, n), NorMuon's second moment, (m, 1) or (1, n), and the last update (m, n) before decay."""

    momentum: np.ndarray
    variance: np.ndarray
    update: np.ndarray

    @classmethod
    def zeros(cls, shape: tuple[int, int], p: Precision) -> "State":
        m, n = shape
        variance = np.zeros((m, 1) if m >= n else (1, n), p.dtype)
        return cls(np.zeros(shape, p.dtype), variance, np.zeros(shape, p.dtype))


def step(param, grad, state: State, rule: Muon, lr: float, weight_decay: float, momentum: float, p: Precision):
    """One step in place of `state`; returns the new parameter. `lr` and `weight_decay` are final, aspect included.

    Source: karpathy/autoresearch; NorMuon, arXiv:2510.05491; cautious decay, arXiv:2510.12402.
    """
    lr, weight_decay, momentum = p.dtype(lr), p.dtype(weight_decay), p.dtype(momentum)
    state.momentum = momentum * state.momentum + (1 - momentum) * grad
    update = orthogonalize((1 - momentum) * grad + momentum * state.momentum, rule.orthogonalizer, p)
    state.update = update = normalize_variance(update, state, rule, p)
    agrees = update * param >= 0
    return param - lr * update - lr * weight_decay * param * agrees


def normalize_variance(update, state: State, rule: Muon, p: Precision):  # (m, n) -> (m, n)
    """Divide each row (tall, square) or column (wide) by its running RMS, then restore the whole norm."""
    axis = 1 if update.shape[0] >= update.shape[1] else 0
    count, beta2 = p.dtype(update.shape[axis]), p.dtype(rule.beta2)
    floor = p.dtype(rule.variance_floor)
    mean_square = p.sum(update**2, axis=axis, keepdims=True) / count
    norm = np.sqrt(p.sum(mean_square) * count)
    state.variance = state.variance + (1 - beta2) * (mean_square - state.variance)
    scale = 1 / np.sqrt(np.maximum(state.variance, floor))
    scaled_norm = np.sqrt(p.sum(mean_square * count * scale**2))
    return update * scale * (norm / np.maximum(scaled_norm, floor))
