"""Which runs take the spread of a score apart: each kind of run lets some of its causes vary and holds the others.

Test with `pytest -m fast -k noise`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SEED = 42  # of the kinds that have one only
# kind: (the first of its seeds, None for SEED in all; whether it follows the recorded progress). No two kinds share a
# run, so that what they estimate is independent.
KINDS = {
    "clock": (None, False),  # varies: schedule, kernels
    "both": (1042, False),  # seed, schedule, kernels: what a user's runs vary
    "seed": (2042, True),  # seed, kernels
    "kernel": (None, True),  # kernels
}
LEAST_REPEATS = 2  # of the recorded run, bit for bit the same: no more are needed


@dataclass(frozen=True)
class Cell:
    """One run."""

    kind: str
    index: int

    @property
    def key(self) -> str:
        return f"{self.kind} {self.index}"

    @property
    def seed(self) -> int:
        first, _ = KINDS[self.kind]
        return SEED if first is None else first + self.index

    @property
    def replays(self) -> bool:
        return KINDS[self.kind][1]


REFERENCE = Cell("clock", 0)  # its progress is what the others follow


def cells(runs: int) -> Iterator[Cell]:
    """So many of each kind, turn about: what drifts on the machine drifts for all. The reference is the first."""
    for index in range(runs):
        for kind in KINDS:
            yield Cell(kind, index)


def todo(runs: int, rows: Mapping[str, Mapping[str, Any]]) -> list[Cell]:
    """What `rows` lack."""
    lacking = [cell for cell in cells(runs) if cell.key not in rows]
    return [cell for cell in lacking if cell.kind != "kernel"] if repeats(rows.values()) else lacking


def repeats(rows) -> bool:
    """Whether the recorded run has come out bit for bit the same each time that it was done again."""
    again = [row["digest"] for row in rows if row["kind"] == "kernel"]
    first = next((row["digest"] for row in rows if row["key"] == REFERENCE.key), None)
    return len(again) >= LEAST_REPEATS and {*again} == {first}
