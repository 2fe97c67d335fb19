"""The committed JSON Schema is what the code gives, and takes every report that the code takes.

Run with `pytest -m meta bench/meta/test_json_schema.py`.
"""

import json

import pytest
from jsonschema import Draft202012Validator

from bench.meta.records import failed_record, valid_record
from reports import json_schema
from reports.__main__ import main
from reports.record import to_json

pytestmark = pytest.mark.meta


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    return Draft202012Validator(json_schema.document())


def test_the_committed_file_is_what_the_code_gives():
    assert json_schema.FILE.read_text(encoding="utf-8") == json_schema.text(), f"run: {json_schema.COMMAND}"


def test_the_command(monkeypatch, tmp_path, capsys):
    assert main(["schema"]) == 0 and capsys.readouterr().out == json_schema.text()
    monkeypatch.setattr(json_schema, "FILE", tmp_path / "schema.json")
    assert main(["schema", "--write"]) == 0 and json_schema.FILE.read_bytes().decode() == json_schema.text()
    monkeypatch.setattr(json_schema, "FILE", tmp_path / "absent" / "schema.json")
    assert main(["schema", "--write"]) == 1 and "not written" in capsys.readouterr().err


def test_it_is_a_schema_of_its_draft(schema):
    Draft202012Validator.check_schema(json_schema.document())
    assert "2020-12" in json_schema.document()["$schema"]


def test_no_object_takes_unknown_properties():
    """Sections take none; what maps names to values says of what type these are."""
    objects = []

    def walk(node):
        if isinstance(node, dict):
            objects.extend([node] if node.get("type") == "object" else [])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(json_schema.document())
    assert len(objects) > 20
    for found in objects:
        assert found["additionalProperties"] is False if "properties" in found else found["additionalProperties"]


@pytest.mark.parametrize("make", [valid_record, failed_record])
def test_it_takes_what_we_write(schema, make):
    assert not list(schema.iter_errors(json.loads(to_json(make()))))


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("run", "colour", "red"),
        ("run", "seed", "42"),
        ("run", "seed", -1),
        ("run", "depth", 0),
        ("run", "policy", "float64"),
        ("result", "nats", 1e308),
        ("result", "eval_s", -1.0),
        ("identity", "created_utc", "yesterday"),
        ("identity", "commit", "../../etc"),
        ("hardware", "chip", "x" * 101),
        ("consent", "licence", "y" * 10_000),
        ("software", "frameworks", {"torch": 2}),
        ("state", "load_average", [1.0, 2.0]),
        ("state", "probes", [{"when": "once"}]),
    ],
)
def test_it_refuses_what_we_refuse(schema, section, field, value):
    changed = json.loads(to_json(valid_record()))
    changed[section][field] = value
    assert list(schema.iter_errors(changed))
