"""Reports of earlier schemas are read as today's, keep their names, and no version can hold another's fields.

Run with `pytest -m fast bench/meta/test_migrations.py`.
"""

import copy
import json
from pathlib import Path

import pytest

from reports import migrations
from reports.check import ACCEPTED, REJECTED, check
from reports.migrations import MigrationError, current
from reports.record import Record, content_hash, due_name, load, save, to_json
from reports.schema import SCHEMA_VERSION

pytestmark = [pytest.mark.fast, pytest.mark.meta]

DATA = Path(__file__).parents[2] / "reports/data"
# One of each released version, which no later change may touch; the newest is any report of today.
OLDEST = DATA / "intel-r-xeon-r-processor/2026-11-21-torch-cpu-51e43ff01fc5.json"  # 0.2, before it had a ceiling
LATER = DATA / "intel-r-xeon-r-processor/2026-11-21-mlx-cpu-7359035b3223.json"  # 0.2, with one
PATHS = (OLDEST, LATER)


def document(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_an_earlier_report_is_read_and_keeps_its_name(path, tmp_path):
    before, record = document(path), load(path)
    assert before["schema_version"] == "0.2" and record.schema_version == SCHEMA_VERSION
    assert due_name(path) == path.name and check(path).name == ACCEPTED
    again = save(record, tmp_path)  # by today's schema it is another text, and another name
    assert again.name != path.name and load(again) == record


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_migration_loses_nothing_and_invents_nothing(path):
    """What was there is there; what is new is unknown."""
    before, after = document(path), json.loads(to_json(load(path)))
    lost, new = [], []

    def compare(old, now, where):
        if isinstance(old, dict):
            lost.extend(f"{where}.{key}" for key in old.keys() - now.keys())
            new.extend((f"{where}.{key}", now[key]) for key in now.keys() - old.keys())
            for key in old.keys() & now.keys():
                compare(old[key], now[key], f"{where}.{key}")
        elif isinstance(old, list):
            assert len(old) == len(now)
            for i, (one, other) in enumerate(zip(old, now, strict=True)):
                compare(one, other, f"{where}.{i}")
        else:
            assert old == now or where == ".schema_version", where

    compare(before, after, "")
    assert not lost and all(value in (None, [], {}) for _, value in new), new
    assert {".software.numpy", ".hardware.form_factor", ".state.probes.0.at_s"} <= {name for name, _ in new}


def test_a_migration_leaves_its_argument_alone():
    before = document(OLDEST)
    kept = copy.deepcopy(before)
    current(before)
    assert before == kept


def test_todays_documents_are_not_touched():
    today = {"schema_version": SCHEMA_VERSION}
    assert current(today) is today


def test_every_released_version_leads_to_today():
    assert migrations.VERSIONS[-1] == SCHEMA_VERSION == Record.model_fields["schema_version"].default
    assert len(set(migrations.VERSIONS)) == len(migrations.VERSIONS) == len(migrations.STEPS) + 1


@pytest.mark.parametrize(
    ("field", "section"), [("numpy", "software"), ("form_factor", "hardware"), ("text", "identity")]
)
def test_an_earlier_version_cannot_hold_a_later_field(field, section):
    changed = document(OLDEST)
    changed[section][field] = "2.4.6"
    with pytest.raises(MigrationError, match=rf"^{field}: schema 0.2 has no such field; remove it, or write 1.0$"):
        current(changed)


def test_nor_can_its_probes():
    changed = document(OLDEST)
    changed["state"]["probes"][0]["power_w"] = None
    with pytest.raises(MigrationError, match=r"power_w: schema .* has no such field"):
        current(changed)


@pytest.mark.parametrize("value", [None, 3, "x", [], [3], {}, {"probes": 3}, {"probes": [3, None, []]}])
@pytest.mark.parametrize("section", ["identity", "hardware", "state", "software", "conformance"])
def test_any_shape_passes_through_to_validation(section, value):
    assert current({"schema_version": "0.2", section: value})["schema_version"] == SCHEMA_VERSION


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        ("1.1", "update the checkout (git pull)"),
        ("10.0", "update the checkout (git pull)"),
        ("0.1", "write the report with reports.record.save"),
        ("1.0.", "write the report with reports.record.save"),
        ("9" * 5000, "write the report with reports.record.save"),
        ("²", "write the report with reports.record.save"),
        ("", "write the report with reports.record.save"),
        (1.0, "write the report with reports.record.save"),
        (None, "write the report with reports.record.save"),
        (["0.2"], "write the report with reports.record.save"),
    ],
)
def test_another_version_is_refused_with_both_named(version, remedy):
    with pytest.raises(MigrationError) as error:
        current({"schema_version": version})
    reason = str(error.value)
    assert f"this checkout reads '0.2' and '1.0': {remedy}" in reason and len(reason) < 250 and reason.isprintable()


def test_a_changed_earlier_report_has_another_name(tmp_path):
    """The name is checked against the file's own text: a digit more and it no longer fits."""
    changed = document(OLDEST)
    changed["run"]["seed"] += 1
    path = tmp_path / OLDEST.name
    path.write_text(json.dumps(changed))
    assert due_name(path) != path.name and check(path).name == REJECTED
    assert "does not fit the content" in check(path).findings[0].reason


def test_an_earlier_report_laid_out_anew_keeps_its_name(tmp_path):
    """Line ends and spaces are no content."""
    path = tmp_path / OLDEST.name
    path.write_text(json.dumps(document(OLDEST), indent=4))
    assert due_name(path) == OLDEST.name and content_hash(load(path)) == content_hash(load(OLDEST))


def test_a_number_beyond_float_in_an_earlier_report(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(OLDEST.read_text().replace('"nats": ', '"nats": 1e999, "x": '))
    finding = check(path).findings[0]
    assert check(path).name == REJECTED and "nats" in finding.reason
