"""Where it runs: the protocol of a backend, which ones this machine has, and what to install for the others.

A backend is a folder: `impl/<framework>/backend.py` has FRAMEWORK, INSTALL (its backends, each with the command that
brings it), `obstacle(name)` (why it cannot run here, or None) and `open_backend(name)`. It imports its framework only
in those two, so that asking for one backend never imports another's framework.
Test with `pytest -m fast -k backends`.
"""

import ctypes
import importlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

ORDER = ("mlx-metal", "torch-cuda", "mlx-cuda", "torch-mps", "torch-cpu", "mlx-cpu")
VARIABLE = "AUTORESEARCH_BACKEND"
HERE = Path(__file__).parent


class BackendError(RuntimeError):
    """A backend that was asked for is not there, or none is."""


class Backend(Protocol):
    """Moves arrays and waits; it computes nothing but the probe behind `default_policy`."""

    name: str  # one of ORDER
    framework: str  # the folder in impl/
    memory_method: str  # how peak_memory_bytes is read

    def array(self, values: np.ndarray, dtype: str | None = None) -> Any:
        """`values` on the device, as `dtype` ("float32", "bfloat16", "int32", ...) or as they are."""
        ...

    def numpy(self, x: Any) -> np.ndarray:
        """`x` on the host; bfloat16 and float16 become float32."""
        ...

    def sync(self, *trees: Any) -> None:
        """Wait until everything in `trees` (arrays in lists, tuples and dicts) has been computed."""
        ...

    def peak_memory_bytes(self) -> int | None:
        """The highest use since the last reset, by `memory_method`; None where it cannot be read."""
        ...

    def reset_peak_memory(self) -> None:
        """Start a new peak; without effect where the method counts from the start of the process."""
        ...

    def default_policy(self) -> str:
        """What precision "auto" means: bfloat16 on a GPU, the faster of bfloat16 and float32 in a GEMM on a CPU."""
        ...

    def versions(self) -> dict[str, str]:
        """Versions of the framework and of what it runs on."""
        ...

    def blas(self) -> str | None:
        """The library behind float32 products on the CPU; None where unknown or not used."""
        ...

    def can_compile(self) -> bool:
        """Whether the framework's compiler can run here; it needs a C or C++ compiler."""
        ...


@dataclass(frozen=True)
class Found:
    """A backend that can be loaded."""

    name: str
    framework: str


@dataclass(frozen=True)
class Missing:
    """A backend that cannot: why, and the command that brings it."""

    name: str
    reason: str
    install: str


def discover() -> dict[str, Found | Missing]:
    """Every backend in ORDER, looked for anew; what one framework breaks does not hide the others."""
    return {name: _state(name, module) for name, module in _declared().items()}


def resolve(asked: str | None = None) -> str:
    """The backend's name for what was asked: a name, "mlx", "mps", "auto", or None for the variable's choice.

    Looks no further than the first one found. Raises BackendError, naming the available ones and the install command,
    where there is none.
    """
    asked = asked or os.environ.get(VARIABLE) or "auto"
    declared = _declared()
    mlx = [name for name in declared if name.startswith("mlx-")]
    wanted = {"auto": list(declared), "mlx": mlx, "mps": ["torch-mps"]}
    choices = [name for name in wanted.get(asked, [asked]) if name in declared]
    for name in choices:
        if isinstance(_state(name, declared[name]), Found):
            return name
    raise BackendError(_absence(asked, choices, discover()))


def load(name: str | None = None) -> Backend:
    """Open the backend that `resolve` names. Raises BackendError as it does."""
    name = resolve(name)
    return _declared()[name].open_backend(name)


def _declared() -> dict[str, Any]:
    """The module that answers for each backend, in ORDER; importing it imports no framework."""
    modules = [importlib.import_module(f"impl.{path.parent.name}.backend") for path in HERE.glob("*/backend.py")]
    owner = {name: module for module in modules for name in module.INSTALL}
    return {name: owner[name] for name in sorted(owner, key=lambda name: (*ORDER, name).index(name))}


def _state(name: str, module: Any) -> Found | Missing:
    """Only the framework's own absence or failure makes a backend missing: a mistake of ours must raise."""
    try:
        reason = module.obstacle(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("impl"):
            raise
        reason = f"{error.name} is not installed"
    except (ImportError, OSError) as error:  # a shared library that does not load
        reason = f"{module.FRAMEWORK} does not import: {str(error).splitlines()[0]}"
    if reason is None:
        return Found(name, module.FRAMEWORK)
    return Missing(name, reason, module.INSTALL[name])


def _absence(asked: str, choices: list[str], found: dict[str, Found | Missing]) -> str:
    available = ", ".join(name for name, state in found.items() if isinstance(state, Found)) or "none"
    if not choices:
        return f"backend {asked!r} is unknown; known: auto, mlx, mps, {', '.join(found)}; available: {available}"
    missing = [state for name in choices if isinstance(state := found[name], Missing)]
    why = "; ".join(f"{state.name}: {state.reason}, try `{state.install}`" for state in missing)
    return f"backend {asked!r} is not there; available: {available}; {why}"


@lru_cache
def _told(name: str) -> None:
    print(f"{name}: no compiler found, so everything runs uncompiled", file=sys.stderr)


def compiles(backend: Backend) -> bool:
    """Whether the backend's compiler can run; says so once, in one line, where it cannot."""
    if not backend.can_compile():
        _told(backend.name)
        return False
    return True


def keep_freed_memory() -> None:
    """Tell glibc to reuse what it freed: by default large arrays are mapped and zeroed anew, page by page.

    Measured on two cores: a third of an eager step's time with PyTorch, at depth 4, width 256, 4096 tokens. With MLX
    norms of (4096, 256) take 1.3 ms instead of 3.7 to 3.9 in `pytest -m bench`, and a copy goes at 18 GB/s instead
    of 3.4 in `python -m bench.ceiling --again`.
    """
    mmap_max, trim_threshold = -4, -1  # of malloc.h
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: the frameworks have no type for it in common, only these words."""
    words = ("out of memory", "allocate", "insufficient memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)
