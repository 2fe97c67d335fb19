"""The leaderboard's numbers: a board per comparable set, a row per configuration, runs that fail or wait kept apart.

All runs count, never the best of them. Test with `pytest -m fast -k ranking`.

Score: the median over seeds of each seed's median val_bpb, so that a seed run often counts once. Interval: of the mean
over seeds, 95 %, by Student's t; it needs two. Rank: 1 + the number of rows whose whole interval lies below this row's:
rows whose intervals overlap share one, and each reader can see why. Overlap asks more than a test of each pair would
(1.4 times the difference, at equal spread), as it must where many pairs are looked at. Rows of fewer than LEAST_SEEDS
seeds are listed without a rank.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import ceil, inf, sqrt
from statistics import mean, median, stdev

from scipy.special import stdtrit

from reports import derived, standing
from reports.collection import Collection, Entry
from reports.record import Record

LEAST_SEEDS = 3
LEVEL = 0.95
RANKED, PROVISIONAL, LIMITED, PENDING, UNRANKED, FAILED = PLACES = (
    "ranked", "provisional", "memory-limited", "pending", "unranked", "failed",
)  # fmt: skip
DIVISIONS = ("fixed", "tier", "open")


@dataclass(frozen=True, order=True)
class Hashes:
    """What makes scores comparable: equal rules, training text with its tokenizer, and scored bytes."""

    recipe: str
    data: str
    eval: str


@dataclass(frozen=True)
class Configuration:
    """What the runs of a row share. `cores` are the GPU's, or on CPU backends those the process ran on.

    `precision` is the one observed, "bfloat16 asked" where none was. `release` is that of the backend's framework.
    """

    chip: str
    cores: int | None
    backend: str
    release: str | None
    preset: str | None
    config: str  # hash of the sizes, which settings of division open change
    precision: str
    blas: str | None  # on CPU backends a factor of fifteen


@dataclass(frozen=True)
class Row:
    """The runs of one configuration on one board; None is unknown. Rates, shares and energies are medians of runs.

    `place` is one of PLACES, `reasons` say why it is not ranked; `rank` only where it is or is memory-limited, and
    among those of its own place. `runs` counts the scored ones, `failed` those that ended without a score.
    """

    configuration: Configuration
    place: str
    rank: int | None
    runs: int
    seeds: int
    failed: int
    bits_per_byte: float | None
    low: float | None
    high: float | None
    tokens_per_s: float | None
    tokens: float | None
    mfu: float | None
    mfu_of: str | None
    measured_mfu: float | None
    peak_bytes: float | None
    joules_per_token: float | None
    joules_to_target: float | None
    flags: tuple[str, ...]
    flagged: int
    epochs: float | None
    reasons: tuple[str, ...]
    entries: tuple[Entry, ...]  # scored and failed

    @property
    def provisional(self) -> bool:
        """Too few seeds for a rank, in whichever place."""
        return self.seeds < LEAST_SEEDS

    @property
    def memorised(self) -> bool:
        """Whether a run of it knows its text by heart, so that the score may be above step 0."""
        return any(derived.memorised(entry.record) for entry in self.entries if entry.record)


@dataclass(frozen=True)
class Board:
    """One comparable set of one division. `target` is the score that `Row.joules_to_target` asks for, `text` the name
    of the training text, where accepted reports say it.

    `rows` come ranked first, then in the order of PLACES; within a place by rank, those without one last, then score.
    """

    division: str
    recipe: str
    hashes: Hashes
    text: str | None
    target: float | None
    rows: tuple[Row, ...]

    def of(self, *places: str) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.place in places)

    @property
    def runs(self) -> int:
        return sum(row.runs for row in self.rows)


def boards(collection: Collection) -> tuple[Board, ...]:
    """Every accepted or pending report on exactly one board; by division, then the board with most runs first."""
    groups: dict[tuple[str, Hashes], list[Entry]] = defaultdict(list)
    for entry in (*collection.accepted, *collection.pending):
        if entry.record:
            groups[entry.record.identity.division, hashes(entry.record)].append(entry)
    made = [_board(division, of, entries) for (division, of), entries in groups.items()]
    return tuple(sorted(made, key=lambda b: (DIVISIONS.index(b.division), -b.runs, b.hashes)))


def hashes(record: Record) -> Hashes:
    """Those that a fixed-budget score's must be equal to."""
    return Hashes(**{name: getattr(record.identity.hashes, name) for name in standing.EQUAL_BUDGET})


def configuration(record: Record) -> Configuration:
    """The row that a run belongs to."""
    machine, software, run = record.hardware, record.software, record.run
    on_cpu = software.backend.endswith("-cpu")
    return Configuration(
        chip=machine.chip,
        cores=machine.cpu_cores if on_cpu else machine.gpu_cores,
        backend=software.backend,
        release=software.frameworks.get(software.backend.split("-")[0]),
        preset=record.identity.preset,
        config=record.identity.hashes.config,
        precision=run.precision_observed or f"{run.policy} asked",
        blas=software.blas if on_cpu else None,
    )


