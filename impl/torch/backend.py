"""PyTorch's devices: moves arrays and waits. Imports torch only when asked whether it is there.

Test with `pytest -m fast -k backends`.
"""

import platform
import re
import shutil
import sys
import time
from importlib.util import find_spec

import numpy as np

from impl.backend import keep_freed_memory

FRAMEWORK = "torch"
INSTALL = {
    "torch-cuda": "pip install torch",
    "torch-mps": "pip install torch",
    "torch-cpu": "pip install torch --index-url https://download.pytorch.org/whl/cpu",
}


def obstacle(name: str) -> str | None:
    """Why `name` cannot run here, or None. Raises ImportError where torch is not there or does not load."""
    if name == "torch-mps" and sys.platform != "darwin":
        return "needs macOS"
    import torch

    if name == "torch-cuda" and not torch.cuda.is_available():
        return "torch sees no CUDA device"
    if name == "torch-mps" and not torch.backends.mps.is_available():
        return "torch sees no Metal device"
    return None


def open_backend(name: str) -> "TorchBackend":
    """The backend of this name; `obstacle` must have said None."""
    return TorchBackend(name)


class TorchBackend:
    """See `impl.backend.Backend`."""

    framework = FRAMEWORK

    def __init__(self, name: str):
        import torch

        self.name = name
        self.torch = torch
        self.device = torch.device(name.removeprefix("torch-"))
        if self.device.type == "cpu":
            keep_freed_memory()
        self.memory_method = {
            "cuda": "torch.cuda.max_memory_allocated",
            "mps": "torch.mps.driver_allocated_memory, at the time of asking",
            "cpu": "peak resident set of the process",
        }[self.device.type]

    def array(self, values: np.ndarray, dtype: str | None = None):
        if not values.ndim:  # asarray forgets `copy` for one number, and "can't alias" it on another device or dtype
            return self.array(values[None], dtype)[0]
        return self.torch.asarray(values, dtype=dtype and getattr(self.torch, dtype), device=self.device, copy=True)

    def numpy(self, x) -> np.ndarray:
        x = x.detach()
        return x.to(self.torch.float32 if x.is_floating_point() else x.dtype).cpu().numpy().copy()

    def sync(self, *trees) -> None:
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()
        elif self.device.type == "mps":
            self.torch.mps.synchronize()

    def peak_memory_bytes(self) -> int | None:
        if self.device.type == "cuda":
            return self.torch.cuda.max_memory_allocated()
        if self.device.type == "mps":
            return self.torch.mps.driver_allocated_memory()
        return peak_resident_bytes()

    def reset_peak_memory(self) -> None:
        if self.device.type == "cuda":
            self.torch.cuda.reset_peak_memory_stats()

    def default_policy(self) -> str:
        if self.device.type != "cpu":
            return "bfloat16"
        return min(("bfloat16", "float32"), key=self._gemm_s)

    def versions(self) -> dict[str, str]:
        versions = {"torch": self.torch.__version__}
        if self.device.type == "cuda":
            versions |= {"cuda": self.torch.version.cuda, "cudnn": str(self.torch.backends.cudnn.version())}
        if self.device.type == "mps":
            versions["macos"] = platform.mac_ver()[0]
        return versions

    def blas(self) -> str | None:
        if self.device.type != "cpu":
            return None
        found = re.search(r"BLAS_INFO=(\w+)", self.torch.__config__.show())
        return found and found[1]

    def can_compile(self) -> bool:
        if self.device.type == "cuda":  # Triton builds its launchers with a C compiler
            triton = find_spec("triton") and self.torch.cuda.get_device_capability() >= (7, 0)
            return bool(triton and any(shutil.which(compiler) for compiler in ("cc", "gcc", "clang")))
        return any(shutil.which(compiler) for compiler in ("g++", "clang++"))

    def _gemm_s(self, dtype: str) -> float:
        """The quickest of a few products of 512 x 512, after two that warm up."""
        x = self.array(np.ones((512, 512), np.float32), dtype)
        samples = []
        for _ in range(5):
            start = time.perf_counter_ns()
            self.sync(x @ x)
            samples.append(time.perf_counter_ns() - start)
        return min(samples[2:]) / 1e9


def peak_resident_bytes() -> int | None:
    """The process's peak resident set, or None on systems that do not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
