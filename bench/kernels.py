"""Where a training step's time goes on an NVIDIA GPU: its kernels by kind, beside another backend's.

    python -m bench.kernels torch-cuda mlx-cuda            preset h100
    python -m bench.kernels mlx-cuda --names 40            and its longest kernels by name

PyTorch's profiler sees every kernel of its process, MLX's too, so it must be installed for either. Kernels that run at
the same time count twice: the sum may exceed the step. Test with `pytest -m fast -k kernels`.
"""

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from multiprocessing.connection import Connection

from rich.console import Console
from rich.table import Table

from bench import sides
from bench.measure import seconds
from bench.versus import step_of
from impl import backend as backends
from impl.spec.presets import PRESETS, preset

WARMUP_STEPS = 3
# The first that a kernel's name holds is its kind. Fused kernels are named after all that they hold.
KINDS = {
    "norms": r"rms_norm",
    "attention": r"flash|cudnn|sdpa|fmha",
    "products, with the MLP's activation": r"nvjet|cutlass|gemm|splitK|\b_product\b|IMaximum|OSquare|relu",
    "rotation and norm of heads": r"rotate_and_norm|^_back$",
    "cross-entropy": r"^_row$|custom_kernel_cross_entropy|Tanh|[IO]Exp[A-Z]|IEqual|row_reduce|gather_axis|ILogA",
    "embeddings": r"scatter|gather|embedding|take_rows|add_rows",
    "scaled sums' gradients": r"gemv|custom_kernel_scaled",
    "copies": r"copy|Memcpy|Memset|custom_kernel_joined",
}
REST = "other element-wise, optimizer"


def kind(name: str) -> str:
    """What a kernel of this name belongs to."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), REST)


def by_kind(kernels: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Seconds of each kind, in the order of KINDS, from (name, seconds) of every kernel."""
    total_s = dict.fromkeys((*KINDS, REST), 0.0)
    for name, taken_s in kernels:
        total_s[kind(name)] += taken_s
    return total_s


def serve(name: str, preset_name: str, pipe: Connection) -> None:
    """One backend in a process of its own: the (name, seconds) of every kernel of one step, and the step's seconds."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    step = step_of(backends.load(name), preset(preset_name), "bfloat16")
    for _ in range(WARMUP_STEPS):
        step()
    torch.zeros(1, device="cuda")  # the profiler follows the device from here on
    while pipe.recv():
        step_s = seconds(step)
        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            step()
        on_device = (e for e in profiled.events() or () if e.device_type.name == "CUDA")
        pipe.send(([(e.name, e.time_range.elapsed_us() / 1e6) for e in on_device], step_s))


def table(found: dict[str, tuple[list[tuple[str, float]], float]]) -> Table:
    """Milliseconds by kind, a column for each backend, the whole step last."""
    shown = Table("kind", *found)
    columns = [by_kind(kernels) for kernels, _ in found.values()]
    for name in (*KINDS, REST):
        shown.add_row(name, *(f"{1e3 * column[name]:.1f} ms" for column in columns))
    shown.add_row("sum of kernels", *(f"{1e3 * sum(column.values()):.1f} ms" for column in columns))
    shown.add_row("step", *(f"{1e3 * step_s:.1f} ms" for _, step_s in found.values()))
    return shown


def longest(kernels: Iterable[tuple[str, float]], count: int) -> list[str]:
    """A line for each of the kernels that took most in all."""
    total: defaultdict[str, float] = defaultdict(float)
    calls: Counter[str] = Counter()
    for name, taken_s in kernels:
        total[name] += taken_s
        calls[name] += 1
    most = sorted(total.items(), key=lambda item: -item[1])[:count]
    return [f"{1e3 * taken_s:9.2f} ms {calls[name]:6d} x  {name[:140]}" for name, taken_s in most]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.kernels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("backends", nargs="+", metavar="BACKEND", help="torch-cuda, mlx-cuda")
    parser.add_argument("--preset", default="h100", choices=PRESETS, help="(h100)")
    parser.add_argument("--names", type=int, default=0, metavar="N", help="the N longest kernels by name, too")
    options = parser.parse_args(arguments)
    if other := [name for name in options.backends if not name.endswith("-cuda")]:
        parser.error(f"{other[0]} runs no kernels that can be seen here; name torch-cuda or mlx-cuda")

    def measure() -> None:
        found = {}
        for name in options.backends:
            backends.load(name)
            with sides.opened(serve, {name: (name, options.preset)}) as pipes:
                found[name] = sides.turns(pipes, "step", rounds=1, warmup=0)[name][0]
        console = Console(highlight=False)
        console.print(table(found))
        for name in found if options.names else ():
            lines = longest(found[name][0], options.names)
            console.print(f"\n{name}", *lines, sep="\n", markup=False, soft_wrap=True)

    return sides.status(measure)


if __name__ == "__main__":
    sys.exit(main())
