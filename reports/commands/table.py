"""`python -m reports table`: the leaderboard as a Markdown table, or all reports as one Parquet file.

Without an option the table is printed. `--check` and `--write` hold it against, or put it into, the place in README
between its two markers. Exit status: 0; 1 where README is not up to date; 2 for a wrong call, or where no file could be
written.

    python -m reports table --check
    python -m reports table --parquet reports.parquet
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from reports.collection import read
from reports.file import replacing
from reports.record import ReportError

HELP = "print the leaderboard as Markdown, or write all reports as Parquet"
ROOT = Path(__file__).parents[2]


def add(parser: ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "reports/data", help="default: reports/data")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", metavar="FILE", help="default: README.md")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="fail where the table in README is another")
    what.add_argument("--write", action="store_true", help="put the table into README")
    what.add_argument("--parquet", type=Path, metavar="FILE", help="one row a report, with columns of every step")


def run(options: Namespace) -> int:
    """Do the one thing asked for."""
    from reports import parquet
    from reports.ranking import boards
    from reports.table import markdown

    try:
        collection = read(options.folder)
        if options.parquet:
            print(f"{options.parquet}: {parquet.write(collection, options.parquet)} reports")
            return 0
        table = markdown(boards(collection), collection)
        if options.check or options.write:
            return _in_readme(options.readme, table, options.write)
    except (ReportError, OSError, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table)
    return 0


def _in_readme(readme: Path, table: str, write: bool) -> int:
    from reports.table import current, replaced

    before = readme.read_text(encoding="utf-8")
    try:
        same = current(before).strip() == table
    except ReportError as error:
        raise ReportError(f"{readme}: {error}") from None
    if same or not write:
        if not same:
            print(f"{readme}: the table is not up to date; run python -m reports table --write", file=sys.stderr)
        return int(not same)
    with replacing(readme) as temporary:
        temporary.write_text(replaced(before, table), encoding="utf-8")
    return 0
