"""The one exception of this package, and how a stranger's or a program's text is made fit to print.

Test with `pytest -m fast bench/meta/test_share.py`.
"""

import re


class ShareError(ValueError):
    """What could not be shared; one line with the thing, the reason and the remedy."""

    def __init__(self, thing: str, reason: str, remedy: str):
        super().__init__(f"{plain(thing)}: {plain(reason)}; {plain(remedy)}")


def plain(text: str, length: int = 300) -> str:
    """One printable line without the credentials that an address may hold."""
    line = " ".join(re.sub(r"//[^/@\s]*@", "//", text).split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(line) <= length else f"{line[: length - 3]}..."
