"""A folder of reports, read once: every file with its verdict, and what of it may be counted.

Test with `pytest -m fast -k collection`.
"""

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path

from reports.check import ACCEPTED, PENDING, REJECTED, Verdict, check_and_read
from reports.file import reports_in
from reports.record import Record, ReportError


@dataclass(frozen=True)
class Entry:
    """One file. `record` and `digest`, the file's SHA-256, are None where it is no report at all.

    `path` is relative to the folder. `duplicate_of` names the file that holds the same run and was made before.
    """

    path: Path
    verdict: Verdict
    record: Record | None
    digest: str | None
    duplicate_of: Path | None = None

    @property
    def accepted(self) -> bool:
        return self.verdict.name == ACCEPTED and self.duplicate_of is None

    @property
    def pending(self) -> bool:
        return self.verdict.name == PENDING and self.duplicate_of is None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the file is not accepted, one line each; empty where it is."""
        found = tuple(finding.reason for finding in self.verdict.findings)
        return found if self.duplicate_of is None else (*found, f"the same run as {self.duplicate_of}")


@dataclass(frozen=True)
class Collection:
    """`entries` in order of their paths; nothing that was found is left out."""

    folder: Path
    entries: tuple[Entry, ...]

    @property
    def accepted(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.accepted)

    @property
    def pending(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.pending)

    @property
    def rejected(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.verdict.name == REJECTED)

    @property
    def duplicates(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.duplicate_of is not None)


def read(folder: str | Path) -> Collection:
    """Every *.json below `folder`; never raises for what a file holds. Raises ReportError where there is no folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ReportError(f"{folder}: no folder there; give one that holds reports, such as reports/data")
    return Collection(folder, _without_duplicates([_entry(file, folder) for file in reports_in(folder)]))


def _entry(file: Path, folder: Path) -> Entry:
    verdict, record = check_and_read(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if record else None
    return Entry(file.relative_to(folder), verdict, record, digest)


def _without_duplicates(entries: list[Entry]) -> tuple[Entry, ...]:
    """The first made of each run stays, accepted before pending; rejected files neither take nor lose a place."""
    first: dict[Hashable, Path] = {}
    marked = {entry.path: entry for entry in entries}

    def order(entry: Entry) -> tuple[bool, str, Path]:
        return entry.verdict.name != ACCEPTED, entry.record.identity.created_utc if entry.record else "", entry.path

    for entry in sorted(entries, key=order):
        if entry.record is None or entry.verdict.name == REJECTED:
            continue
        original = first.setdefault(_measured(entry.record), entry.path)
        if original != entry.path:
            marked[entry.path] = replace(entry, duplicate_of=original)
    return tuple(marked.values())


def _measured(record: Record) -> Hashable:
    """The same steps to nine digits are the same run, whoever or whatever is named beside them.

    A run that failed before its first step measured nothing: there the whole content decides.
    """
    steps = record.run.steps
    return (steps.step_s, steps.loss) if len(steps) else repr(record)
