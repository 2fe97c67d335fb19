"""A committed report's first losses are found again on another backend; those of a doctored one are not.

`pytest -m meta bench/meta/test_replayed.py`
"""

import json
from pathlib import Path

import pytest

from bench import replay
from impl import backend as backends
from reports.record import load, save
from reports.references import DATA

pytestmark = pytest.mark.meta
TINY = next(path for path in sorted(DATA.rglob("*.json")) if load(path).identity.preset == "tiny")
STEPS = "--steps=4"


@pytest.fixture
def other():
    """A backend that is here, other than the report's own where there is one."""
    return replay.chosen(None, load(TINY).software.backend)


def changed(folder: Path, section: str, **fields) -> Path:
    """The report with some fields replaced, as a file."""
    report = load(TINY)
    return save(report.model_copy(update={section: getattr(report, section).model_copy(update=fields)}), folder)


def doctored(factor: float) -> dict:
    """Every loss but the first times `factor`."""
    steps = load(TINY).run.steps
    first, *later = steps.loss
    return {"steps": steps.model_copy(update={"loss": (first, *(factor * x for x in later if x is not None))})}


def test_a_committed_report_on_another_backend(other, capsys):
    assert replay.main([str(TINY), STEPS, f"--backend={other}"]) == 0
    out = capsys.readouterr().out
    assert "yes: seed 42, the first 4 losses lie in the envelope" in out and "not on which machine" in out


def test_the_oracle_replays_too(capsys):
    assert replay.main([str(TINY), "--steps=2", "--backend=oracle", "--seed=42", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["backend"] == "oracle" and answer["answer"].startswith("yes: seed 42 as asked for")
    assert [step["inside"] for step in answer["steps"]] == [True, True]


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_doctored_losses(factor, other, tmp_path, capsys):
    path = changed(tmp_path, "run", **doctored(factor))
    assert replay.main([str(path), STEPS, f"--backend={other}"]) == 1
    assert "no: seed 42, the loss of step 1 lies outside of the envelope" in capsys.readouterr().out


def test_losses_of_another_seed(other, tmp_path, capsys):
    path = changed(tmp_path, "run", seed=43)
    assert replay.main([str(path), STEPS, f"--backend={other}"]) == 1
    assert "no: seed 43, the loss of step 0" in capsys.readouterr().out


def test_a_seed_that_was_not_asked_for(capsys):
    assert replay.main([str(TINY), "--seed=7"]) == 1
    assert "no: it is of seed 42, and seed 7 was asked for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("section", "fields", "words"),
    [
        ("identity", {"recipe": "mine"}, "this checkout cannot rebuild the recipe"),
        ("identity", {"preset": "cpu"}, "hashes.config is not this checkout's; check out"),
        ("identity", {"text": "/etc"}, "its text '/etc' is no set of this checkout; give the same text as --data"),
        ("run", {"depth": 12}, "a model of 2 layers, of 12 by its own account"),
        ("run", {"seed": 2**63, "policy": "float16"}, "does not compute in float16; name another --backend"),
    ],
)
def test_what_cannot_be_asked(section, fields, words, tmp_path, capsys):
    assert replay.main([str(changed(tmp_path, section, **fields))]) == 2
    error = capsys.readouterr().err
    assert words in error and "error: " in error


def test_another_text(tmp_path, capsys):
    hashes = load(TINY).identity.hashes.model_copy(update={"data": "0" * 64})
    assert replay.main([str(changed(tmp_path, "identity", hashes=hashes))]) == 2
    assert "hashes.data is not that of sotu-v1" in capsys.readouterr().err


def test_wrong_calls(tmp_path, capsys):
    assert replay.main([str(tmp_path / "absent.json")]) == 2
    assert replay.main([str(TINY), "--backend=torch-tpu"]) == 2
    assert "is unknown" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        replay.main([str(TINY), "--steps=0"])
    assert stop.value.code == 2


def test_the_reports_own_backend_is_the_last_choice():
    here = [name for name, state in backends.discover().items() if isinstance(state, backends.Found)]
    assert replay.chosen(None, "none of these") == here[0]
    assert replay.chosen(None, here[0]) == (here[1] if len(here) > 1 else here[0])
