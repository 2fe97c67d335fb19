"""`python -m reports site`: the leaderboard, a page per chip and per report, from a folder of reports.

Nothing is loaded from elsewhere: the folder works from file:// and on any web server.

    python -m reports site --out runs/site
"""

import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

HELP = "build the static site: leaderboard, coverage, a page per chip and per report"
DATA = Path(__file__).parents[1] / "data"


def add(parser: ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder of reports (default: those of this checkout)")
    parser.add_argument("--out", type=Path, default=Path("runs") / "site", help="folder to write (default: runs/site)")


def run(options: Namespace) -> int:
    """Print what was written."""
    from reports.record import ReportError
    from reports.site.build import INDEX, build

    start = time.monotonic()
    try:
        count = build(options.data, options.out)
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out / INDEX}: {count} pages in {time.monotonic() - start:.1f} s")
    return 0
