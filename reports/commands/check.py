"""`python -m reports check`: compute again whatever follows from a report and say which part fails.

Parts are schema (types, fields, size), arithmetic (hashes, budget, schedule, bytes, tokens, the file's name and folder)
and plausibility (chip, peaks, power, score; loss and score by tokens among the committed reports of the same hashes,
speed among those of the chip, runs handed in twice; text that no run writes). Verdicts: accepted; pending, where a
person must look (an unknown chip, an outlier, a recipe that this checkout does not have); rejected. Exit status: 0
nothing rejected, 1 something rejected, 2 wrong call.

    python -m reports check reports/data
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports import derived
from reports.check import ACCEPTED, PENDING, REJECTED, Verdict, check_and_read
from reports.file import reports_in
from reports.record import Record

HELP = "compute again whatever follows from a report"
STYLES = {ACCEPTED: "green", PENDING: "yellow", REJECTED: "bold red"}


def add(parser: ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("path", nargs="+", type=Path, help="a report, or a folder searched for *.json")
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")


def run(options: Namespace) -> int:
    """Print the verdict on each file."""
    files = []
    for path in options.path:
        found = reports_in(path) if path.is_dir() else [path]
        if not found or not path.exists():
            print(f"{path}: no report there; give a .json file or a folder that holds some", file=sys.stderr)
            return 2
        files += found
    checked = [check_and_read(file) for file in files]
    verdicts = [verdict for verdict, _ in checked]
    if options.json:
        print(json.dumps([{**asdict(v), "verdict": v.name} for v in verdicts], indent=1))
    else:
        _show(checked, Console(highlight=False))
    return int(any(v.name == REJECTED for v in verdicts))


def _show(checked: list[tuple[Verdict, Record | None]], console: Console) -> None:
    """Strings from a report are printed as they are, never as markup."""
    for verdict, record in checked:
        console.print(
            Text.assemble((f"{verdict.name:<9}", STYLES[verdict.name]), f" {ascii(verdict.file)[1:-1]}"),
            soft_wrap=True,
        )
        for finding in verdict.findings:
            style = STYLES[finding.verdict]
            console.print(Text.assemble("  ", (finding.part, style), f": {finding.reason}"), soft_wrap=True)
        if record and verdict.name != REJECTED:
            console.print(_summary(record))
    counts = {name: sum(v.name == name for v, _ in checked) for name in STYLES}
    console.print(", ".join(f"{n} {name}" for name, n in counts.items() if n))


def _summary(record: Record) -> Table:
    identity, run = record.identity, record.run
    score, speed = derived.bits_per_byte(record), derived.tokens_per_s(record)
    share, peak = derived.mfu(record), derived.peak(record)
    here, best = derived.measured_mfu(record), derived.measured_peak(record)
    joules = derived.joules_per_token(record)
    rows = {
        "chip": f"{record.hardware.chip}, {record.software.backend}",
        "recipe": f"{identity.recipe}, preset {identity.preset}, division {identity.division}",
        "val_bpb": f"{score:.4f}" if score else f"none: {run.failure and run.failure.kind}",
        "trained": f"{len(run.steps)} steps, {derived.tokens(record)} tokens in {derived.training_s(record):.1f} s",
        "passes": f"{run.epochs:.2f} over the training text{', memory-limited' * derived.memory_limited(record)}",
        "tokens/s": f"{speed:.0f}" if speed else "unknown",
        "MFU": f"{share:.1%} of {peak.name}" if share and peak else "unknown",
        "MFU measured": f"{here:.1%} of {best.name}" if here and best else "unknown",
        "energy": f"{joules:.3g} J a token" if joules else "unknown",
        "flags": "; ".join(derived.flags(record)) or "none",
    }
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(Text(f"  {name}"), Text(ascii(value)[1:-1]))
    return table
