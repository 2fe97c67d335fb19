"""A page of a finding whose tables are made anew from the committed data; the prose between them is written by hand.

Test with `pytest -m meta bench/meta/test_newton_schulz.py`.
"""

import re
from collections.abc import Callable, Iterable, Mapping


def filled(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """`text` with what stands between each `<!-- table: NAME -->` and `<!-- end -->` made anew.

    Raises ValueError for a mark that names no table.
    """

    def replaced(found: re.Match) -> str:
        name = found[1]
        if name not in tables:
            raise ValueError(f"there is no table {name!r}; try one of {sorted(tables)}")
        return f"<!-- table: {name} -->\n{tables[name]()}\n<!-- end -->"

    return re.sub(r"<!-- table: ([\w ]+) -->\n.*?<!-- end -->", replaced, text, flags=re.DOTALL)


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """In Markdown."""
    header = list(header)
    lines = [header, ["---"] * len(header), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
