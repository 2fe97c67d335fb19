"""Reports that were agreed to and have not arrived yet: a folder that `python -m reports share --retry` goes through.

Test with `pytest -m fast bench/meta/test_share.py`.
"""

import os
from pathlib import Path

from reports.record import Record, save


def cache() -> Path:
    """`$NANOMARK_CACHE`, or `~/.cache/nanomark`, as for prepared data."""
    return Path(os.environ.get("NANOMARK_CACHE") or Path.home() / ".cache" / "nanomark")


def folder() -> Path:
    return cache() / "backlog"


def keep(record: Record) -> Path:
    """Whole or not at all; twice is once. Raises ReportError."""
    return save(record, folder())


def waiting() -> list[Path]:
    """Oldest name first."""
    return sorted(folder().glob("*/[!.]*.json"), key=lambda path: path.name)


def arrived(path: Path) -> None:
    path.unlink(missing_ok=True)
