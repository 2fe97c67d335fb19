"""A kernel with its gradient as one call, in either framework.

Test with `pytest -m bench -k attention`.
"""

from collections.abc import Callable


def with_gradients(backend, kernel: Callable, inputs: int) -> Callable:
    """f(*arrays, cotangent) -> (output, gradients of the first `inputs` arrays), on the device, not waited for."""
    return (_in_mlx if backend.framework == "mlx" else _in_torch)(kernel, inputs)


def _in_mlx(kernel, inputs):
    import mlx.core as mx

    def both(*arrays):
        *given, cotangent = arrays
        moving, fixed = given[:inputs], given[inputs:]
        return mx.vjp(lambda *x: kernel(*x, *fixed), moving, [cotangent])

    return both


def _in_torch(kernel, inputs):
    import torch

    def both(*arrays):
        *given, cotangent = arrays
        moving = [x.detach().requires_grad_() for x in given[:inputs]]
        output = kernel(*moving, *given[inputs:])
        return output.detach(), torch.autograd.grad(output, moving, cotangent)

    return both
