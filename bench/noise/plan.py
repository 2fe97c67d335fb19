"""Which runs take the spread of a score apart: each kind of run lets some of its causes vary and holds the others.

Test with `pytest -m fast -k noise`.
"""

from collections.abc import Collection, Mapping
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


PILOTS = 3  # the first by the clock; the others follow the progress of the one in the middle


def reference(rows: Collection[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What others followed already; else the pilot of the middle number of steps: one may have met a busy machine."""
    known = next((row["follows"] for row in rows if row.get("follows")), None)
    pilots = sorted((row for row in rows if row.get("progress")), key=lambda row: row["steps"])
    pilots = [row for row in pilots if known in (None, row["key"])]
    return pilots[(len(pilots) - 1) // 2] if pilots else None


def cells(runs: int) -> list[Cell]:
    """So many of each kind: the pilots first, then turn about, so that what drifts on the machine drifts for all."""
    pilots = [Cell("clock", index) for index in range(min(PILOTS, runs))]
    return list(dict.fromkeys([*pilots, *(Cell(kind, index) for index in range(runs) for kind in KINDS)]))


def todo(runs: int, rows: Mapping[str, Mapping[str, Any]]) -> list[Cell]:
    """What `rows` lack."""
    lacking = [cell for cell in cells(runs) if cell.key not in rows]
    return [cell for cell in lacking if cell.kind != "kernel"] if repeats(rows.values()) else lacking


def repeats(rows: Collection[Mapping[str, Any]]) -> bool:
    """Whether the recorded run has come out bit for bit the same each time that it was done again."""
    again = [row["digest"] for row in rows if row["kind"] == "kernel"]
    first = reference(rows)
    return first is not None and len(again) >= LEAST_REPEATS and {*again} == {first["digest"]}
