"""mlx-cpu's float32 training step with a fast BLAS and with the reference BLAS that MLX's Linux wheel bundles.

    python -m bench.blas                      OpenBLAS as the loader finds it
    python -m bench.blas --library PATH       the one at this path

Depth 4, width 256, 512 tokens, vocabulary 8192; test with `pytest -m fast -k blas`.
"""

import argparse
import ctypes
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from bench import sides
from bench.measure import seconds
from bench.versus import step_of
from impl import backend as backends
from impl.spec import RECIPES, Data, Recipe
from impl.spec.model import sized

SIDES = ("fast", "bundled")
REFERENCE = "reference"  # what `Backend.blas` calls the bundled one


def recipe_of(rows: int) -> Recipe:
    """The model of preset `cpu` with few rows a step: the reference BLAS takes a second for each 30 to 100 tokens."""
    model = sized(4, sequence_len=512)
    return replace(
        RECIPES["autoresearch"], model=model, data=Data(total_batch=rows * model.sequence_len, device_batch=rows)
    )


def serve(side: str, library: Path | None, rows: int, pipe: Connection) -> None:
    """One side in a process of its own: says which BLAS it runs, then times one step for each message."""
    if side == "bundled":
        import mlx.core  # noqa: F401 - before the backend brings a faster BLAS: the first import binds for good
    elif library:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    backend = backends.load("mlx-cpu")
    pipe.send(backend.blas())
    step = step_of(backend, recipe_of(rows), "float32")
    while pipe.recv():
        pipe.send(seconds(step))


def measured(library: Path | None, rows: int, rounds: int) -> tuple[dict[str, str], dict[str, list[float]]]:
    """The BLAS of each side, and its seconds a step in rounds A B A B ... after one that does not count.

    Raises RuntimeError where the fast side has no fast BLAS, before anything is timed.
    """
    with sides.opened(serve, {side: (side, library, rows) for side in SIDES}) as pipes:
        blas = {side: pipe.recv() for side, pipe in pipes.items()}
        if fault := confusion(blas):
            raise RuntimeError(fault)
        return blas, sides.turns(pipes, "step", rounds, warmup=1)


def confusion(blas: dict[str, str]) -> str | None:
    """Why the sides are not what they are called, or None."""
    if REFERENCE in blas["fast"]:
        return f"fast side runs {blas['fast']}; install libopenblas0-pthread, or pass --library PATH to its .so.0"
    if REFERENCE not in blas["bundled"]:
        return f"bundled side runs {blas['bundled']}; unset LD_PRELOAD, or run where MLX bundles its BLAS (Linux)"
    return None


def table(blas: dict[str, str], samples: dict[str, list[float]], rows: int) -> str:
    """Each side's tokens per second and BLAS, and the ratio of the pairs."""
    tokens = rows * recipe_of(rows).model.sequence_len
    lines = [
        f"{side:<9}{tokens / median(samples[side]):>9,.0f} tokens/s  (median of {len(samples[side])})  {blas[side]}"
        for side in SIDES
    ]
    ratio = sides.paired(samples["fast"], samples["bundled"], digits=1, width=9)
    return "\n".join([*lines, f"ratio    {ratio}"])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.blas", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, help="an OpenBLAS that the loader does not find by itself")
    parser.add_argument("--rows", type=int, default=2, help="rows of 512 tokens a step (2)")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds of each side (3)")
    arguments = parser.parse_args()
    if arguments.library and not arguments.library.is_file():
        parser.error(f"--library {arguments.library} is not there; name the .so.0 of an OpenBLAS")
    try:
        blas, samples = measured(arguments.library, arguments.rows, arguments.rounds)
    except (RuntimeError, backends.BackendError, EOFError) as error:
        sys.exit(str(error) or "one side died; its traceback is above")
    print(table(blas, samples, arguments.rows))


if __name__ == "__main__":
    main()
