"""AdamW with decoupled decay, eps outside the root, and moments stored where the recipe stores them."""

from dataclasses import dataclass

import numpy as np

from impl.oracle.precision import Precision
from impl.spec import AdamW


@dataclass
class State:
    """First and second moment, and the number of steps taken."""

    first: np.ndarray
    second: np.ndarray
    steps: int = 0

    @classmethod
    def zeros(cls, shape: tuple[int, ...], p: Precision) -> "State":
        return cls(np.zeros(shape, p.dtype), np.zeros(shape, p.dtype))


def step(param, grad, state: State, rule: AdamW, lr: float, store, p: Precision):
    """One step in place of `state`; returns the new parameter. `store` rounds what is kept between steps.

    Source: Loshchilov and Hutter, arXiv:1711.05101, in torch's order: decay first.
    """
    beta1, beta2 = (p.dtype(beta) for beta in rule.betas)
    state.steps += 1
    first = beta1 * state.first + (1 - beta1) * grad
    second = beta2 * state.second + (1 - beta2) * grad**2
    size = p.dtype(lr) / (1 - beta1**state.steps)
    root = np.sqrt(second / (1 - beta2**state.steps)) + p.dtype(rule.eps)
    param = param * (1 - p.dtype(lr) * p.dtype(rule.weight_decay)) - size * first / root
    state.first, state.second = store(first), store(second)
    return store(param)
