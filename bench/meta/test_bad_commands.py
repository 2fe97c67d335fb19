"""What a command cannot have ends in one line with the thing, the value and the remedy, before anything long begins.

Run with `pytest -m meta bench/meta/test_bad_commands.py`.
"""

import sys

import pytest

from bench import blas
from bench.profiles import __main__ as profiles

pytestmark = pytest.mark.meta


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backend", "nope"], "backend 'nope' is unknown; known: "),
        (["--data", "/nowhere"], "/nowhere: neither a data set nor a folder; give one of "),
        (["--seconds", "0"], "budget_s=0.0 must be above 0"),
    ],
)
def test_profiles_that_cannot_be_had(words, message, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("NANOMARK_CACHE", str(tmp_path))
    monkeypatch.setattr(profiles, "trained", lambda *_: pytest.fail("trained"))
    assert profiles.main(words) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line


def test_a_library_that_is_not_there(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench.blas", "--library", "/nowhere.so"])
    monkeypatch.setattr(blas, "measured", lambda *_: pytest.fail("measured"))
    with pytest.raises(SystemExit) as ended:
        blas.main()
    last = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2 and "--library /nowhere.so is not there; name" in last
