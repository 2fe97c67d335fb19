"""Does a report hold together? Whatever follows from it is computed again: schema, arithmetic, plausibility.

Test with `pytest -m fast -k check`.
"""

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from reports import arithmetic, band, copies, outliers, plausibility, wording
from reports.record import Record, ReportError, chip_slug, read
from reports.references import References, committed
from reports.verdict import ACCEPTED, PENDING, REJECTED, Finding, Verdict, implausible, unreadable, wrong

__all__ = ["ACCEPTED", "PENDING", "REJECTED", "Finding", "Verdict", "check", "check_record"]
DAY_S = 86_400.0
PUBLISHED = ("reports", "data")  # below it, one folder a chip


def check(path: str | Path) -> Verdict:
    """The verdict on one file; never raises for what the file holds."""
    return check_and_read(path)[0]


def check_and_read(path: str | Path) -> tuple[Verdict, Record | None]:
    """The same, with the report, for those who go on with it; None where it cannot be read."""
    if Path(path).is_symlink():
        return Verdict(str(path), (unreadable("is a symbolic link; give the file itself"),)), None
    try:
        record, due = read(path)
    except ReportError as error:
        return Verdict(str(path), (unreadable(str(error).removeprefix(f"{path}: ")),)), None
    return Verdict(str(path), (*_place(Path(path), record, due), *check_record(record))), record


def check_record(record: Record, references: References | None = None) -> Iterator[Finding]:
    """What is wrong with a record, apart from its file's name. `references`: by default the committed reports."""
    yield from arithmetic.findings(record)
    yield from plausibility.findings(record)
    yield from wording.findings(record)
    known = committed() if references is None else references
    yield from _clock(record, known)
    for part in (copies, band, outliers):
        yield from part.findings(record, known)


def _place(path: Path, record: Record, due: str) -> Iterator[Finding]:
    """Its name and, among the published reports, its folder."""
    if path.name != due:
        yield wrong(f"file name {path.name!a} does not fit the content, which gives {due}")
    parts = path.absolute().parts
    below = next((parts[i + 2 :] for i in range(len(parts)) if parts[i : i + 2] == PUBLISHED), None)
    if below and below[:-1] != (_slug(record),):
        yield wrong(f"it lies in {'/'.join(below[:-1])!a} of reports/data, but its chip's folder is {_slug(record)!a}")


def _clock(record: Record, known: References) -> Iterator[Finding]:
    """A machine whose clock is behind the newest reference is wrong itself."""
    now_s = max(time.time(), _seconds(known.newest_utc) if known.newest_utc else 0.0)
    if _seconds(record.identity.created_utc) > now_s + DAY_S:
        yield implausible(f"identity.created_utc={record.identity.created_utc} lies in the future", PENDING)


def _seconds(utc: str) -> float:
    return datetime.strptime(utc, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


def _slug(record: Record) -> str | None:
    try:
        return chip_slug(record.hardware.chip)
    except ReportError:
        return None
