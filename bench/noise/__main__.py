"""The study's command line: train, take the spread apart, say what can be told from how many runs.

`python -m bench.noise --help`; test with `pytest -m meta bench/meta/test_noise.py`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from bench.noise import figure, findings, study
from bench.page import filled
from bench.training.order import Order
from bench.training.score import Job
from impl import backend as backends
from impl.data import progress as preparation
from impl.data.errors import DataError
from impl.data.prepare import prepare
from impl.spec import PRESETS

OUT = Path("runs") / "noise"
PAGE = Path("reports") / "findings" / "noise.md"
COMMITTED = PAGE.parent / "data"
LEAST_RUNS = 2  # of one there is no spread


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, 2 for a wrong call, 130 where it was interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.noise",
        description="How much of val_bpb's spread comes from the seed, kernels that do not repeat, the schedule that "
        "follows the clock, and the text that happens to be scored; and how many runs tell a difference.",
        epilog="The same command goes on where it was interrupted, and with more --runs adds to what is there.",
    )
    parser.add_argument("--backend", action="append", metavar="NAME", help="repeatable; default: the best that is here")
    parser.add_argument("--preset", default="tiny", choices=PRESETS, help="sizes (tiny)")
    parser.add_argument("--seconds", type=float, default=20.0, help="timed seconds of training a run (20)")
    parser.add_argument("--runs", type=int, default=10, metavar="N", help="of each of three to four kinds (10)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"of the data ({OUT})")
    parser.add_argument("--page", action="store_true", help=f"measure nothing; {PAGE} anew from the committed data")
    options = parser.parse_args(arguments)
    try:
        if options.page:
            render(PAGE, COMMITTED)
            return 0
        if options.runs < LEAST_RUNS:
            raise ValueError(f"--runs {options.runs} must be at least {LEAST_RUNS}; try 10")
        for name in dict.fromkeys(backends.resolve(name) for name in options.backend or [None]):
            _measure(name, options)
        found = findings.studies(options.out)
    except (backends.BackendError, DataError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    for make in findings.TABLES.values():
        print(make(found), end="\n\n")
    _draw(found, options.out / "noise.svg")
    return 0


def render(page: Path, data: Path) -> None:
    """A page's tables and figure anew. Raises ValueError for a mark in it that names no table."""
    found = findings.studies(data)
    tables = {name: partial(make, found) for name, make in findings.TABLES.items()}
    page.write_text(filled(page.read_text("utf-8"), tables), "utf-8")
    print(page)
    _draw(found, page.with_suffix(".svg"))


def _draw(found: Sequence[findings.Study], path: Path) -> None:
    try:
        figure.draw(found).save(path)
    except ModuleNotFoundError as error:
        print(f"no figure: {error.name} is not installed, try `pip install altair vl-convert-python`")
    else:
        print(path)


def _measure(name: str, options) -> None:
    precision = _precision(study.path_of(options.out, name, options.preset))
    order = Order(backend=name, preset=options.preset, budget_s=options.seconds, precision=precision)
    job = Job.of(order)
    with preparation.shown() as report:
        prepared = prepare(order.data, job.recipe.model.vocab_size, job.recipe.data, progress=report)
    with Progress(console=Console(stderr=True)) as progress:
        study.study(job, prepared, options.out, options.runs, progress)


def _precision(path: Path) -> str | None:
    """What an interrupted study began with: on a CPU the default hangs on a timing."""
    return json.loads(path.read_text())["policy"] if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
