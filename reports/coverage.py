"""Which chips have reports on which backend, and the command that would fill what is empty.

Rows come from reports/chips.py, so that none exists which does not. Test with `pytest -m fast -k coverage`.
"""

from dataclasses import dataclass
from itertools import count

from impl.spec import PRESETS
from reports.chips import CHIPS
from reports.collection import Collection, Entry
from reports.ranking import LIMITED, PROVISIONAL, RANKED, Board, Row

TIERS = ("base", "pro", "max", "ultra")
METAL, CUDA, CPU = ("mlx-metal", "torch-mps"), ("torch-cuda", "mlx-cuda"), ("torch-cpu", "mlx-cpu")
FIRST_SEED = 42  # the suite's default
SHARE = "python -m reports share FILE"


@dataclass(frozen=True)
class Cell:
    """A chip on a backend. `best` is its lowest median of preset `preset` on the division's largest board.

    `runs` counts accepted reports of every preset and division, failed ones too; `pending` those that wait.
    """

    chip: str
    tier: str | None  # Apple's; None for other makers
    backend: str
    preset: str
    runs: int
    pending: int
    best: Row | None
    commands: tuple[str, ...]  # what would make it count; empty where enough seeds are there


@dataclass(frozen=True)
class Matrix:
    """`generations` are rows of Apple's, each a cell a tier and backend, None where no such chip exists.

    `others` are chips with reports that are not Apple's GPUs, a tuple of cells each.
    """

    generations: dict[str, dict[tuple[str, str], Cell | None]]  # "M4" -> (tier, backend) -> cell
    others: dict[str, tuple[Cell, ...]]  # by chip


def matrix(collection: Collection, boards: tuple[Board, ...]) -> Matrix:
    """Every chip that Apple sells, and every other one that has reports."""
    names = {name for name, _ in CHIPS if name.startswith("Apple ")}
    by_generation = sorted({name.split()[1] for name in names})
    generations = {
        generation: {
            (tier, backend): _cell(name, tier, backend, tier, collection, boards) if name in names else None
            for tier in TIERS
            for name in [apple(generation, tier)]
            for backend in METAL
        }
        for generation in by_generation
    }
    seen = {(e.record.hardware.chip, e.record.software.backend) for e in collection.accepted if e.record}
    others = {}
    for chip, family in sorted(
        {(chip, family) for chip, backend in seen for family in (CUDA, CPU) if backend in family}
    ):
        preset = _usual_preset(_of(collection.accepted, chip, family), "h100" if family is CUDA else "cpu")
        cells = tuple(_cell(chip, None, backend, preset, collection, boards) for backend in family)
        others[chip] = others.get(chip, ()) + cells
    return Matrix(generations, others)


def apple(generation: str, tier: str) -> str:
    """The name that the driver reports."""
    return f"Apple {generation}" if tier == "base" else f"Apple {generation} {tier.capitalize()}"


def _cell(
    chip: str, tier: str | None, backend: str, preset: str, collection: Collection, boards: tuple[Board, ...]
) -> Cell:
    largest = next((board for board in boards if board.division == "tier"), None)
    rows = [
        row
        for row in (largest.of(RANKED, PROVISIONAL, LIMITED) if largest else ())
        if (row.configuration.chip, row.configuration.backend, row.configuration.preset) == (chip, backend, preset)
    ]
    best = min(rows, key=lambda row: row.bits_per_byte or 0.0, default=None)
    return Cell(
        chip=chip,
        tier=tier,
        backend=backend,
        preset=preset,
        runs=len(_of(collection.accepted, chip, (backend,))),
        pending=len(_of(collection.pending, chip, (backend,))),
        best=best,
        commands=_commands(backend, preset, best),
    )


def _commands(backend: str, preset: str, best: Row | None) -> tuple[str, ...]:
    if best and not best.provisional:
        return ()
    used = {entry.record.run.seed for entry in best.entries if entry.record} if best else set()
    seed = next(seed for seed in count(FIRST_SEED) if seed not in used)
    option = f" --seed {seed}" if seed != FIRST_SEED else ""
    return f"pytest -m slow --backend {backend} --preset {preset}{option}", SHARE


def _usual_preset(entries: list[Entry], default: str) -> str:
    """The one of most reports; only names that this checkout has, because a command is made of it."""
    presets = [e.record.identity.preset for e in entries if e.record and e.record.identity.division == "tier"]
    return max((p for p in PRESETS if p in presets), key=presets.count, default=default)


def _of(entries: tuple[Entry, ...], chip: str, backends: tuple[str, ...]) -> list[Entry]:
    return [
        entry
        for entry in entries
        if entry.record and entry.record.hardware.chip == chip and entry.record.software.backend in backends
    ]
