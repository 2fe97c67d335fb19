"""MLX's devices: moves arrays and waits. Imports mlx only when asked whether it is there.

Test with `pytest -m fast -k backends`.
"""

import ctypes
import os
import platform
import shutil
import sys
import time
from contextlib import suppress

import numpy as np

from impl.backend import keep_freed_memory

FRAMEWORK = "mlx"
INSTALL = {
    "mlx-metal": "pip install mlx",
    "mlx-cuda": "pip install 'mlx[cuda13]'",
    "mlx-cpu": "pip install mlx" if sys.platform == "darwin" else "pip install 'mlx[cpu]'",
}


def obstacle(name: str) -> str | None:
    """Why `name` cannot run here, or None. Raises ImportError where mlx is not there or does not load."""
    if name == "mlx-metal" and sys.platform != "darwin":
        return "needs macOS"
    if name == "mlx-cuda" and sys.platform == "darwin":
        return "needs Linux"
    mx = _mlx()

    if name == "mlx-metal" and not mx.metal.is_available():
        return "mlx sees no Metal device"
    if name == "mlx-cuda" and not mx.is_available(mx.gpu):
        return "mlx sees no CUDA device"
    return None


def open_backend(name: str) -> "MlxBackend":
    """The backend of this name; `obstacle` must have said None."""
    return MlxBackend(name)


def _mlx():
    """mlx.core, with what must be settled before its first import.

    MLX reads MLX_ENABLE_TF32 once per process, and its Linux wheel bundles the reference BLAS: an OpenBLAS whose
    symbols are global by then takes its place.
    """
    if "mlx.core" not in sys.modules:
        os.environ.setdefault("MLX_ENABLE_TF32", "0")
        if sys.platform == "linux":
            with suppress(OSError):  # the bundled one then serves, and `blas` says so
                ctypes.CDLL("libopenblas.so.0", mode=ctypes.RTLD_GLOBAL)
    import mlx.core as mx

    return mx


class MlxBackend:
    """See `impl.backend.Backend`. Opening one makes its device MLX's default."""

    framework = FRAMEWORK
    memory_method = "mx.get_peak_memory"

    def __init__(self, name: str):
        mx = _mlx()

        self.name = name
        self.mx = mx
        self.device = mx.cpu if name == "mlx-cpu" else mx.gpu
        if name == "mlx-cpu":
            keep_freed_memory()
        mx.set_default_device(self.device)

    def array(self, values: np.ndarray, dtype: str | None = None):
        return self.mx.array(values, dtype and getattr(self.mx, dtype))

    def numpy(self, x) -> np.ndarray:
        return np.array(x.astype(self.mx.float32) if self.mx.issubdtype(x.dtype, self.mx.floating) else x)

    def sync(self, *trees) -> None:
        self.mx.eval(*trees)

    def peak_memory_bytes(self) -> int | None:
        return self.mx.get_peak_memory()

    def reset_peak_memory(self) -> None:
        self.mx.reset_peak_memory()

    def default_policy(self) -> str:
        if self.device != self.mx.cpu:
            return "bfloat16"
        return min(("bfloat16", "float32"), key=self._gemm_s)

    def versions(self) -> dict[str, str]:
        versions = {"mlx": self.mx.__version__}
        if sys.platform == "darwin":
            versions["macos"] = platform.mac_ver()[0]
        return versions

    def blas(self) -> str | None:
        if self.device != self.mx.cpu:
            return None
        if sys.platform == "darwin":
            return "Accelerate"
        return _openblas() or "the reference BLAS bundled with mlx"

    def can_compile(self) -> bool:
        if self.device != self.mx.cpu:
            return True
        return shutil.which("g++") is not None  # the one that MLX calls; without it mx.compile silently runs eagerly

    def _gemm_s(self, dtype: str) -> float:
        """The quickest of a few products of 512 x 512, after two that warm up."""
        x = self.array(np.ones((512, 512), np.float32), dtype)
        samples = []
        for _ in range(5):
            start = time.perf_counter_ns()
            self.sync(x @ x)
            samples.append(time.perf_counter_ns() - start)
        return min(samples[2:]) / 1e9


def _openblas() -> str | None:
    """The OpenBLAS whose symbols are global in this process, hence the one that mlx was bound to; None without one."""
    try:
        config = ctypes.CDLL(None).openblas_get_config
    except AttributeError:
        return None
    config.restype = ctypes.c_char_p
    return config().decode().strip()
