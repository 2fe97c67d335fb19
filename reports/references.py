"""The reports that others are held against: this checkout's own, accepted by themselves, read once a process.

Test with `pytest -m fast -k references`.
"""

from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from reports import arithmetic, plausibility, standing
from reports.file import reports_in
from reports.record import Record, ReportError, chip_slug, load

DATA = Path(__file__).parent / "data"
MOST = 50  # references for one question, taken evenly from all: more would tell no more, and a check takes milliseconds


class References:
    """Reports by what they have in common; a record is never its own reference.

    `folders`: the chip of each folder. `newest_utc`: when the last was made.
    """

    def __init__(self, named: Iterable[tuple[str, Record]] = ()):
        named = list(named)
        self._by: dict[Hashable, list[tuple[str, Record]]] = {}
        self.folders = {chip_slug(chip): chip for chip in (record.hardware.chip for _, record in named)}
        self.newest_utc = max((record.identity.created_utc for _, record in named), default="")
        for name, record in named:
            for key in _keys(record):
                self._by.setdefault(key, []).append((name, record))

    def of_hashes(self, record: Record, *which: str) -> list[Record]:
        """Those of equal hashes, given by name."""
        alike = self._others(("data", record.identity.hashes.data), record)
        return _thinned([other for _, other in alike if not standing.differing(other, record, which)])

    def of_chip(self, record: Record) -> list[Record]:
        """Those of the same chip, backend, sizes and precision asked for."""
        return _thinned([other for _, other in self._others(_chip(record), record)])

    def of_column(self, record: Record, column: str) -> list[tuple[str, Record]]:
        """(name, report) of those whose steps have the same column, entry for entry."""
        return list(self._others((column, getattr(record.run.steps, column)), record))

    def _others(self, key: Hashable, record: Record) -> Iterator[tuple[str, Record]]:
        for name, other in self._by.get(key, ()):
            if other.run.steps.step_s != record.run.steps.step_s or other != record:  # the first is quicker to tell
                yield name, other


def _thinned(records: list[Record]) -> list[Record]:
    return records[:: len(records) // MOST + 1]


def _keys(record: Record) -> Iterator[Hashable]:
    yield ("data", record.identity.hashes.data)
    yield _chip(record)
    for column in ("loss", "step_s"):
        yield column, getattr(record.run.steps, column)


def _chip(record: Record) -> Hashable:
    hardware, run = record.hardware, record.run
    return hardware.chip, hardware.gpu_cores, record.software.backend, record.identity.hashes.config, run.policy


@lru_cache(maxsize=2)
def committed(folder: Path = DATA) -> References:
    """The reports of `folder` whose own numbers hold; what a file holds never raises."""
    return References(_accepted(folder))


def _accepted(folder: Path) -> Iterator[tuple[str, Record]]:
    for path in reports_in(folder):
        try:
            record = load(path)
        except ReportError:
            continue
        if not any(arithmetic.findings(record)) and not any(plausibility.findings(record)):
            yield path.name, record
