"""The finding: its tables and figure anew from the committed data; the prose between them is written by hand.

`python -m bench.newton_schulz report`
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.newton_schulz.findings import TABLES, Data
from bench.page import filled

PAGE = "newton-schulz-precision.md"
FIGURE = "newton-schulz-precision.svg"


def render(folder: Path) -> list[Path]:
    """Write figure and page beside the folder of data. Raises ValueError for a mark in the page that names no table."""
    from bench.newton_schulz import figure

    data = Data.load(folder)
    page, drawn = folder.parent / PAGE, folder.parent / FIGURE
    figure.draw(data).save(drawn)
    page.write_text(filled(page.read_text("utf-8"), tables(data)), "utf-8")
    return [page, drawn]


def tables(data: Data) -> dict[str, Callable[[], str]]:
    """What each mark of the page stands for."""
    return {name: partial(make, data) for name, make in TABLES.items()}
