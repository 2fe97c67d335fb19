"""Files that are whole or absent, and the reports in a folder: a name that begins with a dot is of an unfinished one.

Test with `pytest -m fast -k "parquet or site or table or collection"`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; it becomes `path` if the block succeeds and is removed if it fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # a folder that is not there holds nothing
            temporary.unlink()


def reports_in(folder: Path) -> list[Path]:
    """Every *.json below it, in order."""
    return sorted(file for file in folder.rglob("*.json") if not file.name.startswith("."))
