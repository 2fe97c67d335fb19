"""Re-measure the tolerance table from both sides: `python -m bench.calibrate --help`.

From below: how much of the allowed error do correct subjects use? From above: how much does each known mistake that a
row is said to see? A limit is good where both are far from 1. Test with `pytest -m meta -k margins`.
"""

import argparse
import sys
import warnings

from hypothesis import settings
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import examples
from bench.subject import POLICIES, Subject, load
from bench.tolerances import TABLE
from impl import backend as backends

DESCRIPTION = (
    "Re-measure every tolerance from both sides: how much of the limit correct backends use, and how far beyond it the "
    "nearest known mistake is. With --seeds, count how often a correct backend fails on other examples."
)
ENOUGH = 1.5  # a margin below this needs its reason in the table


def main(arguments: list[str] | None = None) -> int:
    """Print both margins of every row, and the false alarms. 1 where a margin is short without a reason."""
    options = _parser().parse_args(arguments)
    try:
        names = [backends.resolve(name) for name in options.backend] or _found()
        subjects = [load(name) for name in names]
    except (backends.BackendError, ValueError) as error:
        print(f"bench.calibrate: {error}", file=sys.stderr)
        return 2
    examples.register()
    # Hypothesis binds a test to the profile loaded when its module is imported: hence here, and the imports below it.
    settings.load_profile("seeds" if options.seeds else options.profile)
    warnings.simplefilter("ignore")
    console = Console(width=None if sys.stdout.isatty() else 150)  # a log has room for the words
    if options.seeds:
        return _count_alarms(console, subjects, options)
    return _print_margins(console, subjects, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.calibrate", description=DESCRIPTION)
    parser.add_argument(
        "--backend", action="append", default=[], metavar="NAME", help="a correct subject; repeatable (all)"
    )
    parser.add_argument("--quantity", action="append", default=[], metavar="NAME", help="these rows only; repeatable")
    parser.add_argument("--profile", default="nanomark", choices=["nanomark", "deep"], help="12 or 50 examples a test")
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="count false alarms over N seeds instead")
    parser.add_argument("--first-seed", type=int, default=1, metavar="N", help="where to begin, to share the work")
    return parser


def _found() -> list[str]:
    return [name for name, state in backends.discover().items() if isinstance(state, backends.Found)]


def _rows(options) -> list[tuple[str, str]]:
    from bench.conformance.rows import CHECKS

    chosen = options.quantity or list(CHECKS)
    unknown = sorted(set(chosen) - set(CHECKS))
    if unknown:
        raise SystemExit(f"bench.calibrate: --quantity {unknown[0]} is unknown; try one of {', '.join(CHECKS)}")
    return [(quantity, policy) for quantity in chosen for policy in POLICIES]


def _print_margins(console: Console, subjects: list[Subject], options) -> int:
    from bench.margins import Margin, margin

    table = Table("quantity", "precision", "k", "cases", "open", "worst", "below", "above", "nearest mistake", "")
    for column in table.columns[:8]:  # only words may fold
        column.no_wrap = True
    short, killed, listed = 0, set(), set()
    for quantity, policy in track(_rows(options), "measuring", console=console):
        row: Margin = margin(subjects, quantity, policy)
        limit, (name, above) = TABLE[quantity, policy], row.above or ("none", None)
        listed |= set(row.mutants)
        killed |= {mutant for mutant, share in row.mutants.items() if share > 1}
        lacking = [
            side for side, size in (("below", row.below), ("above", above)) if size is not None and size < ENOUGH
        ]
        lacking += ["above"] if above is None else []
        remark = limit.why if lacking else ""
        short += bool(lacking and not limit.why)
        table.add_row(
            quantity, policy, f"{limit.k:g}", str(row.cases), str(row.inconclusive), _short(row.ratio),
            _short(row.below), _short(above), name, remark or (f"short {' and '.join(lacking)}" if lacking else ""),
        )  # fmt: skip
    console.print(table)
    console.print(f"mistakes caught: {len(killed)} of {len(listed)}; margins below {ENOUGH} without a reason: {short}")
    for name in sorted(listed - killed):
        console.print(f"not caught: {name}")
    return int(bool(short or listed - killed))


def _count_alarms(console: Console, subjects: list[Subject], options) -> int:
    from bench.margins import alarms

    rows, seeds = _rows(options), range(options.first_seed, options.first_seed + options.seeds)
    failed = []
    for number in track(seeds, "seeds", console=console):
        for quantity, policy in rows:
            for row in alarms(subjects, quantity, policy, number):
                failed.append(row)
                console.print(f"seed {number}: {row.subject} at {policy}: {quantity}[{row.part}] {row.reason}")
    names = ", ".join(subject.name for subject in subjects)
    console.print(f"false alarms: {len(failed)} in {len(seeds)} seeds, {len(rows)} rows, {names}")
    return int(bool(failed))


def _short(number: float | None) -> str:
    return "-" if number is None else f"{number:.3g}"


if __name__ == "__main__":
    sys.exit(main())
