"""Does a report hold together? Whatever follows from it is computed again: schema, arithmetic, plausibility.

Test with `pytest -m fast -k check`.
"""

from collections.abc import Iterator
from pathlib import Path

from reports import arithmetic, plausibility
from reports.record import Record, ReportError, read
from reports.verdict import ACCEPTED, PENDING, REJECTED, Finding, Verdict, unreadable, wrong

__all__ = ["ACCEPTED", "PENDING", "REJECTED", "Finding", "Verdict", "check", "check_record"]


def check(path: str | Path) -> Verdict:
    """The verdict on one file; never raises for what the file holds."""
    try:
        record, due = read(path)
    except ReportError as error:
        return Verdict(str(path), (unreadable(str(error).removeprefix(f"{path}: ")),))
    return Verdict(str(path), (*_place(Path(path), due), *check_record(record)))


def _place(path: Path, due: str) -> Iterator[Finding]:
    if path.name != due:
        yield wrong(f"file name {path.name!a} does not fit the content, which gives {due}")


def check_record(record: Record) -> Iterator[Finding]:
    """What is wrong with a record, apart from its file's name."""
    yield from arithmetic.findings(record)
    yield from plausibility.findings(record)
