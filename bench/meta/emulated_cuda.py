"""CUDA kernels of impl/mlx on a CPU: their own text, compiled by a C++ compiler against emulated_cuda.h.

Outputs begin as NaN, and around every array lies memory that must not count: a read of it is NaN, or -1, and a write is
a Fault, as are misaligned packs, indices outside an array and threads that wait for others in vain. What a GPU alone
shows: its own rounding of exp2 and the like, additions that should be atomic, registers, speed.
Test with `pytest -m meta bench/meta/test_cuda_kernels.py`.
"""

import ctypes
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

TYPES = {"bfloat16": "__nv_bfloat16", "float32": "float", "int32": "int32_t", "uint32": "uint32_t", "int64": "int64_t"}
STORED = {"bfloat16": np.uint16, "float32": np.float32}  # of what kernels write
FAULTS = ("", "threads wait for others that never come", "a misaligned address", "an index outside its array")
GUARD_BYTES = 2**16  # on either side of an array
POISON, GUARD = 0xFF, 0xA5  # bytes: NaN in every float, -1 in integers; what no kernel writes
# The handlers of the compiler's own checks are the header's, hence no library but those named. CUDA's indices are
# unsigned and its pragmas its own; g++ does not see that two loops break off at the same element.
CHECKS = ["-fsanitize=alignment,bounds", "-nodefaultlibs"]
WARNINGS = ["-Wall", "-Werror", "-Wno-sign-compare", "-Wno-unknown-pragmas", "-Wno-maybe-uninitialized"]
COMPILE = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", *CHECKS, *WARNINGS]


class Fault(AssertionError):
    """A kernel did what a GPU forbids or leaves undefined."""


def obstacle() -> str | None:
    """Why nothing can be emulated here, or None."""
    if sys.platform != "linux":
        return "kernels are emulated with glibc's contexts, on Linux"
    return None if shutil.which("g++") else "kernels are emulated by what g++ compiles; install it"


class Emulator:
    """Stands in for `impl.mlx.cuda`'s functions; remembers what was launched.

    backwards: blocks, warps and lanes run last to first. arch: of the GPU, as CUDA writes it.
    """

    def __init__(self, folder: Path, *, backwards: bool = False, arch: int = 900):
        self.folder, self.backwards, self.arch = folder, backwards, arch
        self.launches: list[tuple[str, dict[str, int]]] = []  # names and constants
        self.strided: set[tuple[str, str]] = set()  # kernels and those inputs that did not lie in a row

    def serves(self, dtype) -> bool:
        return _name(dtype) == "bfloat16"

    def launch(
        self, name, source, inputs, outputs, constants, blocks, threads, *, strided=False, init_value=None
    ):  # -> list of MLX arrays
        """As `impl.mlx.cuda.launch`. Raises Fault."""
        import mlx.core as mx

        assert init_value in (None, 0)  # another would have to be written in each output's type
        inputs = {key: x if isinstance(x, mx.array) else mx.array(x, mx.float32) for key, x in inputs.items()}
        read = {key: _memory(x) for key, x in inputs.items()}
        written = {key: np.zeros(shape, STORED[_name(dtype)]) for key, (shape, dtype) in outputs.items()}
        types = {key: _name(x.dtype) for key, x in inputs.items()} | {k: _name(d) for k, (_, d) in outputs.items()}
        self.launches.append((name, dict(constants)))
        self.strided |= {(name, key) for key, x in read.items() if not x.flags.c_contiguous}
        got = self.run(name, source, types, read, written, constants, blocks, threads, strided, init_value)
        arrays = (mx.array(got[key]) for key in outputs)
        return [x.view(mx.bfloat16) if x.dtype == mx.uint16 else x for x in arrays]

    def run(self, name, source, types, read, written, constants, blocks, threads, strided=False, init_value=None):
        """What the kernel leaves in arrays like `written`, from NumPy's `read`; bfloat16 as its bits. Raises Fault."""
        if not strided:
            read = {key: np.ascontiguousarray(x) for key, x in read.items()}
        guarded = {key: Guarded(x, POISON, filled=True) for key, x in read.items()}
        guarded |= {key: Guarded(x, GUARD, filled=init_value is not None) for key, x in written.items()}
        handed = {key: (f"{'const ' * (key in read)}{TYPES[types[key]]}*", x.address) for key, x in guarded.items()}
        strides = {
            f"{key}_strides": np.array(x.strides, np.int64) // x.itemsize
            for key, x in read.items()
            if x.ndim and f"{key}_strides" in source
        }
        handed |= {key: ("const int64_t*", x.ctypes.data) for key, x in strides.items()}

        call = self._compiled(_program(source, {key: kind for key, (kind, _) in handed.items()}, constants))
        pointers = (ctypes.c_void_p * len(handed))(*(address for _, address in handed.values()))
        fault = call(pointers, blocks, threads, self.backwards)
        if fault:
            raise Fault(f"{name}: {FAULTS[fault]}")
        for key, x in guarded.items():
            if not x.kept(key in written):
                raise Fault(f"{name} writes outside {key}" if key in written else f"{name} writes into its input {key}")
        return {key: guarded[key].view.copy() for key in written}

    def _compiled(self, program: str) -> Callable[..., int]:
        text = f"#define __CUDA_ARCH__ {self.arch}\n{program}\n" if "__CUDA_ARCH__" in program else program
        library = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.so"
        if not library.exists():
            command = [*COMPILE, f"-I{Path(__file__).parent}", "-o", str(library), "-xc++", "-", "-lm", "-lgcc", "-lc"]
            done = subprocess.run(command, input=text, text=True, capture_output=True)
            if done.returncode:
                raise Fault(f"the text does not compile: {done.stderr}")
        return _loaded(library)


