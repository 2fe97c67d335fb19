"""What the release matrix stores: one file a backend, strictly typed, with one entry for each release.

Quantities come in kinds that say when two releases differ: an "error" by a factor, a "value" by more than rounding, a
"class" and "bits" (a digest of the answer, for which the tables print a letter) by anything.
Test with `pytest -m meta bench/meta/test_matrix.py`.
"""

import json
import math
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from impl.data import atomic
from reports.privacy import leaks, private_strings
from reports.record import rounded
from reports.schema import Section

SCHEMA_VERSION = "0.1"
SELECT = "conformance and not deep"
Kind = Literal["error", "value", "class", "bits"]


class MatrixError(ValueError):
    """What keeps a matrix from being read, written or run; one line with the thing and the remedy."""


class Quantity(Section):
    """One measured fact. `value`: a number, or a word: a class, a digest, "inf"; None where it was not measured."""

    name: str
    kind: Kind
    value: float | str | None


class Machine(Section):
    """Where all releases of one file were measured: numbers of two machines say nothing about a release."""

    chip: str | None
    system: str
    python: str
    environment: dict[str, str]


class Release(Section):
    """One release. `failures`: each step that did not succeed, by its name, with the reason; tests by their id."""

    release: str
    build: str | None  # as the framework names itself, such as 2.13.0+cpu; None where it could not be asked
    blas: str | None
    commit: str | None  # of this checkout
    select: str = SELECT  # which tests were asked for, as pytest's -m
    passed: int
    failed: int
    skipped: int
    failures: dict[str, str]
    quantities: tuple[Quantity, ...]

    def value(self, name: str) -> float | str | None:
        return next((quantity.value for quantity in self.quantities if quantity.name == name), None)


class Matrix(Section):
    """All releases of one backend, oldest first."""

    schema_version: Literal["0.1"] = SCHEMA_VERSION
    backend: str
    machine: Machine
    releases: tuple[Release, ...] = ()

    def names(self) -> list[str]:
        return [release.release for release in self.releases]

    def having(self, release: Release) -> "Matrix":
        """With this release, in place of an earlier entry of its name."""
        others = [r for r in self.releases if r.release != release.release]
        return self.model_copy(update={"releases": tuple(sorted([*others, release], key=lambda r: order(r.release)))})


def order(release: str) -> tuple[int, ...]:
    """Sorts 0.9.1 before 0.10.0."""
    return tuple(int(part) for part in release.split("."))


def number(value: float) -> float | str:
    """As JSON can hold it: three digits more than any table prints; "inf", "-inf" or "nan" by name."""
    return rounded(value, 6) if math.isfinite(value) else str(float(value))


def save(matrix: Matrix, path: Path) -> None:
    """Whole or not at all. Raises MatrixError for private strings, and where it cannot be written."""
    for field, secret in leaks(matrix.model_dump(), private_strings()):
        raise MatrixError(f"{field} holds {secret!r}, which is private to this machine; remove it before saving")
    write(path, json.dumps(matrix.model_dump(), indent=1) + "\n")


def add(release: Release, matrix: Matrix, path: Path, lock: Path) -> Matrix:
    """`matrix`, or what another process has made of its file meanwhile, with this release, saved."""
    with atomic.exclusive(lock, lambda: None):
        matrix = (load(path) if path.exists() else matrix).having(release)
        save(matrix, path)
    return matrix


def write(path: Path, text: str) -> None:
    """A whole file or none. Raises MatrixError naming the file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path) as temporary:
            temporary.write_text(text, "utf-8")
    except OSError as error:
        raise MatrixError(f"{path}: not written ({error.strerror}); free space or name another --folder") from None


def load(path: Path) -> Matrix:
    """Raises MatrixError for a file that is not there or not such a record."""
    try:
        return Matrix.model_validate_json(path.read_text("utf-8"))
    except OSError as error:
        raise MatrixError(
            f"{path}: cannot be read ({error.strerror}); run the matrix first, without --render"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise MatrixError(f"{path}: {where}: {first['msg']}; restore it or measure again with --again") from None
