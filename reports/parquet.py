"""All reports as one Parquet file: a row a report, a column a value, lists for what was measured at every step.

Columns named section_field hold what a report stores, derived_* what follows from it with today's peaks. Null is not
known. Rejected files and second copies of a run are left out; `verdict` is accepted or pending, and only accepted rows
without `derived_unranked` may be ranked. VERSION, in the metadata, changes with any column's name, type or sense.
Test with `pytest -m fast -k parquet`.
"""

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from reports import derived, standing
from reports.collection import Collection, Entry
from reports.file import replacing
from reports.record import Record, ReportError

VERSION = "1"
TEXT, BOOL, WHOLE, REAL = pa.string(), pa.bool_(), pa.int64(), pa.float64()
REALS, TEXTS, NAMED = pa.list_(REAL), pa.list_(TEXT), pa.map_(TEXT, TEXT)


def _struct(columns: dict[str, pa.DataType]) -> pa.DataType:
    return pa.list_(pa.struct(list(columns.items())))


EVALS = _struct({"step": WHOLE, "nats": REAL, "bytes": WHOLE, "tokens": WHOLE, "seconds": REAL, "joules": REAL})
PROBES = _struct(
    {"when": TEXT, "at_s": REAL, "flop": WHOLE, "seconds": REAL, "precision": TEXT, "temperature_c": REAL,
     "clock_mhz": REAL, "power_w": REAL}
)  # fmt: skip

# What a report stores, by section.
STORED: dict[str, dict[str, pa.DataType]] = {
    "identity": {
        "suite_version": TEXT, "commit": TEXT, "dirty": BOOL, "created_utc": pa.timestamp("ms", tz="UTC"),
        "recipe": TEXT, "preset": TEXT, "settings": NAMED, "text": TEXT, "division": TEXT,
    },
    "identity.hashes": {"recipe": TEXT, "config": TEXT, "data": TEXT, "eval": TEXT},
    "hardware": {
        "chip": TEXT, "model_id": TEXT, "architecture": TEXT, "gpu_cores": WHOLE, "gpu_memory_bytes": WHOLE,
        "gpu_max_clock_mhz": WHOLE, "cpu": TEXT, "cpu_cores": WHOLE, "cpu_performance_cores": WHOLE,
        "cpu_flags": TEXTS, "cpu_governor": TEXT, "memory_bytes": WHOLE, "driver": TEXT, "power_limit_w": REAL,
        "virtualised": BOOL, "form_factor": TEXT,
    },
    "software": {
        "os": TEXT, "os_build": TEXT, "python": TEXT, "numpy": TEXT, "backend": TEXT, "frameworks": NAMED,
        "blas": TEXT, "compiled": BOOL, "environment": NAMED,
    },
    "state": {
        "power_source": TEXT, "low_power_mode": BOOL, "load_average": REALS, "thermal": TEXT, "throttled": TEXT,
        "background": REAL, "swap_bytes": WHOLE, "probes": PROBES,
    },
    "run": {
        "seed": pa.uint64(), "policy": TEXT, "precision_observed": TEXT, "mode": TEXT, "budget_s": REAL,
        "device_batch": WHOLE, "total_batch": WHOLE, "sequence_len": WHOLE, "depth": WHOLE, "parameters": WHOLE,
        "flop_per_token": WHOLE, "compile_s": REAL, "excluded_steps": WHOLE, "evals": EVALS, "epochs": REAL,
        "train_tokens": WHOLE, "discarded": REAL,
    },
    "run.warmup": {"steps": WHOLE, "seconds": REAL},
    "run.steps": {"step_s": REALS, "loss": REALS, "lr": REALS, "grad_norm": REALS, "progress": REALS},
    "run.failure": {"kind": TEXT, "step": WHOLE, "message": TEXT},
    "result": {
        "nats": REAL, "bytes": WHOLE, "tokens": WHOLE, "initial_nats": REAL, "unigram_nats": REAL, "eval_s": REAL,
        "total_s": REAL, "peak_memory_bytes": WHOLE, "peak_memory_method": TEXT, "joules": REAL,
        "joules_method": TEXT,
    },
    "conformance": {"passed": WHOLE, "failed": WHOLE, "skipped": WHOLE, "xfailed": WHOLE, "inconclusive": WHOLE},
    "consent": {"contributor": TEXT, "licence": TEXT},
}  # fmt: skip

# Its columns: name -> section, field, type.
COLUMNS = {
    f"{section.replace('.', '_')}_{name}": (section, name, of)
    for section, columns in STORED.items()
    for name, of in columns.items()
}

# What follows from it.
DERIVED: dict[str, tuple[pa.DataType, Callable[[Record], Any]]] = {
    "bits_per_byte": (REAL, derived.bits_per_byte),
    "initial_bits_per_byte": (REAL, derived.initial_bits_per_byte),
    "unigram_bits_per_byte": (REAL, derived.unigram_bits_per_byte),
    "tokens": (WHOLE, derived.tokens),
    "training_s": (REAL, derived.training_s),
    "tokens_per_s": (REAL, derived.tokens_per_s),
    "mfu": (REAL, derived.mfu),
    "mfu_of": (TEXT, lambda record: (peak := derived.peak(record)) and peak.name),
    "measured_mfu": (REAL, derived.measured_mfu),
    "joules_per_step": (REAL, derived.joules_per_step),
    "joules_per_token": (REAL, derived.joules_per_token),
    "memory_limited": (BOOL, derived.memory_limited),
    "flags": (TEXTS, derived.flags),
    "unranked": (TEXTS, standing.unranked),
}

SCHEMA = pa.schema(
    [
        ("file", TEXT),
        ("content_sha256", TEXT),
        ("verdict", TEXT),
        *((column, of) for column, (_, _, of) in COLUMNS.items()),
        *((f"derived_{name}", of) for name, (of, _) in DERIVED.items()),
    ],
    metadata={"nanomark_table": VERSION},
)


def table(collection: Collection) -> pa.Table:
    """Accepted and pending reports, in order of their files."""
    entries = sorted((*collection.accepted, *collection.pending), key=lambda entry: entry.path)
    return pa.Table.from_pylist([_row(entry, entry.record) for entry in entries if entry.record], schema=SCHEMA)


def write(collection: Collection, path: str | Path) -> int:
    """The number of rows written, all or, with the file as it was, none. Raises ReportError where that cannot be."""
    path, rows = Path(path), table(collection)
    try:
        with replacing(path) as temporary:
            parquet.write_table(rows, temporary, compression="zstd")
    except OSError as error:
        reason = error.strerror or error
        raise ReportError(f"{path}: the table was not written ({reason}); free space or name another file") from None
    return rows.num_rows


def _row(entry: Entry, record: Record) -> dict[str, Any]:
    stored = {column: _plain(_at(record, section), name, of) for column, (section, name, of) in COLUMNS.items()}
    follows = {f"derived_{name}": value(record) for name, (_, value) in DERIVED.items()}
    place = {"file": entry.path.as_posix(), "content_sha256": entry.digest, "verdict": entry.verdict.name}
    return {**place, **stored, **follows}


def _at(record: Record, section: str) -> Any:
    found: Any = record
    for name in section.split("."):
        found = found and getattr(found, name)
    return found


def _plain(section: Any, name: str, of: pa.DataType) -> Any:
    value = None if section is None else getattr(section, name)
    if value is None:
        return None
    if pa.types.is_timestamp(of):
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    if of in (EVALS, PROBES):
        return [one.model_dump() for one in value]
    return list(value.items()) if pa.types.is_map(of) else value
