"""The Parquet file holds what the reports hold, read back by Arrow's own reader of data sets.

Run with `pytest -m fast bench/meta/test_parquet.py`.
"""

import hashlib
from datetime import datetime, timezone

import pyarrow as pa
import pyarrow.dataset
import pytest

from bench.meta.boards import collection, run
from reports import derived, parquet
from reports.__main__ import main
from reports.record import ReportError, save

pytestmark = [pytest.mark.fast, pytest.mark.meta]

# Of the names and types; another one needs another parquet.VERSION, and readers to be told.
COLUMNS_SHA256 = {"1": "58e8a60344edcc9a002d3c7c7fea00377c3fa3a7e1808b44f3df907a4aef11c8"}


def written(tmp_path, *records, pending=()):
    path = tmp_path / "reports.parquet"
    assert parquet.write(collection(*records, pending=tuple(pending)), path) == len(records) + len(pending)
    return pyarrow.dataset.dataset(path).to_table()


def test_columns_are_those_of_the_version():
    described = "\n".join(f"{field.name}: {field.type}" for field in parquet.SCHEMA)
    assert hashlib.sha256(described.encode()).hexdigest() == COLUMNS_SHA256[parquet.VERSION]


def test_what_goes_in_comes_out(tmp_path):
    records = [run(1.4), run(1.3, seed=2**64 - 1, hardware={"chip": "'; DROP TABLE \u202e|<b>"}), run(None, seed=7)]
    table = written(tmp_path, *records)
    assert table.schema.equals(parquet.SCHEMA) and table.schema.metadata[b"nanomark_table"] == b"1"
    for record, row in zip(records, table.to_pylist(), strict=True):
        assert row["hardware_chip"] == record.hardware.chip and row["run_seed"] == record.run.seed
        assert row["identity_created_utc"] == datetime(2026, 11, 21, 7, 42, 30, tzinfo=timezone.utc)
        assert dict(row["software_frameworks"]) == record.software.frameworks
        for column in ("step_s", "loss", "lr", "grad_norm", "progress"):
            assert tuple(row[f"run_steps_{column}"]) == getattr(record.run.steps, column)  # to the last bit
        assert row["state_probes"][0]["seconds"] == record.state.probes[0].seconds
        assert row["derived_bits_per_byte"] == derived.bits_per_byte(record)
        assert row["derived_tokens_per_s"] == derived.tokens_per_s(record)
    failed = table.to_pylist()[2]
    assert failed["run_failure_kind"] == "error" and failed["result_nats"] is failed["derived_bits_per_byte"] is None
    assert failed["derived_unranked"] == ["it failed"] and table.to_pylist()[0]["run_failure_kind"] is None


def test_unknown_is_null(tmp_path):
    (row,) = written(tmp_path, run(1.4)).to_pylist()
    for name in ("hardware_gpu_cores", "hardware_power_limit_w", "result_joules", "derived_mfu", "state_background"):
        assert row[name] is None


def test_a_loss_that_is_not_finite_is_null(tmp_path):
    record = run(None)
    steps = record.run.steps.model_copy(update={"loss": (*record.run.steps.loss[:-1], None)})
    (row,) = written(
        tmp_path, record.model_copy(update={"run": record.run.model_copy(update={"steps": steps})})
    ).to_pylist()
    assert row["run_steps_loss"][-1] is None and row["run_steps_loss"][0] == 9.0


def test_verdicts_are_told_apart(tmp_path):
    table = written(tmp_path, run(1.4), pending=[run(1.0, seed=43)])
    assert table.column("verdict").to_pylist() == ["accepted", "pending"]


def test_every_stored_value_has_a_column():
    """Or stands here: sections of a machine's and a suite's own that no row of numbers holds."""
    left_out = {"state.ceiling", "conformance.versions", "conformance.checked_utc", "conformance.rows"}
    left_out |= {f"conformance.{name}" for name in ("onsets", "classes", "alternatives", "repeats")}
    sections = set(parquet.STORED)
    record = run(1.4)
    for section, columns in parquet.STORED.items():
        names = set(type(parquet._at(record, section) or run(None).run.failure).model_fields)
        nested = {name for name in names if f"{section}.{name}" in sections}
        missing = {f"{section}.{name}" for name in names - nested - set(columns)} - left_out
        assert not missing and set(columns) <= names


def test_an_empty_collection_is_an_empty_table(tmp_path):
    assert written(tmp_path).num_rows == 0


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    written(tmp_path, run(1.4))
    before = (tmp_path / "reports.parquet").read_bytes()

    def cut(table, path, **_):
        path.write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet.parquet, "write_table", cut)
    with pytest.raises(ReportError, match="No space left"):
        parquet.write(collection(run(1.3)), tmp_path / "reports.parquet")
    assert (tmp_path / "reports.parquet").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_command(tmp_path, capsys):
    save(run(1.4), tmp_path / "data")
    out = tmp_path / "all.parquet"
    assert (
        main(["table", str(tmp_path / "data"), "--parquet", str(out)]) == 0 and "1 reports" in capsys.readouterr().out
    )
    assert pa.parquet.read_table(out).num_rows == 1
    assert main(["table", str(tmp_path / "data"), "--parquet", str(tmp_path / "no" / "all.parquet")]) == 2
    assert "the table was not written" in capsys.readouterr().err
