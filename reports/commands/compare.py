"""`python -m reports compare`: is B better than A, the same, worse, or can these runs not tell?

Each argument is a group, runs of one configuration: a report or a folder of reports. The first is the baseline, every
other is compared with it. With --by KEY all reports are taken together, and those that differ in KEY alone stand
beside each other. Three questions: val_bpb of an equal budget (recipe, data and eval hash must be equal), at equal
tokens (config too), and tokens/s. Runs of one seed count once; a single run gets CANNOT TELL.

BETTER, WORSE: the 90 % interval of the difference lies on one side of 0, wrong in 5 % of all cases. SAME: it lies
inside the margin. Exit status: 0 val_bpb of an equal budget was compared, 1 it was refused, 2 wrong call.

    python -m reports compare runs/before runs/after
    python -m reports compare --by backend reports/data
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from math import exp, isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from reports.compare import Answer, Comparison
    from reports.group import Group

HELP = "better, same, worse or cannot tell, from the runs of two configurations"
STYLES = {"BETTER": "bold green", "WORSE": "bold red", "SAME": "cyan", "CANNOT TELL": "yellow"}
OF_SPEED = {"BETTER": "FASTER", "WORSE": "SLOWER"}
KEYS = ("backend", "chip", "config", "precision", "release")


def add(parser: ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("path", nargs="+", type=Path, help="a group: a report, or a folder searched for *.json")
    parser.add_argument("--by", choices=KEYS, help="groups by this, whichever file they are in")
    parser.add_argument("--margin", type=positive, metavar="BPB", help="what is too small to matter; default: 0.0025")
    parser.add_argument(
        "--effect", type=positive, metavar="BPB", help="to say the runs needed for; default: the margin"
    )
    parser.add_argument(
        "--noise", type=Path, metavar="PATH", help="earlier runs over several seeds, whose spread counts"
    )
    parser.add_argument("--unranked", action="store_true", help="compare scores that no ranking would take, too")
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")


def run(options: Namespace) -> int:
    """Print the comparisons."""
    from reports.compare import MARGIN_BPB, compare
    from reports.group import noise, read
    from reports.record import ReportError

    margin = options.margin or MARGIN_BPB
    try:
        cells = _cells(options)
        prior = noise(read([options.noise])) if options.noise else None
    except (ReportError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = [one for cell in cells for one in compare(cell, margin, prior, options.unranked)]
    size = options.effect or margin
    if options.json:
        print(json.dumps([as_json(one, size) for one in found], indent=1, allow_nan=False))
    else:
        console = Console(highlight=False)
        for one in found:
            _show(one, size, console)
    return int(not all(one.answers[0].effect for one in found))


def positive(text: str) -> float:
    """For argparse."""
    number = float(text)
    if not (isfinite(number) and number > 0):
        raise ValueError(f"{text} is not above 0")
    return number


def _cells(options: Namespace) -> "list[list[Group]]":
    """Lists of groups, the first of each the baseline. Raises ValueError where nothing stands beside anything."""
    from reports.group import Group, mixed, read, split
    from reports.record import content_hash

    if options.by:
        cells = split(read(options.path), options.by)
        if not cells:
            raise ValueError(f"no two reports differ in {options.by} alone; give more, or one path for each group")
    else:
        if len(options.path) < 2:
            raise ValueError("one group has nothing to stand beside; give a second path, or --by KEY")
        cells = [[Group(ascii(str(path))[1:-1], tuple(read([path]))) for path in options.path]]
        seen: dict[str, str] = {}
        for group in cells[0]:
            for digest in map(content_hash, group.records):
                if digest in seen:
                    raise ValueError(f"one run is in {seen[digest]} and in {group.name}; give each run once")
                seen[digest] = group.name
    for group in (group for cell in cells for group in cell):
        if differing := mixed(group):
            words = f"{', '.join(differing)} differ within group {group.name}"
            raise ValueError(f"{words}; give the runs of one configuration, or --by")
    return cells


def as_json(found: "Comparison", size: float) -> dict:
    """Everything that is printed, and the unrounded numbers."""
    answers = []
    for answer in found.answers:
        more = asdict(answer.effect) if answer.effect else None
        if answer.effect and answer.quantity.startswith("val_bpb"):
            told = {"detectable": answer.effect.detectable, "effect": size, "runs_needed": answer.effect.needed(size)}
            more = {**(more or {}), **told}
        answers.append({**asdict(answer), "effect": more})
    return {"a": found.a.name, "b": found.b.name, "answers": answers}


def _show(found: "Comparison", size: float, console: Console) -> None:
    """Names come from reports: printed as they are, never as markup."""
    for letter, group in (("A", found.a), ("B", found.b)):
        console.print(Text.assemble((letter, "bold"), f"  {ascii(group.name)[1:-1]}"), soft_wrap=True)
    level = next((1 - 2 * answer.effect.alpha for answer in found.answers if answer.effect), 0.9)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for title in ("", "B is", "A", "B", "B - A", f"{100 * level:.3g} % interval", "seeds"):
        table.add_column(title, no_wrap=True)
    for answer in found.answers:
        table.add_row(*_cells_of(answer))
    console.print(table)
    for answer in found.answers:
        refused = [f"{answer.refused}"] if answer.refused else []
        about = f"{answer.question}, {answer.quantity}: "
        for note in (*refused, *_remarks(answer, size), *answer.notes):
            console.print(Text(f"{about}{ascii(note)[1:-1]}", style="dim"), soft_wrap=True)
            about = "  "
    console.print()


def _cells_of(answer: "Answer") -> list[Text]:
    from reports.compare import ratio

    found, speed = answer.effect, answer.question == "speed"
    if not found:
        return [Text(answer.question), Text("REFUSED", "bold")]
    verdict = OF_SPEED.get(found.verdict, found.verdict) if speed else found.verdict
    a, b = found.means
    means, (middle, low, high), form = (f"{a:.4f}", f"{b:.4f}"), (found.difference, found.low, found.high), "+.5f"
    if speed:  # logarithms of seconds
        means, (middle, low, high), form = (f"{exp(-a):,.0f}", f"{exp(-b):,.0f}"), ratio(found), ".3f"
    interval = "" if low is None or high is None else f"{low:{form}} to {high:{form}}"
    runs = f"{found.runs[0]}, {found.runs[1]}"
    shown = Text(verdict, STYLES[found.verdict])
    return [
        Text(answer.question),
        shown,
        *map(Text, (*means, f"{'x ' * speed}{middle:{form}}", interval, runs)),
    ]


def _remarks(answer: "Answer", size: float) -> list[str]:
    """What these runs could have told, and how many would tell the effect asked for."""
    found = answer.effect
    if not found or not answer.quantity.startswith("val_bpb"):
        return []
    remarks = []
    if min(found.runs) < 2:
        remarks.append("a single run cannot tell noise from effect; give two seeds a side or more")
    elif not found.sd:
        remarks.append("all values are equal: did the runs use their seeds?")
    if found.sd:
        spread = f"noise {found.sd:.5f} ({found.degrees} degrees of freedom), margin {found.margin:.5f}"
        smallest = found.detectable
        told = "" if smallest is None else f"; these runs tell {smallest:.5f} in 80 % of cases"
        needed = found.needed(size)
        remarks.append(f"{spread}{told}; {needed or 'over 1000'} runs a side would tell {size:.5f}")
    return remarks
