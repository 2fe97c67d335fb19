"""A report survives the round trip, and nothing but a report is ever read, written or half written.

Run with `pytest -m fast bench/meta/test_reports.py`.
"""

import json
import os
import signal
import subprocess
import sys
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest

from bench.meta.records import failed_record, valid_record
from reports import record
from reports.record import ReportError, chip_slug, column, content_hash, due_name, file_name, load, save, to_json
from reports.schema import Steps

pytestmark = [pytest.mark.fast, pytest.mark.meta]

ROOT = Path(__file__).parents[2]


def document() -> dict:
    return json.loads(to_json(valid_record()))


def refused(tmp_path: Path, text: str | bytes) -> str:
    """The reason for which a file of this content is refused: one line that begins with the file."""
    path = tmp_path / "report.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ReportError) as error:
        load(path)
    reason = str(error.value)
    assert "\n" not in reason and reason.isprintable() and len(reason) < 600
    assert reason.startswith(f"{path}: ")
    return reason.removeprefix(f"{path}: ")


@pytest.mark.parametrize("make", [valid_record, failed_record])
def test_round_trip(make, tmp_path):
    path = save(make(), tmp_path)
    assert load(path) == make()
    assert path.read_text() == to_json(load(path))
    assert path.relative_to(tmp_path).as_posix() == f"amd-epyc-9554-64-core-processor/{file_name(make())}"
    assert path.name == f"2026-11-21-torch-cpu-{content_hash(make())[:12]}.json"


def test_saving_twice_changes_nothing(tmp_path):
    first = save(valid_record(), tmp_path)
    before = first.read_bytes()
    assert save(valid_record(), tmp_path) == first
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [first] and first.read_bytes() == before


def test_any_change_changes_the_hash():
    assert content_hash(valid_record(run={"seed": 43})) != content_hash(valid_record())


@pytest.mark.parametrize("path", sorted((ROOT / "reports/data").rglob("*.json")), ids=lambda path: path.stem)
def test_a_committed_report_keeps_its_name(path):
    """Of whatever version it is: the name is that of its own text, not of the record it is read as."""
    assert due_name(path) == path.name


def test_columns_stand_on_one_line():
    lines = to_json(valid_record()).splitlines()
    assert sum(line.count("0.125") > 20 for line in lines) == 1
    assert max(len(line) for line in lines) < 1000


def test_a_column_keeps_float32_and_nulls_the_rest():
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    assert (np.asarray(column(values), np.float32) == values).all()
    assert column([1, nan, inf, -inf]) == (1.0, None, None, None)


def test_unknown_field(tmp_path):
    changed = document()
    changed["run"]["colour"] = "red"
    assert refused(tmp_path, json.dumps(changed)).startswith("run.colour='red': Extra inputs are not permitted; schema")


def test_missing_field(tmp_path):
    changed = document()
    del changed["run"]["seed"]
    assert "run.seed: Field required; add it, or null where unknown" in refused(tmp_path, json.dumps(changed))


@pytest.mark.parametrize(
    ("section", "field", "value", "reason"),
    [
        ("run", "seed", "42", "run.seed='42': Input should be a valid integer"),
        ("run", "seed", 42.0, "run.seed=42.0: Input should be a valid integer"),
        ("run", "seed", True, "run.seed=True: Input should be a valid integer"),
        ("run", "depth", -1, "run.depth=-1: Input should be greater than or equal to 1"),
        ("run", "policy", "float64", "run.policy='float64': Input should be 'float32'"),
        ("result", "nats", 1e308, "result.nats=1e+308: Input should be less than or equal to"),
        ("result", "eval_s", -1.0, "result.eval_s=-1.0: Input should be greater than or equal to 0"),
        ("identity", "created_utc", "yesterday", "identity.created_utc='yesterday': must read like 2026-"),
        ("identity", "created_utc", "2026-13-40T00:00:00Z", "does not match format"),
        ("identity", "commit", "../../etc", "identity.commit='../../etc': String should match pattern"),
        ("hardware", "chip", "x" * 101, "String should have at most 100 characters"),
        ("software", "os", "\x1b[2J", "software.os"),
        ("consent", "licence", "y" * 10_000, "String should have at most 1000 characters"),
    ],
)
def test_wrong_value(section, field, value, reason, tmp_path):
    changed = document()
    changed[section][field] = value
    if value == "\x1b[2J":  # text is free; only its display must be harmless
        changed["software"]["backend"] = value
        reason = r"software.backend='\x1b[2J'"
    assert reason in refused(tmp_path, json.dumps(changed))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_not_a_number(constant, tmp_path):
    text = to_json(valid_record()).replace('"nats": 1000000.0', f'"nats": {constant}')
    assert f"{constant} is not a number" in refused(tmp_path, text)


def test_a_number_beyond_float(tmp_path):
    text = to_json(valid_record()).replace('"nats": 1000000.0', '"nats": 1e999')
    assert "result.nats" in refused(tmp_path, text)


def test_nan_is_refused_before_writing():
    with pytest.raises(ValueError, match="finite number"):
        valid_record(result={"nats": nan})


