"""CUDA kernels of our own, from source: for which arrays, and how one is launched.

A kernel serves bfloat16 only: that is what a GPU trains in. Test with `pytest -m fast -k "gpt or pieces" --backend
mlx-cuda`; without a GPU, with `pytest -m meta -k cuda_kernels`, which emulates `launch` on a CPU.
"""

import zlib
from functools import lru_cache

import mlx.core as mx

# What one thread loads or stores at once.
PACK = "struct alignas(sizeof(__nv_bfloat16) * WIDTH) Pack { __nv_bfloat16 of[WIDTH]; };"


def serves(dtype):  # -> bool
    """Whether arrays of this dtype are computed here."""
    if dtype != mx.bfloat16 or mx.default_device() == mx.cpu or not hasattr(mx.fast, "cuda_kernel"):
        return False
    return mx.cuda.is_available()


def width(size, most):  # -> int
    """Elements of a Pack: the most, where rows of `size` are whole packs, else one."""
    return 1 if size % most else most


def literal(name, value):  # -> str
    """A number in a kernel's text: one among its inputs would lie in the host's memory, where every block reads it."""
    return f"constexpr float {name} = {float(value)!r}f;\n"


def launch(name, source, inputs, outputs, constants, blocks, threads, *, strided=False, init_value=None):
    """Arrays for `outputs`, name -> (shape, dtype); `source` names them, the `inputs` and the integer `constants`.

    Inputs are contiguous, unless `strided`: then the source asks for NAME_strides.
    """
    shapes, dtypes = zip(*outputs.values(), strict=True)
    return _kernel(name, tuple(inputs), tuple(outputs), source, not strided)(
        inputs=list(inputs.values()),
        template=list(constants.items()),
        grid=(blocks * threads, 1, 1),
        threadgroup=(threads, 1, 1),
        output_shapes=list(shapes),
        output_dtypes=list(dtypes),
        init_value=init_value,
    )


@lru_cache
def _kernel(name, inputs, outputs, source, contiguous):
    # MLX before 0.32.1 tells compiled kernels apart by their names only, and a text may hold other numbers.
    name = f"{name}_{zlib.crc32(source.encode()):08x}"
    return mx.fast.cuda_kernel(name, inputs, outputs, source, ensure_row_contiguous=contiguous)
