"""MLX's primitives in the graph of a computation, and which of them a device lacks: MLX ships no table to ask.

A graph names primitives without their dtypes. On a CPU the fused operations of `mx.fast` fall apart into what a GPU has
too; that they were called is recorded apart. Test with `pytest -m fast -k mlx_ops`.
"""

import io
import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from unittest.mock import patch

# Read in MLX's source, tags 0.26.5 to 0.32.1: which eval_gpu of backend/metal and backend/cuda, and which eval_cpu,
# does nothing but raise. CUDA from 0.30.0, the oldest release that is installed for it here.
SOURCE = "https://github.com/ml-explore/mlx, mlx/backend, 0.26.5 to 0.32.1"
FACTORIZATIONS = ("Cholesky", "Eig", "Eigh", "Inverse", "LUF", "QRF", "SVD")
LACKING = {
    **{name: ("metal", "cuda") for name in (*FACTORIZATIONS, "Recv", "Send")},
    **{name: ("metal",) for name in ("AllGather", "AllReduce", "Load", "ReduceScatter")},
    **{name: ("cuda before 0.31.2",) for name in ("BlockMaskedMM", "FFT", "GatherQMM", "MaskedScatter")},
    **{name: ("cuda before 0.31.1",) for name in ("Hadamard", "SegmentedMM")},
    "GatherMM": ("cuda before 0.30.3",),
    "QuantizedMatmul": ("cuda before 0.30.6",),
    "GatherQQMM": ("cpu",),
    "CustomKernel": ("cpu",),
}
# Fused operations that run everywhere: where a device has no kernel, MLX runs what they are made of.
FUSED = ("layer_norm", "rms_norm", "rope", "scaled_dot_product_attention")


def core():
    """MLX, imported as `impl/mlx` has to import it the first time. Raises ImportError where it is not there."""
    from impl.mlx.backend import obstacle

    obstacle("mlx-cpu")
    import mlx.core

    return mlx.core


@dataclass
class Graph:
    """Names of primitives, and of the functions of `mx.fast` as "fast.NAME"."""

    names: set[str] = field(default_factory=set)

    @contextmanager
    def on(self, backend):
        """Record what is evaluated inside; `backend` is MLX's, whose way to NumPy evaluates too."""
        mx, numpy = backend.mx, backend.numpy
        fast = [name for name in dir(mx.fast) if callable(getattr(mx.fast, name)) and not name.startswith("_")]
        with ExitStack() as stack:
            for owner, name in [(mx, "eval"), (mx, "async_eval"), *((mx.fast, name) for name in fast)]:
                called = partial(self._called, mx, getattr(owner, name), name if owner is mx.fast else None)
                stack.enter_context(patch.object(owner, name, called))
            backend.numpy = lambda x: (self.add(mx, x), numpy(x))[1]
            try:
                yield self
            finally:
                del backend.numpy

    def add(self, mx, *arrays):
        """The primitives that `arrays` still wait for."""
        dot = io.StringIO()
        mx.export_to_dot(dot, *arrays)
        self.names |= set(re.findall(r'label ="([^"]+)"', dot.getvalue()))

    def faults(self) -> set[str]:
        """What only some devices can run, or may not: each in a sentence that names it."""
        lacking = {word for name in self.names for word in name.split()} & {*LACKING}  # "Sum AllReduce" is one name
        faults = {f"{name} cannot run on {', '.join(LACKING[name])} (read in {SOURCE})" for name in lacking}
        fused = {name for name in self.names if name.startswith("fast.")} - {f"fast.{name}" for name in FUSED}
        return faults | {
            f"mx.{name} is not known to run on every device; add it to FUSED with its source" for name in fused
        }

    def _called(self, mx, function, fast, *args, **kwargs):
        if fast:
            self.names.add(f"fast.{fast}")
        else:
            self.add(mx, *args)
        return function(*args, **kwargs)
