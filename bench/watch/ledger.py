"""The runs that a folder remembers: its reports, and the live files of runs that left none.

Test with `pytest -m meta bench/meta/test_watch.py`.
"""

from dataclasses import dataclass
from pathlib import Path

from bench.training import journal
from bench.watch.following import Follower, files, modified
from reports import derived, record, standing
from reports.record import Record

MOST = 200  # the newest
RUNNING_S = 600.0  # a silence that a run may keep while it is checked, or waits for its compiler


@dataclass(frozen=True)
class Entry:
    """A run that is over. Without a `bits_per_byte`, `told` says why."""

    when: str
    backend: str
    chip: str
    preset: str
    division: str
    seed: str
    kind: tuple[str, ...]  # entries of one kind have comparable scores
    budget_s: float | None
    bits_per_byte: float | None
    steps: int | None
    tokens: int | None
    tokens_per_s: float | None
    mfu: float | None
    epochs: float | None
    told: str


class Ledger:
    """The `entries` of a folder as `look` found them, newest first. Files are read once, and again when they change."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.entries: list[Entry] = []
        self.unreadable = 0  # files
        self._read: dict[tuple, Entry | None] = {}

    def look(self, watched: Path | None = None) -> None:
        """Without the run that is `watched`."""
        known = [*files(self.folder, ".json"), *files(self.folder, journal.SUFFIX)]
        found, now = [], {}
        for path in sorted(known, key=modified, reverse=True)[:MOST]:
            if path == watched:
                continue
            key = (path, modified(path))
            now[key] = self._read[key] if key in self._read else _entry(path)
            found += [now[key]] if now[key] else []
        # A live file may yet turn out to be of a run that was killed.
        self._read = {key: entry for key, entry in now.items() if entry or key[0].suffix == ".json"}
        self.unreadable = sum(entry is None for entry in self._read.values())
        self.entries = sorted(found, key=lambda entry: entry.when, reverse=True)


def best(entries: list[Entry]) -> set[int]:
    """Indices of the lowest score of each kind that has more than one."""
    chosen: dict[tuple, list[int]] = {}
    for i, entry in enumerate(entries):
        if entry.bits_per_byte is not None:
            chosen.setdefault(entry.kind, []).append(i)
    lowest = (min(alike, key=lambda i: entries[i].bits_per_byte or 0.0) for alike in chosen.values() if len(alike) > 1)
    return set(lowest)


def _entry(path: Path) -> Entry | None:
    if path.suffix == ".json":
        try:
            return _of_report(record.load(path))
        except record.ReportError:
            return None  # `python -m reports check` says what is wrong with it
    return _of_live_file(path)


def _of_report(found: Record) -> Entry:
    run, identity = found.run, found.identity
    return Entry(
        when=identity.created_utc,
        backend=found.software.backend,
        chip=found.hardware.chip,
        preset=identity.preset or "-",
        division=identity.division,
        seed=str(run.seed),
        kind=(*(getattr(identity.hashes, name) for name in standing.EQUAL_BUDGET), f"{run.budget_s:g}", run.mode),
        budget_s=run.budget_s,
        bits_per_byte=derived.bits_per_byte(found),
        steps=len(run.steps),
        tokens=derived.tokens(found),
        tokens_per_s=derived.tokens_per_s(found),
        mfu=derived.mfu(found) or derived.measured_mfu(found),
        epochs=run.epochs,
        told=run.failure.message if run.failure else "; ".join(derived.flags(found)),
    )


def _of_live_file(path: Path) -> Entry | None:
    """A run that left no report, and does not run any more."""
    view = Follower(path).poll()
    header, last = view.header, view.steps[-1] if view.steps else None
    if header is None or (view.end and view.end.report) or not (view.end or view.lost or view.silent_s > RUNNING_S):
        return None
    why = view.end.failure if view.end and view.end.failure else "no end: killed, or it still hangs"
    return Entry(
        when=header.started_utc,
        backend=header.backend,
        chip=header.chip,
        preset=header.preset,
        division=header.division,
        seed=str(header.seed),
        kind=(),
        budget_s=header.budget_s,
        bits_per_byte=None,
        steps=last and last.step,
        tokens=last and last.step * header.total_batch,
        tokens_per_s=view.tokens_per_s,
        mfu=view.mfu,
        epochs=None,
        told=f"no report at {view.share:.0%}: {why}",
    )
