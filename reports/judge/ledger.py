"""results.tsv, the list of experiments that the field keeps, in its dialects; a line is added whole or not at all.

Test with `pytest -m meta bench/meta/test_ledger.py`.
"""

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STATUSES = BASELINE, KEEP, DISCARD, CRASH, SKIP = "baseline", "keep", "discard", "crash", "skip"
_NINE = ("exp", "description", "val_bpb", "peak_mem_gb", "tok_sec", "mfu", "steps", "status", "notes")
_ELEVEN = (*_NINE, "gpu_name", "baseline_sha")
DIALECTS = {
    5: ("commit", "val_bpb", "memory_gb", "status", "description"),
    9: _NINE,
    10: (*_NINE, "gpu_name"),
    11: _ELEVEN,
    14: (*_ELEVEN, "watts", "joules_per_token", "total_energy_joules"),
}
# How each is written. What is unknown is 0 where the field's own readers skip a line whose number is missing, as its
# crashes are; they take an empty power or energy.
FORMS = {
    "val_bpb": ("{:.6f}", "0.000000"), "memory_gb": ("{:.1f}", "0.0"), "peak_mem_gb": ("{:.1f}", "0.0"),
    "tok_sec": ("{:.0f}", "0"), "mfu": ("{:.1f}", "0.0"), "steps": ("{:.0f}", "0"), "watts": ("{:.1f}", ""),
    "joules_per_token": ("{:.6f}", ""), "total_energy_joules": ("{:.1f}", ""),
}  # fmt: skip
MEMORY = ("memory_gb", "peak_mem_gb")
LARGEST = 64 * 2**20  # bytes of a file that is read


class LedgerError(ValueError):
    """A results.tsv that cannot be read or added to; one line with the file, the fault and the remedy."""


@dataclass(frozen=True)
class Line:
    """An experiment that stands in the file; what is 0 or empty there is None."""

    name: str
    status: str
    description: str
    val_bpb: float | None
    memory_gb: float | None


@dataclass(frozen=True)
class Contents:
    """`damaged` counts lines that are none of the dialect's; `cut`: the last one was never finished."""

    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    damaged: int
    cut: bool


def read(path: Path) -> Contents:
    """Raises LedgerError for a header that is no dialect's."""
    try:
        with open(path, "rb") as file:
            return _contents(path, file.read(LARGEST + 1))
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}; give a results.tsv that can be read") from None


def add(path: Path, row: Mapping[str, object], columns: int) -> tuple[str, Contents]:
    """Append `row`, by the names of the longest dialect and of the first; the file's header decides what is written.

    A new file gets the dialect of so many columns. Returns the experiment's name and what stood there before. Others
    wait meanwhile; a full disk leaves the file as it was. Raises LedgerError.
    """
    try:
        with _locked(path) as descriptor:
            size = os.fstat(descriptor).st_size
            before = _contents(path, _all(descriptor)) if size else Contents(DIALECTS[columns], (), 0, False)
            name = str(row["commit"]) if "commit" in before.columns else f"exp{_next(before)}"
            described = row["description"] if "notes" in before.columns else f"{row['description']} ({row['notes']})"
            cells = {**row, "exp": name, "description": described}
            text = "\t".join(_cell(column, cells) for column in before.columns) + "\n"
            header = "" if size else "\t".join(before.columns) + "\n"
            # A line that was cut stays as it is, and the new one begins below it.
            content = (("\n" if before.cut else "") + header + text).encode()
            _append(descriptor, content, size)
    except OSError as error:
        raise LedgerError(
            f"{path}: nothing was added ({error.strerror}); free space or name another --results"
        ) from None
    return name, before


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """A descriptor that nobody else who asks holds, and that writes at the end only."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _append(descriptor: int, content: bytes, size: int) -> None:
    """In one write, which a kill cannot divide; what a full disk took only part of is taken back."""
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError(28, "No space left on device")
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _all(descriptor: int) -> bytes:
    return os.pread(descriptor, LARGEST + 1, 0)


def _contents(path: Path, content: bytes) -> Contents:
    if len(content) > LARGEST:
        raise LedgerError(f"{path}: more than {LARGEST} bytes; begin a new file")
    first, *rest = content.decode("utf-8", "replace").split("\n")
    columns = tuple(first.rstrip("\r").split("\t"))
    if columns not in DIALECTS.values():
        known = ", ".join(map(str, DIALECTS))
        raise LedgerError(f"{path}: its header {first[:80]!a} is none of {known} columns; name another --results")
    cut = not content.endswith(b"\n")
    whole = rest[:-1]  # behind the last newline is nothing, or a line that was cut
    cells = [line.rstrip("\r").split("\t") for line in whole if line.strip()]
    rows = [dict(zip(columns, row, strict=True)) for row in cells if len(row) == len(columns)]
    lines = tuple(_line(row) for row in rows if row["status"] in STATUSES)
    return Contents(columns, lines, len(cells) - len(lines) + (cut and bool(rest)), cut)


def _line(row: Mapping[str, str]) -> Line:
    memory = next((row[name] for name in MEMORY if name in row), "")
    name = row.get("exp") or row.get("commit", "")
    return Line(name, row["status"], row["description"], _positive(row["val_bpb"]), _positive(memory))


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None


def _next(before: Contents) -> int:
    numbers = [int(found[1]) for line in before.lines if (found := re.fullmatch(r"exp(\d{1,9})", line.name))]
    return max(numbers, default=-1) + 1


def _cell(column: str, row: Mapping[str, object]) -> str:
    value = row.get(column)
    if column in FORMS:
        form, unknown = FORMS[column]
        return unknown if value is None else form.format(value)
    return " ".join("".join(c if c.isprintable() else " " for c in str(value or "")).split())
