"""Watch a run from another terminal, by its live file: `python -m bench.watch --help`.

Test with `pytest -m meta bench/meta/test_watch.py`.
"""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from bench.watch.following import Follower, View, newest
from bench.watch.frame import frame, line
from bench.watch.ledger import Ledger

EVERY_S, LOOK_AROUND_S, PLAIN_EVERY_S = 0.5, 5.0, 10.0


class Watch:
    """A file that was named, or whichever live file of a folder was written last; and the ledger beside it."""

    def __init__(self, path: Path):
        self._named = None if path.is_dir() else path
        self.ledger = Ledger(path if path.is_dir() else path.parent)
        self._follower, self._looked_s = Follower(path), float("-inf")

    def look(self) -> View:
        """The run as it is now; around it, every few seconds only."""
        if time.monotonic() - self._looked_s >= LOOK_AROUND_S:
            self._looked_s = time.monotonic()
            found = self._named or newest(self.ledger.folder)
            if found and found != self._follower.path:
                self._follower = Follower(found)
            self.ledger.look(self._follower.path)
        return self._follower.poll()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.watch", description="Watch a run, and the runs before it.")
    parser.add_argument("path", nargs="?", default="runs", metavar="FOLDER|FILE", help="of reports; default: runs")
    parser.add_argument("--once", action="store_true", help="print one frame and end")
    options = parser.parse_args(arguments)
    path, console = Path(options.path), Console()
    if not path.exists():
        print(f"error: {path} is not there; name a folder of reports, or a live file in one", file=sys.stderr)
        return 2
    watch = Watch(path)
    try:
        if options.once:
            _print_frame(watch, console)
        elif console.is_terminal:
            _live(watch, console)
        else:
            _lines(watch, console)
    except KeyboardInterrupt:
        pass
    return 0


def _print_frame(watch: Watch, console: Console) -> None:
    view = watch.look()
    if console.encoding.startswith("utf"):
        console.print(frame(view, watch.ledger, console.width, console.height))
    else:
        print(line(view).encode("ascii", "replace").decode())


def _live(watch: Watch, console: Console) -> None:
    """The whole screen until Ctrl-C; the terminal is then as it was."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(frame(watch.look(), watch.ledger, console.width, console.height), refresh=True)
            time.sleep(EVERY_S)


def _lines(watch: Watch, console: Console) -> None:
    """A line every ten seconds until the run ends or falls silent."""
    while True:
        view = watch.look()
        print(line(view).encode(console.encoding, "replace").decode(console.encoding), flush=True)
        if view.end or view.lost:
            return
        time.sleep(PLAIN_EVERY_S)


if __name__ == "__main__":
    sys.exit(main())