def interval(scores: Iterable[float]) -> tuple[float, float] | None:
    """Of the mean, at LEVEL; None for fewer than two."""
    scores = list(scores)
    if len(scores) < 2:
        return None
    half = float(stdtrit(len(scores) - 1, (1 + LEVEL) / 2)) * stdev(scores) / sqrt(len(scores))
    return mean(scores) - half, mean(scores) + half


def by_seed(entries: Iterable[Entry], value: Callable[[Record], float | None]) -> list[float]:
    """One number a seed: the median of its runs' known values."""
    found: dict[int, list[float]] = defaultdict(list)
    for entry in entries:
        if entry.record and (known := value(entry.record)) is not None:
            found[entry.record.run.seed].append(known)
    return [median(values) for values in found.values()]


def _board(division: str, of: Hashes, entries: list[Entry]) -> Board:
    rows = _rows(entries)
    placed = [row for row in rows if row.place in (RANKED, PROVISIONAL, LIMITED) and not row.memorised]
    scores = [row.bits_per_byte for row in placed if row.bits_per_byte]
    target = ceil(median(scores) * 10) / 10 if scores else None  # what half of them have reached
    rows = [replace(row, joules_to_target=_joules_to(row, target)) for row in rows]
    recipe = next(entry.record.identity.recipe for entry in entries if entry.record)
    order = {place: i for i, place in enumerate(PLACES)}
    rows.sort(key=lambda r: (order[r.place], r.rank or inf, r.bits_per_byte or 0.0, repr(r.configuration)))
    texts = [entry.record.identity.text for entry in entries if entry.record and entry.accepted]
    text = next(filter(None, texts), None)
    return Board(division, recipe, of, text, target, tuple(rows))


def _rows(entries: list[Entry]) -> list[Row]:
    groups: dict[tuple[Configuration, bool, tuple[str, ...]], list[Entry]] = defaultdict(list)
    for entry in entries:
        record = entry.record
        assert record is not None
        reasons = tuple(reason for reason in standing.unranked(record) if reason != standing.FAILED)
        groups[configuration(record), entry.pending, reasons].append(entry)
    return _with_ranks([_row(*key, entries=group) for key, group in groups.items()])


def _row(of: Configuration, pending: bool, reasons: tuple[str, ...], entries: list[Entry]) -> Row:
    scored = [entry.record for entry in entries if entry.record and entry.record.result]
    scores = by_seed(entries, derived.bits_per_byte)
    low, high = interval(scores) or (None, None)
    flags = [derived.flags(record) for record in scored]
    peak = derived.peak(scored[0]) if scored else None
    limited = any(derived.memory_limited(record) for record in scored)
    place = _place(pending, len(scores), bool(reasons), limited)
    return Row(
        configuration=of,
        place=place,
        rank=None,
        runs=len(scored),
        seeds=len(scores),
        failed=len(entries) - len(scored),
        bits_per_byte=median(scores) if scores else None,
        low=low,
        high=high,
        tokens_per_s=_median(scored, derived.tokens_per_s),
        tokens=_median(scored, derived.tokens),
        mfu=_median(scored, derived.mfu),
        mfu_of=peak and peak.name,
        measured_mfu=_median(scored, derived.measured_mfu),
        peak_bytes=_median(scored, lambda record: record.result and record.result.peak_memory_bytes),
        joules_per_token=_median(scored, derived.joules_per_token),
        joules_to_target=None,
        flags=tuple(dict.fromkeys(flag for found in flags for flag in found)),
        flagged=sum(map(bool, flags)),
        epochs=_median(scored, lambda record: record.run.epochs),
        reasons=reasons,
        entries=tuple(entries),
    )


def _place(pending: bool, seeds: int, refused: bool, limited: bool) -> str:
    if pending or not seeds or refused:
        return PENDING if pending else UNRANKED if seeds else FAILED
    if limited:
        return LIMITED
    return RANKED if seeds >= LEAST_SEEDS else PROVISIONAL


def _with_ranks(rows: list[Row]) -> list[Row]:
    """Ranks within the main list and within the memory-limited one, of rows with enough seeds."""

    def rank(row: Row) -> int | None:
        if row.place not in (RANKED, LIMITED) or row.provisional or row.low is None:
            return None
        alike = (r for r in rows if r.place == row.place and not r.provisional)
        return 1 + sum(other.high is not None and other.high < row.low for other in alike)

    return [replace(row, rank=rank(row)) for row in rows]


def _joules_to(row: Row, target: float | None) -> float | None:
    records = [entry.record for entry in row.entries if entry.record]
    return _median(records, lambda record: derived.joules_to(record, target)) if target else None


def _median(records: Iterable[Record], value: Callable[[Record], float | None]) -> float | None:
    known = [found for record in records if (found := value(record)) is not None]
    return median(known) if known else None
