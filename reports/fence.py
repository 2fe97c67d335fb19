"""A stranger's text inside Markdown: a code block that it cannot close, whose words mention nobody and link nowhere.

Test with `pytest -m fast -k fence`.
"""

import re
from collections.abc import Iterable


def fenced(lines: Iterable[str]) -> str:
    """A code block; each line is printable ASCII, whatever it was."""
    shown = [ascii(line)[1:-1] for line in lines]
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *shown, fence])
