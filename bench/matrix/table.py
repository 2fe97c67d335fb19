"""Release by quantity: which steps moved something, as a terminal table and as Markdown, both from the stored record.

Test with `pytest -m meta bench/meta/test_matrix.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_uppercase

from rich.table import Table
from rich.text import Text

from bench.matrix.record import Matrix, Quantity, Release

# On one machine a number moves only where a release moved it: of the ten steps between eleven releases of MLX, each run
# by itself, eight left every row of the suite alone to the last digit. Where sigmoid came to round differently (0.29.3)
# errors moved by 1.25 at most; where an accumulator changed (0.32.3), one moved by 300.
FACTOR = 1.5
ROUNDING = 1e-6  # of values, which are exact or nothing

Value = float | str | None


@dataclass(frozen=True)
class Step:
    """From one release to the next, what a quantity did."""

    before: str
    after: str
    name: str
    kind: str
    old: Value
    new: Value


def measured(matrix: Matrix) -> list[Release]:
    """The releases that have anything to compare."""
    return [release for release in matrix.releases if release.quantities]


def quantities(matrix: Matrix) -> list[Quantity]:
    """One of each name, in the order of first appearance."""
    return list({q.name: q for release in matrix.releases for q in release.quantities}.values())


def differs(kind: str, old: Value, new: Value, factor: float = FACTOR) -> bool:
    """Whether two releases differ in a quantity of this kind; what was not measured differs from nothing."""
    if old is None or new is None:
        return False
    if isinstance(old, str) or isinstance(new, str):
        return old != new
    if kind == "error":
        small, large = sorted((abs(old), abs(new)))
        return large > factor * small
    return abs(old - new) > ROUNDING * max(abs(old), abs(new))


def steps(matrix: Matrix, factor: float = FACTOR) -> Iterator[Step]:
    """Every change between neighbouring releases that were measured, oldest first."""
    found = measured(matrix)
    for before, after in pairwise(found):
        for quantity in quantities(matrix):
            old, new = before.value(quantity.name), after.value(quantity.name)
            if differs(quantity.kind, old, new, factor):
                yield Step(before.release, after.release, quantity.name, quantity.kind, old, new)


def cells(matrix: Matrix, name: str, kind: str) -> list[str]:
    """What the table shows of one quantity, a cell for each release; digests as letters in the order of appearance."""
    values = [release.value(name) for release in matrix.releases]
    if kind == "bits":
        letters = dict(zip(dict.fromkeys(v for v in values if v is not None), ascii_uppercase, strict=False))
        return [letters.get(value, "") if value is not None else "" for value in values]
    return [shown(value) for value in values]


def shown(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:.3g}"


def told(step: Step) -> str:
    """One change as words."""
    if step.kind == "bits":
        return f"{step.name.removesuffix(', bits')}: other bits"
    return f"{step.name}: {shown(step.old)} -> {shown(step.new)}"


def changed(matrix: Matrix, factor: float = FACTOR) -> dict[tuple[str, str], list[Step]]:
    """The steps by (before, after)."""
    found: dict[tuple[str, str], list[Step]] = {}
    for step in steps(matrix, factor):
        found.setdefault((step.before, step.after), []).append(step)
    return found


def terminal(matrix: Matrix, everything: bool, factor: float = FACTOR) -> Table:
    """Quantities that moved, or all of them; a cell that differs from the release before stands out."""
    moved = {step.name for step in steps(matrix, factor)}
    arrivals = {(step.after, step.name) for step in steps(matrix, factor)}
    table = Table("quantity", *matrix.names(), title=f"{matrix.backend}: release by quantity")
    for quantity in quantities(matrix):
        if everything or quantity.name in moved:
            row = zip(matrix.names(), cells(matrix, quantity.name, quantity.kind), strict=True)
            styled = [Text(cell, "bold red" if (name, quantity.name) in arrivals else "") for name, cell in row]
            table.add_row(Text(quantity.name), *styled)
    table.add_row(Text("tests passed, failed"), *(Text(_counts(release)) for release in matrix.releases))
    return table


def _counts(release: Release) -> str:
    if "install" in release.failures:
        return "not installed"
    return f"{release.passed}, {release.failed}"


def markdown(matrix: Matrix, factor: float = FACTOR) -> str:
    """The page of one backend: where it was measured, what changed, what failed, then every number."""
    machine, found = matrix.machine, measured(matrix)
    commits = sorted({release.commit for release in matrix.releases if release.commit})
    blas = sorted({release.blas for release in found if release.blas})
    lines = [
        f"# {matrix.backend}, release by release",
        "",
        f"Made by `python -m bench.matrix --backend {matrix.backend}`, and again from the record beside it with "
        f"`--render`. Measured on {machine.chip or 'an unknown chip'}, {machine.system}, Python {machine.python}"
        f"{', ' + ' and '.join(blas) if blas else ''}, checkout {', '.join(c[:7] for c in commits) or 'unknown'}.",
        "",
        f"Tests asked for: {'; '.join(f'`{select}`' for select in sorted({release.select for release in found}))}. "
        f"An error counts as changed by a factor of {factor:g} or more; classes, values and bits by any difference.",
        "",
        "## What changed",
        "",
    ]
    for (before, after), moves in changed(matrix, factor).items():
        lines += [f"**{before} -> {after}**", "", *(f"- {told(step)}" for step in moves), ""]
    lines += [] if changed(matrix, factor) else ["Nothing, between any two releases that were measured.", ""]
    failing = [(release.release, *item) for release in matrix.releases for item in release.failures.items()]
    if failing:
        lines += [
            "## What failed",
            "",
            *(f"- {name}: `{what}` {reason}".rstrip() for name, what, reason in failing),
            "",
        ]
    lines += ["## Every number", "", *_grid(matrix)]
    return "\n".join(lines) + "\n"


def _grid(matrix: Matrix) -> list[str]:
    lines = [f"| quantity | {' | '.join(matrix.names())} |", "|---" * (len(matrix.releases) + 1) + "|"]
    told = (q for q in quantities(matrix) if any(release.value(q.name) not in (None, 0) for release in matrix.releases))
    lines += [f"| {q.name} | {' | '.join(cells(matrix, q.name, q.kind))} |" for q in told]
    return [*lines, f"| tests passed, failed | {' | '.join(map(_counts, matrix.releases))} |"]
