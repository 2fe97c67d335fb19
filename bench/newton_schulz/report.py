"""The finding: its tables and figure anew from the committed data; the prose between them is written by hand.

`python -m bench.newton_schulz report`
"""

import re
from pathlib import Path

from bench.newton_schulz.findings import TABLES, Data

PAGE = "newton-schulz-precision.md"
FIGURE = "newton-schulz-precision.svg"


def render(folder: Path) -> list[Path]:
    """Write figure and page beside the folder of data. Raises ValueError for a mark in the page that names no table."""
    from bench.newton_schulz import figure

    data = Data.load(folder)
    page, drawn = folder.parent / PAGE, folder.parent / FIGURE
    figure.draw(data).save(drawn)
    page.write_text(filled(page.read_text("utf-8"), data), "utf-8")
    return [page, drawn]


def filled(text: str, data: Data) -> str:
    """`text` with what stands between each `<!-- table: NAME -->` and `<!-- end -->` made anew."""

    def replaced(found: re.Match) -> str:
        name = found[1]
        if name not in TABLES:
            raise ValueError(f"{PAGE}: there is no table {name!r}; try one of {sorted(TABLES)}")
        return f"<!-- table: {name} -->\n{TABLES[name](data)}\n<!-- end -->"

    return re.sub(r"<!-- table: ([\w ]+) -->\n.*?<!-- end -->", replaced, text, flags=re.DOTALL)
