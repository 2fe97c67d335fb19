"""`python -m reports check` tells one verdict from another, and no file stops it.

Run with `pytest -m fast bench/meta/test_reports_command.py`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.meta.records import valid_record
from reports.__main__ import main
from reports.check import ACCEPTED, PENDING, REJECTED, check
from reports.record import save, to_json

pytestmark = [pytest.mark.fast, pytest.mark.meta]


def test_command(tmp_path, capsys):
    accepted = save(valid_record(), tmp_path / "data")
    pending = save(valid_record(hardware={"chip": "[bold]x[/]"}), tmp_path / "data")
    assert main(["check", str(tmp_path / "data")]) == 0
    out = capsys.readouterr().out
    assert "1 accepted, 1 pending" in out and "1.4439" in out
    assert "unknown CPU maker in hardware.chip='[bold]x[/]'" in out
    (tmp_path / "data" / "broken.json").write_text("{")
    assert main(["check", str(tmp_path / "data"), "--json"]) == 1
    found = {Path(v["file"]).name: v for v in json.loads(capsys.readouterr().out)}
    assert {name: v["verdict"] for name, v in found.items()} == {
        accepted.name: ACCEPTED, pending.name: PENDING, "broken.json": REJECTED,
    }  # fmt: skip
    assert found["broken.json"]["findings"][0]["part"] == "schema"


def test_no_command_waits_for_what_only_another_needs():
    asked = "import sys; import reports.__main__ as r\ntry: r.main(['check', '--help'])\nfinally: print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(run.stdout.splitlines()[-1].split())
    assert "reports.check" in loaded
    assert not loaded & {"numpy", "scipy", "pyarrow", "jinja2"}  # of compare, judge, site and table


def test_command_called_wrongly(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 2
    assert main(["check", str(tmp_path / "absent.json")]) == 2
    assert "no report there" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["check"])
    assert stop.value.code == 2


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "schema" in text and "pending" in text and "Exit status: 0" in text and "reports/data" in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_value_anywhere_crashes_the_check(data, tmp_path_factory):
    document = json.loads(to_json(valid_record()))
    node = document
    while True:
        key = data.draw(st.sampled_from(sorted(node)) if isinstance(node, dict) else st.integers(0, len(node) - 1))
        if not node[key] or not isinstance(node[key], (dict, list)) or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(JSON)
    path = tmp_path_factory.mktemp("any") / "report.json"
    path.write_text(json.dumps(document))
    assert check(path).name == REJECTED  # its name alone is wrong
