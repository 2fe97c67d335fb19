"""Train on several data sets, with several settings and seeds, and say what came out: `python -m bench.sweep --help`.

Test with `pytest -m meta bench/meta/test_sweep.py`.
"""

import argparse
import sys
from pathlib import Path

from bench.subject import POLICIES
from bench.sweep import figure, plan, runs, table
from impl import backend as backends
from impl.data import atomic
from impl.data.errors import DataError
from impl.spec import PRESETS

OUT = Path("runs") / "sweep"


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, 1 where a run has no score, 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.sweep",
        description="Train on data sets, with lists of settings and several seeds; report bits per byte and gains.",
        epilog="The same command again goes on where it was interrupted: runs whose reports are in the folder are not "
        "run again. `python -m bench.watch FOLDER` shows the run that goes on.",
    )
    parser.add_argument("--data", required=True, metavar="A,B", help="names or folders, as for `pytest -m slow --data`")
    parser.add_argument("--preset", required=True, choices=PRESETS, help="sizes")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help=f"from {plan.FIRST_SEED} on; default: 3")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=V1,V2", help="repeatable: all combinations")
    parser.add_argument("--budget-s", type=float, metavar="SECONDS", help="timed training seconds a run (300)")
    parser.add_argument("--backend", metavar="NAME", help="default: the best that is here")
    parser.add_argument("--precision", choices=POLICIES, help="default: the preset's")
    parser.add_argument("--recipe", default="autoresearch", metavar="NAME", help="what to compute (autoresearch)")
    parser.add_argument("--report", type=Path, default=OUT, metavar="DIR", help=f"of reports and page ({OUT})")
    options = parser.parse_args(arguments)
    try:
        if options.seeds < 1:
            raise ValueError(f"--seeds {options.seeds} must be at least 1; try 3")
        data = [name for name in dict.fromkeys(options.data.split(",")) if name]
        if not data:
            raise ValueError(f"--data={options.data} names no data set; try --data=sotu-v1")
        shared = {name: getattr(options, name) for name in ("recipe", "preset", "budget_s")}
        backend = backends.resolve(options.backend)
        precision = options.precision or _precision(options.preset, backend)
        cells = plan.cells(data, options.set, options.seeds, backend=backend, precision=precision, **shared)
    except (backends.BackendError, DataError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        records, faults = runs.run(cells, options.report, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    budget_s = cells[0].order.build(options.preset).schedule.budget_s
    title = f"Sweep: {options.recipe}, preset {options.preset}, {backend}, {precision}, {budget_s:g} s"
    _report(table.rows(cells, records), title, options.report)
    return int(bool(faults))


def _precision(preset: str, backend: str) -> str:
    """Chosen once for all runs: on a CPU it hangs on a timing."""
    chosen = PRESETS[preset].precision
    return backends.load(backend).default_policy() if chosen == "auto" else chosen


def _report(rows: list[table.Row], title: str, folder: Path) -> None:
    lines = table.markdown(rows, title)
    print("\n".join(lines))
    try:
        figure.draw(rows).save(folder / "sweep.svg")
        lines += ["![bits per byte, and gains](sweep.svg)", ""]
    except ModuleNotFoundError as error:
        print(f"no figure: {error.name} is not installed, try `pip install altair vl-convert-python`")
    with atomic.replacing(folder / "sweep.md") as temporary:
        temporary.write_text("\n".join(lines))
    print(folder / "sweep.md")


if __name__ == "__main__":
    sys.exit(main())
