"""Runs that belong together: one configuration, its seeds, and the noise from seed to seed that they show.

Test with `pytest -m fast -k compare`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from reports import derived, standing
from reports.effect import Noise
from reports.file import reports_in
from reports.record import Record, ReportError, content_hash, load
from reports.standing import EQUAL_BUDGET, EQUAL_TOKENS, SHOWN

ENDED = ("loss-not-finite", "loss-too-high", "out-of-memory")  # the candidate's own fault, unlike an interruption
KEYS = {
    "backend": lambda r: r.software.backend,
    "chip": lambda r: r.hardware.chip,
    "config": lambda r: f"{r.identity.preset or r.identity.recipe} {r.identity.hashes.config[:SHOWN]}",
    "precision": lambda r: r.run.precision_observed or r.run.policy,
    "release": lambda r: " ".join(f"{name} {version}" for name, version in sorted(r.software.frameworks.items())),
}
OF_A_GROUP = ("chip", "backend", "config", "precision", "release")
LINKED = ("precision", "release")  # each chip and backend has its own


@dataclass(frozen=True)
class Group:
    """Runs of one configuration; `scored` ended with a result, `ended` by their own fault."""

    name: str
    records: tuple[Record, ...]

    @property
    def scored(self) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record.result)

    @property
    def ended(self) -> tuple[str, ...]:
        failures = [r.run.failure for r in self.records if r.run.failure and r.run.failure.kind in ENDED]
        return tuple(f"{failure.kind} at step {failure.step}" for failure in failures)


def read(paths: Iterable[Path]) -> list[Record]:
    """Every report of these files and folders, each content once. Raises ReportError for the first that is none."""
    found: dict[str, Record] = {}
    for path in paths:
        files = reports_in(path) if path.is_dir() else [path]
        if not files:
            raise ReportError(f"{path}: no report there; give a .json file or a folder that holds some")
        for file in files:
            record = load(file)
            found.setdefault(content_hash(record), record)
    return list(found.values())


def split(records: Iterable[Record], key: str) -> list[list[Group]]:
    """Records that differ in `key` alone stand beside each other: lists of two groups or more."""
    rest = [name for name in OF_A_GROUP if name != key and not (key in ("backend", "chip") and name in LINKED)]
    cells: dict[tuple, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        hashes = record.identity.hashes
        same = (*(getattr(hashes, name) for name in EQUAL_BUDGET), *(KEYS[name](record) for name in rest))
        cells[same][KEYS[key](record)].append(record)
    return [[Group(name, tuple(of)) for name, of in sorted(cell.items())] for cell in cells.values() if len(cell) > 1]


def mixed(group: Group) -> list[str]:
    """What differs within a group, which then is not one thing."""
    hashes = {name for one, other in pairwise(group.records) for name in standing.differing(one, other, EQUAL_TOKENS)}
    others = [name for name in OF_A_GROUP if name != "config" and len({KEYS[name](r) for r in group.records}) > 1]
    return [f"{name} hash" for name in EQUAL_TOKENS if name in hashes] + others


def by_seed(records: Sequence[Record], value: Callable[[Record], float]) -> list[float]:
    """One value a seed: two runs of one seed are not two draws of the seed's noise."""
    seeds: dict[int, list[float]] = defaultdict(list)
    for record in records:
        seeds[record.run.seed].append(value(record))
    return [fmean(values) for values in seeds.values()]


def noise(records: Sequence[Record]) -> Noise:
    """Pooled from seed to seed within configurations. Raises ValueError where no seed stands beside another."""
    cells: dict[tuple, list[Record]] = defaultdict(list)
    for record in records:
        hashes = record.identity.hashes.model_dump()
        if record.result:
            cells[(*hashes.values(), *(KEYS[name](record) for name in OF_A_GROUP))].append(record)
    squares, degrees = 0.0, 0
    for cell in cells.values():
        scores = by_seed(cell, score)
        squares += sum((score - fmean(scores)) ** 2 for score in scores)
        degrees += len(scores) - 1
    if not degrees or not squares:
        raise ValueError(f"{len(records)} runs show no noise: none differs from another in its seed alone; give more")
    return Noise((squares / degrees) ** 0.5, degrees)


def score(record: Record) -> float:
    return derived.bits_per_byte(record) or 0.0  # only scored records are asked
