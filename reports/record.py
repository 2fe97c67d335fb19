"""One run's measurements as one file: strict to read, canonical to write, named by its content.

Test with `pytest -m fast -k reports`.
"""

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, model_validator

from reports import migrations
from reports.file import replacing
from reports.privacy import leaks, private_strings
from reports.schema import (
    SCHEMA_VERSION,
    Conformance,
    Consent,
    Hardware,
    Identity,
    Result,
    Run,
    Section,
    Software,
    State,
)

SIZE_LIMIT = 2 * 2**20  # bytes
MOST_STEPS = 2**15  # one takes 55.6 to 56.7 bytes as measured, in five columns of nine digits; a tenth is left
REMEDIES = {
    "extra_forbidden": f"schema {SCHEMA_VERSION} has no such field: remove it",
    "missing": "add it, or null where unknown",
    "finite_number": "what cannot be measured is null",
}


class ReportError(ValueError):
    """A report that cannot be read or written; one line with the file, the field, the value and the remedy."""


class Record(Section):
    """A whole report. A run either has a result or a failure."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    identity: Identity
    hardware: Hardware
    software: Software
    state: State
    run: Run
    result: Result | None
    conformance: Conformance | None
    consent: Consent

    @model_validator(mode="after")
    def _result_or_failure(self):
        if (self.result is None) != (self.run.failure is not None):
            raise ValueError("result must be null where run.failure is given, and only there")
        return self


def rounded(value: float, digits: int = 9) -> float:
    """A finite number as a report holds it: a plain float of `digits` significant digits (9 name a float32)."""
    return float(f"{float(value):.{digits}g}")


def column(values: Iterable[float], digits: int = 9) -> tuple[float | None, ...]:
    """Numbers as a report's column; null where not finite."""
    return tuple(rounded(value, digits) if math.isfinite(value) else None for value in values)


def to_json(record: Record) -> str:
    """The canonical text: keys sorted, objects indented, every array on one line, a newline at the end."""
    return _canonical(record.model_dump())


def content_hash(record: Record) -> str:
    """SHA-256 of the canonical text."""
    return _sha256(to_json(record))


def chip_slug(chip: str) -> str:
    """A folder name of a-z, 0-9 and hyphens. Raises ReportError where nothing of the name is left."""
    slug = re.sub(r"[^a-z0-9]+", "-", chip.lower()).strip("-")
    if not slug:
        raise ReportError(f"hardware.chip={chip!r} gives no folder name; use the name that its driver reports")
    return slug


def file_name(record: Record) -> str:
    """<date>-<backend>-<first 12 digits of the content hash>.json"""
    return _file_name(record, to_json(record))


def save(record: Record, folder: str | Path) -> Path:
    """Write to <folder>/<chip slug>/<file name>, whole or not at all; saving twice changes nothing.

    Raises ReportError for a record that holds this machine's private strings or exceeds SIZE_LIMIT, and where the
    disk is full or the folder cannot be written to.
    """
    named_by_choice = record.model_copy(update={"consent": Consent(licence=record.consent.licence)})
    for field, secret in leaks(named_by_choice.model_dump(), private_strings()):
        raise ReportError(f"{field} holds {secret!r}, which is private to this machine; remove it before saving")
    content = to_json(record).encode()
    if len(content) > SIZE_LIMIT:
        raise ReportError(f"report of {len(content)} bytes exceeds {SIZE_LIMIT}; take a larger preset or less budget_s")
    path = Path(folder) / chip_slug(record.hardware.chip) / file_name(record)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        reason = error.strerror or error
        raise ReportError(f"{path}: the report was not written ({reason}); free space or name another folder") from None
    return path


def require_room(step_s: float, budget_s: float) -> None:
    """Raises ReportError where steps of so many seconds would make more of them than a report holds."""
    if budget_s > MOST_STEPS * step_s:
        raise ReportError(
            f"steps of {1e3 * step_s:.3g} ms are some {budget_s / step_s:.0f} in budget_s={budget_s:g}, and a report "
            f"holds {MOST_STEPS}; take a larger preset, or --budget-s {MOST_STEPS * step_s:.0f} at most"
        )


def require_folder(folder: str | Path) -> None:
    """Make `folder` where it is missing. Raises ReportError where no report could be written into it."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\n")
    except OSError as error:
        raise ReportError(f"{folder}: no report can be written there ({error.strerror}); name another folder") from None


def load(path: str | Path) -> Record:
    """Read and validate one file of any released schema. Raises ReportError, never anything else, whatever it holds."""
    return read(path)[0]


def due_name(path: str | Path) -> str:
    """The name that a file's content gives it: its own text's, of whatever version it is. Raises as `load` does."""
    return read(path)[1]


def read(path: str | Path) -> tuple[Record, str]:
    """(record, due name) of one file, as `load` and `due_name` give them."""
    path = Path(path)
    text = _text(path)
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_short_int)
        today = migrations.current(document)
        as_it_was = today is document
        record = Record.model_validate_json(text if as_it_was else json.dumps(today))
        return record, file_name(record) if as_it_was else _file_name(record, _canonical(document))
    except RecursionError:
        raise _error(path, "is nested too deeply to be a report; rewrite it with reports.record.save") from None
    except migrations.MigrationError as error:
        raise _error(path, str(error)) from None
    except ValidationError as error:
        raise _error(path, _first(error)) from None
    except ValueError as error:
        raise _error(path, f"is no JSON that a report may be: {error}; restore the original file") from None


def _text(path: Path) -> str:
    if not path.is_file():
        raise _error(path, "is no regular file; give a report's path")
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > SIZE_LIMIT:
                raise _error(path, f"has {size} bytes, more than {SIZE_LIMIT}; a report is smaller")
            return file.read(SIZE_LIMIT + 1).decode()
    except UnicodeDecodeError as error:
        raise _error(path, f"is not UTF-8 at byte {error.start}; restore the original file") from None
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror}; check its permissions") from None


def _error(path: Path, reason: str) -> ReportError:
    shown = str(path) if str(path).isprintable() else repr(str(path))
    return ReportError(f"{shown}: {reason}")


def _first(error: ValidationError) -> str:
    """The first of pydantic's complaints, as one line of ours."""
    first, *others = error.errors(include_url=False)
    if first["type"] == "json_invalid":  # text that only Python's parser takes, such as half a surrogate pair
        reason = first["msg"].removeprefix("Invalid JSON: ")
        return f"is no JSON that a report may be: {reason}; restore the original file"
    field = migrations.short(".".join(map(str, first["loc"]))).strip("'") or "record"
    message = first["msg"].removeprefix("Value error, ").splitlines()[0][:200]
    shown = f"={migrations.short(first['input'])}" if isinstance(first["input"], (str, int, float, type(None))) else ""
    remedy = REMEDIES.get(first["type"], "write reports with reports.record.save")
    more = f" (and {len(others)} more)" if others else ""
    return f"{field}{shown}: {message}; {remedy}{more}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"key {migrations.short(twice)} stands twice")
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _short_int(digits: str) -> int:
    if len(digits) > 40:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _file_name(record: Record, canonical: str) -> str:
    return f"{record.identity.created_utc[:10]}-{record.software.backend}-{_sha256(canonical)[:12]}.json"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(document: dict[str, Any]) -> str:
    return _written(document, "") + "\n"


def _written(value: Any, indent: str) -> str:
    if isinstance(value, dict) and value:
        inner = indent + " "
        lines = (f"{inner}{json.dumps(key)}: {_written(value[key], inner)}" for key in sorted(value))
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