def test_an_integer_of_a_million_digits(tmp_path):
    text = to_json(valid_record()).replace('"seed": 42', f'"seed": {"9" * 10**6}')
    assert "an integer of 1000000 digits" in refused(tmp_path, text)


def test_duplicate_key(tmp_path):
    text = to_json(valid_record()).replace('"seed": 42', '"seed": 41,\n"seed": 42')
    assert "key 'seed' stands twice" in refused(tmp_path, text)


@pytest.mark.parametrize("text", ["[" * 500_000, '{"a":' * 200_000])
def test_deep_nesting(text, tmp_path):
    assert "nested too deeply" in refused(tmp_path, text)


def test_nesting_that_only_the_second_parser_minds(tmp_path):
    changed = document()
    changed["state"]["thermal"] = json.loads("[" * 300 + "]" * 300)
    reason = refused(tmp_path, json.dumps(changed))
    assert "recursion" in reason or "state.thermal" in reason


def test_three_mebibytes_are_not_even_read(tmp_path, monkeypatch):
    monkeypatch.setattr(record.json, "loads", lambda *a, **k: pytest.fail("parsed"))
    reason = refused(tmp_path, to_json(valid_record()) + " " * 3 * 2**20)
    assert "more than 2097152" in reason


def test_too_long_a_run_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "SIZE_LIMIT", 1000)
    with pytest.raises(ReportError, match="exceeds 1000; take a larger preset"):
        save(valid_record(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_cut_file(part, tmp_path):
    text = to_json(valid_record())
    assert "is no JSON that a report may be" in refused(tmp_path, text[: int(part * len(text))])


def test_half_a_surrogate_pair(tmp_path):
    text = to_json(valid_record()).replace('"python": "3.11.9"', '"python": "\\ud800"')
    assert refused(tmp_path, text).startswith("is no JSON that a report may be: unexpected end of hex escape")


def test_not_text(tmp_path):
    assert "is not UTF-8 at byte 0" in refused(tmp_path, b"\xff\xfe{}")


@pytest.mark.parametrize("text", ["[]", "null", "3", '"x"', "{}"])
def test_not_a_report(text, tmp_path):
    assert "schema_version=None, but this checkout reads '0.2' and '1.0'" in refused(tmp_path, text)


def test_future_schema(tmp_path):
    changed = {**document(), "schema_version": "7.0"}
    reason = "schema_version='7.0', but this checkout reads '0.2' and '1.0': update the checkout (git pull)"
    assert refused(tmp_path, json.dumps(changed)) == reason


def test_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "absent.json", tmp_path, tmp_path / "pipe.json"):
        with pytest.raises(ReportError, match="is no regular file"):
            load(path)


def test_a_hostile_value_is_shown_harmlessly(tmp_path):
    changed = document()
    changed["run"]["\x1b[31m\n" + "k" * 500] = "\x1b]0;title\x07" + "v" * 500
    assert "\\x1b" in refused(tmp_path, json.dumps(changed))


def test_columns_of_one_length(tmp_path):
    changed = document()
    changed["run"]["steps"]["lr"].pop()
    assert "columns differ in length: step_s 32, loss 32, lr 31" in refused(tmp_path, json.dumps(changed))


def test_a_null_loss_needs_a_failure(tmp_path):
    changed = document()
    changed["run"]["steps"]["loss"][5] = None
    assert "steps.loss is null at step 5, before any failure" in refused(tmp_path, json.dumps(changed))


def test_result_or_failure(tmp_path):
    changed = document()
    changed["result"] = None
    assert "result must be null where run.failure is given" in refused(tmp_path, json.dumps(changed))


@pytest.mark.parametrize("chip", ["../../../etc/passwd", "/etc/cron.d/x", "..\\..\\x", "a\x00b", "NUL/../.."])
def test_a_path_in_the_chip_name_stays_inside(chip, tmp_path):
    folder = tmp_path / "reports"
    path = save(valid_record(hardware={"chip": chip}), folder)
    assert path.resolve().parent.parent == folder.resolve()
    assert load(path).hardware.chip == chip


@pytest.mark.parametrize("chip", ["../..", "芯片", "."])
def test_a_chip_name_without_letters_is_refused(chip):
    with pytest.raises(ReportError, match="gives no folder name"):
        chip_slug(chip)


def test_a_record_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        valid_record().run.seed = 1
    assert isinstance(valid_record().run.steps, Steps)


# Killed while saving

CHILD = """
import os, sys, time
from bench.meta.records import valid_record
from reports.record import save
def stop(fd):
    print("written", flush=True)
    time.sleep(60)
os.fsync = stop
save(valid_record(), sys.argv[1])
"""


def test_a_kill_while_saving_leaves_no_half_file(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None and child.stdout.readline() == "written\n"
        child.send_signal(signal.SIGKILL)
    assert not [p for p in tmp_path.rglob("*.json") if not p.name.startswith(".")]
    assert len([p for p in tmp_path.rglob(".*") if p.is_file()]) == 1, "killed before anything was written"
    assert load(save(valid_record(), tmp_path)) == valid_record()


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReportError, match="No space left"):
        save(valid_record(), tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