class Guarded:
    """A copy of an array, strides included, with guards on both sides and between its elements.

    Values that are not `filled` in are poison.
    """

    def __init__(self, values: np.ndarray, guard: int, *, filled: bool):
        steps = [(n - 1) * step for n, step in zip(values.shape, values.strides, strict=True)]
        before, after = -sum(min(0, step) for step in steps), sum(max(0, step) for step in steps) + values.itemsize
        self.bytes = np.full(before + after + 2 * GUARD_BYTES + 16, guard, np.uint8)
        base, self.start = self.bytes.ctypes.data, GUARD_BYTES + before
        self.start += -(base + self.start) % 16  # a GPU aligns what it allocates by more; the widest pack needs this
        self.address = base + self.start
        self.view = np.ndarray(values.shape, values.dtype, self.bytes, self.start, values.strides)
        if filled:
            self.view[...] = values
        else:
            self.bytes[self.start : self.start + values.nbytes] = POISON
        self.original = self.bytes.copy()

    def kept(self, written: bool) -> bool:
        """Whether nothing has changed, but for the elements where those are `written`."""
        if written:
            np.ndarray(self.view.shape, self.view.dtype, self.original, self.start, self.view.strides)[...] = self.view
        return np.array_equal(self.bytes, self.original)


def _program(source: str, handed: dict[str, str], constants: dict[str, int]) -> str:
    """A translation unit around a kernel's text, nearly as MLX builds one around it.

    Constants are no template arguments: in templates g++ forgets which section an array is for.
    """
    parameters = ", ".join(f"{kind} {name}" for name, kind in handed.items())
    given = ", ".join(f"static_cast<{kind}>(arrays[{i}])" for i, kind in enumerate(handed.values()))
    lines = (
        '#include "emulated_cuda.h"',
        "namespace {",
        f"void kernel({parameters}) {{",
        *(f"constexpr int {name} = {value};" for name, value in constants.items()),
        source,
        "}",
        f"void kernel_thread() {{ kernel({given}); }}",
        "}",
    )
    return "\n".join(lines)


@cache
def _loaded(library: Path) -> Callable[..., int]:
    function = ctypes.CDLL(str(library)).launch
    function.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_bool)
    return function


def _name(dtype) -> str:
    return str(dtype).rpartition(".")[2]


def _memory(x) -> np.ndarray:
    """An MLX array where it lies, with its strides; bfloat16 as its bits."""
    import mlx.core as mx

    return np.asarray(x.view(mx.uint16) if x.dtype == mx.bfloat16 else x)
