"""AdamW with decoupled decay and eps outside the root: float32 arithmetic, results in the storage dtype.

Test with `pytest -m fast -k optimizer`.
"""

import mlx.core as mx

from impl.spec import AdamW


def rates(rule: AdamW, lr, hyper, steps):
    """What `step` is told of the schedule: factor of decay, rate over the first bias, inverse of the second.

    `steps` counts from 1 at the first update.
    """
    lr, (beta1, beta2) = lr * hyper.lr, rule.betas
    return 1 - lr * rule.weight_decay, lr / (1 - beta1**steps), 1 / (1 - beta2**steps)


def step(param, grad, first, second, rates, rule: AdamW, dtype):  # 4 x one shape, (3,) -> param, first, second, new
    """One step; `rates` are those of the function above, as an array, and `dtype` what is kept between steps.

    Source: Loshchilov and Hutter, arXiv:1711.05101, in torch's order: decay first.
    """
    keep, size, unbias = rates
    beta1, beta2 = rule.betas
    first = beta1 * first + (1 - beta1) * grad
    second = beta2 * second + (1 - beta2) * grad.square()
    param = param * keep - size * first / (mx.sqrt(second * unbias) + rule.eps)
    return tuple(x.astype(getattr(mx, dtype)) for x in (param, first, second))
