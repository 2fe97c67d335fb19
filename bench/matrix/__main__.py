"""`python -m bench.matrix`: the suite and raw facts on every release of a framework, and what moved between them.

Test with `pytest -m meta bench/meta/test_matrix.py`.
"""

import argparse
import platform
import sys
import time
from functools import partial
from pathlib import Path

from rich.console import Console

from bench import hardware, identity
from bench.matrix import record, releases, table
from bench.matrix.record import Machine, Matrix, MatrixError

FOLDER = releases.ROOT / "reports" / "releases"
BACKENDS = ("mlx-cpu", "mlx-metal", "torch-cpu", "torch-mps", "torch-cuda")  # those that tox.ini's environments bring


def main(arguments: list[str] | None = None, console: Console | None = None) -> int:
    """Exit status: 0, 1 where a release did not install or a test failed on it, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    out = console or Console(highlight=False)
    try:
        matrix = _stored(options) if options.render else _measured(options, out)
        record.write(_page(options), table.markdown(matrix, options.factor))
    except MatrixError as error:
        print(error, file=sys.stderr)
        return 2
    out.print(table.terminal(matrix, options.all, options.factor))
    for (before, after), moves in table.changed(matrix, options.factor).items():
        out.print(f"{before} -> {after}: {len(moves)} quantities moved", style="bold")
        for step in moves:
            out.print(f"  {table.told(step)}", markup=False, soft_wrap=True)
    out.print(f"{_page(options)}", markup=False, soft_wrap=True)
    return int(any(release.failures for release in matrix.releases))


def _measured(options, console: Console) -> Matrix:
    """The record with every release asked for that it lacked, saved after each."""
    declared = releases.declared(options.backend.split("-")[0])
    asked = options.release or declared
    unknown = [release for release in asked if release not in declared]
    if unknown:
        raise MatrixError(f"--release {unknown[0]} is not in tox.ini; try one of {', '.join(declared)}")
    matrix = _begun(options, asked)
    tests = releases.asked(options.select, options.keyword)
    todo = [release for release in asked if options.again or not _finished(matrix, release, tests)]
    if todo:
        releases.require_tox()
    for i, release in enumerate(todo, start=1):
        environment = releases.Environment(
            options.backend, release, options.workdir.resolve(), options.select, options.keyword
        )
        start_s, label = time.monotonic(), f"{environment.name} ({i} of {len(todo)})"
        with console.status(label) as status:
            found = environment.measured(_commit(), partial(_say, status, label))
        matrix = record.add(found, matrix, _file(options), options.workdir / f"{options.backend}.lock")
        outcome = "not installed" if "install" in found.failures else f"{found.passed} passed, {found.failed} failed"
        console.print(f"{label}: {outcome}, {time.monotonic() - start_s:.0f} s", markup=False, soft_wrap=True)
        for what, reason in found.failures.items():
            console.print(f"  {what}: {reason}", markup=False, soft_wrap=True)
    return matrix


def _say(status, label: str, step: str) -> None:
    status.update(f"{label}: {step}")


def _begun(options, asked: list[str]) -> Matrix:
    """The record as it stands. Raises MatrixError where it was measured on another machine."""
    here, path = _machine(options.backend), _file(options)
    if not path.exists():
        return Matrix(backend=options.backend, machine=here)
    matrix = record.load(path)
    if matrix.machine != here and not (options.again and set(matrix.names()) <= set(asked)):
        fields = [name for name in type(here).model_fields if getattr(here, name) != getattr(matrix.machine, name)]
        raise MatrixError(
            f"{path} was measured elsewhere ({', '.join(fields)} differ); releases compare on one machine only: "
            f"name another --folder, or repeat them all with --again"
        )
    return matrix.model_copy(update={"machine": here})


def _finished(matrix: Matrix, release: str, select: str) -> bool:
    """What did not install, stopped in between or was asked for other tests is run again."""
    found = [r for r in matrix.releases if r.release == release and r.select == select]
    return bool(found) and not {"install", "suite", "facts"} & set(found[0].failures)


def _machine(backend: str) -> Machine:
    return Machine(
        chip=hardware.detect(backend).chip,
        system=f"{platform.system()} {platform.machine()}",
        python=".".join(platform.python_version_tuple()[:2]),
        environment=hardware.environment(),
    )


def _commit() -> str | None:
    """The checkout's commit; with a plus where tracked files differ from it."""
    sha, dirty = identity.commit()
    return sha and f"{sha}{'+' if dirty else ''}"


def _stored(options) -> Matrix:
    return record.load(_file(options))


def _file(options) -> Path:
    return options.folder / f"{options.backend}.json"


def _page(options) -> Path:
    return options.folder / f"{options.backend}.md"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.matrix",
        description="Run the conformance suite, the precision fingerprint and raw facts on every release of a "
        "framework, each in its tox environment, and show what moved from one release to the next.",
        epilog="What is kept: FOLDER/BACKEND.json with every number, and BACKEND.md, a page made from it. A release "
        "that the record holds is not run again; one that did not install is recorded with the reason and tried again "
        "next time. A release takes some two minutes of two idle cores. "
        "Exit status: 0; 1 where a release did not install or a test failed on it; 2 wrong call. Examples: "
        "`python -m bench.matrix`; `python -m bench.matrix --backend torch-cpu --release 2.13.0`; "
        "`python -m bench.matrix --render --all`.",
    )
    parser.add_argument("--backend", choices=BACKENDS, default="mlx-cpu", help="what runs (mlx-cpu)")
    parser.add_argument(
        "--release", action="append", metavar="X.Y.Z", help="only this one; repeatable (all of tox.ini)"
    )
    parser.add_argument("--render", action="store_true", help="table and page from the record; runs nothing")
    parser.add_argument("--all", action="store_true", help="show quantities that never moved, too")
    parser.add_argument("--again", action="store_true", help="run releases that the record already holds")
    parser.add_argument("--select", default=record.SELECT, metavar="EXPR", help=f"pytest -m EXPR ({record.SELECT})")
    parser.add_argument("-k", dest="keyword", metavar="EXPR", help="only these tests, as pytest's -k")
    parser.add_argument(
        "--factor", type=_factor, default=table.FACTOR, help=f"an error changed by this ({table.FACTOR})"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the record is (reports/releases)")
    parser.add_argument("--workdir", type=Path, default=releases.ROOT / ".tox", help="tox's environments (.tox)")
    return parser


def _factor(text: str) -> float:
    factor = float(text)
    if not factor > 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 1; try {table.FACTOR}")
    return factor


if __name__ == "__main__":
    sys.exit(main())
