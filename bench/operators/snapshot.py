"""What the shipped steps call, as committed text: a change of it is a line in a review.

Releases decide how an operation is made up, so a snapshot is of one, which its first line names, and is compared with
that one alone. What is wrong on a device is looked for in every release.
Test with `pytest -m fast -k "mps_ops or mlx_ops"`.
"""

import difflib
from pathlib import Path

HERE = Path(__file__).parent
REFRESH = "python -m bench.operators --write"


def text(release: str, lines: set[str]) -> str:
    """The snapshot of a release."""
    return "\n".join([f"# {release}", *sorted(lines), ""])


def path(framework: str) -> Path:
    """Where a framework's snapshot lies."""
    return HERE / f"{framework}.txt"


def release(framework: str) -> str:
    """The installed release as a snapshot names it: without the mark of what it was built for."""
    from importlib.metadata import version

    return f"{framework} {version(framework).split('+')[0]}"


def committed_release(framework: str) -> str:
    """The release whose snapshot is committed."""
    return path(framework).read_text("utf-8").splitlines()[0].removeprefix("# ")


def difference(framework: str, lines: set[str]) -> str:
    """How `lines` differ from the committed ones, as a diff; "" where they do not."""
    old, new = path(framework).read_text("utf-8"), text(release(framework), lines)
    return "\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(), "committed", "now", lineterm="", n=0))
