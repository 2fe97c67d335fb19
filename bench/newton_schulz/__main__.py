"""The study's commands: measure, diverge, report.

`python -m bench.newton_schulz measure --backend mlx-cpu`
"""

import argparse
from pathlib import Path

from bench.newton_schulz.design import LARGE_SIZES, SIZES

DATA = Path("reports") / "findings" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.newton_schulz", description="Newton-Schulz by precision.")
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure", help="updates against float64")
    diverging = commands.add_parser("diverge", help="training runs with each norm and products")
    for command in (measuring, diverging):
        command.add_argument("--backend", required=True, metavar="NAME")
        command.add_argument("--out", type=Path, metavar="FILE", help="JSON; taken up again where it ended")
    sizes = " ".join(map(str, (*SIZES, *LARGE_SIZES)))
    measuring.add_argument("--sizes", type=int, nargs="+", metavar="N", help=f"of {sizes}; a CPU's: up to 2048")
    measuring.add_argument("--case-s", type=float, default=20.0, help="leave out what takes longer a call (20)")
    measuring.add_argument("--captured", type=Path, metavar="FILE", help="momentum that `diverge` left behind")
    diverging.add_argument("--quick", action="store_true", help="one low-rank problem, under a minute")
    diverging.add_argument("--size", choices=("small", "full"), help="full: depth 8 at 2048 tokens, a GPU's")
    diverging.add_argument("--steps", type=int, metavar="N", help="60; of the full size 200")
    diverging.add_argument("--runs", nargs="+", metavar="NAME", help="only these variants")
    diverging.add_argument("--captured", type=Path, metavar="FILE", help="where to leave momentum for `measure`")
    commands.add_parser("report", help="figure and tables from the committed data")
    arguments = parser.parse_args()
    try:
        globals()[f"_{arguments.command}"](arguments)
    except (ValueError, RuntimeError, OSError) as error:
        raise SystemExit(f"{parser.prog}: {error}") from None


def _measure(arguments) -> None:
    from bench.newton_schulz.measure import CAPTURED, measure

    backend = arguments.backend
    out = arguments.out or DATA / f"newton-schulz-{backend}.json"
    largest = SIZES if backend.endswith("-cpu") else (*SIZES, *LARGE_SIZES)
    sizes = tuple(sorted(arguments.sizes or largest))
    measure(backend, out, sizes, arguments.case_s, arguments.captured or CAPTURED)


def _diverge(arguments) -> None:
    from bench.newton_schulz.diverge import diverge
    from bench.newton_schulz.lowrank import low_rank
    from bench.newton_schulz.measure import CAPTURED

    name = "low-rank" if arguments.quick else "diverge"
    out = arguments.out or DATA / f"newton-schulz-{name}-{arguments.backend}.json"
    if arguments.quick:
        low_rank(arguments.backend, out)
        return
    size = arguments.size or ("small" if arguments.backend.endswith("-cpu") else "full")
    captured = arguments.captured or CAPTURED
    diverge(arguments.backend, out, size, arguments.steps, arguments.runs, captured)


def _report(arguments) -> None:
    from bench.newton_schulz.report import render

    for path in render(DATA):
        print(path)


if __name__ == "__main__":
    main()
