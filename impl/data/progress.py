"""Progress of parts of known size: bars in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Report = Callable[[str, int, int], None]  # (part, done, total)
Item = TypeVar("Item")
EVERY_S = 10.0


def silent(part: str, done: int, total: int) -> None:
    """Report nothing."""


def tracked(items: Iterable[Item], part: str, total: int, report: Report) -> Iterator[Item]:
    """Pass `items` on and report each as done."""
    report(part, 0, total)
    for done, item in enumerate(items, start=1):
        yield item
        report(part, done, total)


@contextmanager
def shown() -> Iterator[Report]:
    """Report on standard error."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bars:
        tasks: dict = {}

        def report(part: str, done: int, total: int) -> None:
            if part not in tasks:
                tasks[part] = bars.add_task(part, total=total)
            bars.update(tasks[part], completed=done)

        yield report


def _lines() -> Report:
    """A line when a part starts and ends, and one every ten seconds between."""
    printed_s: dict[str, float] = {}

    def report(part: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if part not in printed_s or done == total or now_s - printed_s[part] > EVERY_S:
            printed_s[part] = now_s
            print(f"{part}: {done} / {total}", file=sys.stderr, flush=True)

    return report
