"""One backend's compiled training step beside another's: one recipe, two processes, turn about.

    python -m bench.versus torch-cuda mlx-cuda                   preset h100, Newton-Schulz in float32
    python -m bench.versus torch-cpu mlx-cpu --preset tiny       on this processor

Sides on one processor or GPU only: the one that waits is idle. Test with `pytest -m fast -k versus`.
"""

import argparse
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from statistics import median

import numpy as np

from bench import sides
from bench.measure import seconds
from impl import backend as backends
from impl.init import init
from impl.spec import Recipe
from impl.spec.presets import PRESETS, preset

WARMUP_ROUNDS = 3


def micro_batches_of(recipe: Recipe) -> list[tuple[np.ndarray, np.ndarray]]:  # A x ((B, T), (B, T))
    """A step's random tokens and targets."""
    shape = (recipe.accumulation(), 2, recipe.data.device_batch, recipe.model.sequence_len)
    return [tuple(pair) for pair in np.random.default_rng(0).integers(0, recipe.model.vocab_size, shape)]


def timed(action, backend) -> tuple[float, int]:
    """Seconds and peak bytes of an action and everything that it left running."""
    backend.sync()
    backend.reset_peak_memory()
    return seconds(lambda: (action(), backend.sync())), backend.peak_memory_bytes()


def step_of(backend, recipe: Recipe, precision: str) -> Callable[[], object]:
    """Our training step, compiled where that pays; it waits for its own results."""
    from bench.ours import Ours

    trainer = Ours(backend).trainer(recipe, init(recipe.model, 0), precision, compiled=True)
    micro_batches, hyper = micro_batches_of(recipe), recipe.schedule.at(0, 0.0)
    return lambda: trainer.step(micro_batches, hyper)


def serve(name: str, preset_name: str, precision: str, pipe: Connection) -> None:
    """One side in a process of its own: times a step for each message."""
    backend = backends.load(name)
    step = step_of(backend, preset(preset_name), precision)
    while pipe.recv():
        pipe.send(timed(step, backend))


def interleaved(names: list[str], preset_name: str, precision: str, rounds: int) -> dict[str, list[tuple[float, int]]]:
    """(seconds, peak bytes) of each backend's counted steps in rounds A B A B ..."""
    with sides.opened(serve, {name: (name, preset_name, precision) for name in names}) as pipes:
        return sides.turns(pipes, "step", rounds, WARMUP_ROUNDS)


def table(samples: dict[str, list[tuple[float, int]]], preset_name: str) -> str:
    """Each side's speed and memory, and how many times the first's tokens per second the second does."""
    tokens, lines = preset(preset_name).data.total_batch, []
    for name, taken in samples.items():
        step_s, peak_bytes = median(s for s, _ in taken), max(bytes_ or 0 for _, bytes_ in taken)
        lines.append(
            f"{name:<11}{tokens / step_s:>12,.0f} tokens/s  {step_s * 1e3:.1f} ms (median of {len(taken)}), "
            f"peak {peak_bytes / 1e9:.2f} GB"
        )
    first, second = ([s for s, _ in taken] for taken in samples.values())
    return "\n".join([*lines, f"{'ratio':<11}{sides.paired(second, first, digits=2, width=12)}"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.versus", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("backends", nargs=2, metavar="BACKEND", help="the second is measured by the first")
    parser.add_argument("--preset", default="h100", choices=PRESETS, help="(h100)")
    parser.add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"], help="(bfloat16)")
    parser.add_argument("--rounds", type=int, default=8, help="counted steps of each side (8)")
    options = parser.parse_args(arguments)
    if options.backends[0] == options.backends[1]:
        parser.error(f"{options.backends[0]} twice; name two backends")

    def measure() -> None:
        for name in options.backends:
            backends.load(name)
        print(table(interleaved(options.backends, options.preset, options.precision, options.rounds), options.preset))

    return sides.status(measure)


if __name__ == "__main__":
    sys.exit(main())
