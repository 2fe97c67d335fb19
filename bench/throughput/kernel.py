"""A kernel as training runs it, in either framework: alone, or with its gradient as one call.

Test with `pytest -m bench -k attention`.
"""

from collections.abc import Callable


def as_trained(backend, call: Callable) -> Callable:
    """`call`, on a GPU through MLX's compiler, as in training.

    Outside it MLX keeps a Python number in the host's memory, from where every block of a CUDA kernel reads it: on an
    H200 `x * 2.0` took 6 to 33 % longer than `x + x`, each time another share; in a compiled kernel it is a literal.
    """
    if backend.framework == "torch" or backend.name == "mlx-cpu":  # torch hands a number to the kernel as an argument
        return call
    return backend.mx.compile(call)


def with_gradients(backend, kernel: Callable, inputs: int) -> Callable:
    """f(*arrays, cotangent) -> (output, gradients of the first `inputs` arrays), on the device, not waited for."""
    return as_trained(backend, (_in_mlx if backend.framework == "mlx" else _in_torch)(kernel, inputs))


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
