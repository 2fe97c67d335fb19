"""Options that cannot be had: one line with the thing, the value and the remedy, before anything long begins.

Run with `pytest -m meta bench/meta/test_bad_options.py`.
"""

import os
import re
from math import inf, nan
from types import SimpleNamespace

import pytest

from bench.meta.command import MAIN_JOB, PYTEST, only_line, run
from bench.training.order import Order
from impl.backend import Missing, discover

pytestmark = pytest.mark.meta

USAGE = 4  # pytest's exit status for a wrong call
BARE = {
    "recipe": "autoresearch",
    "preset": None,
    "set": [],
    "precision": None,
    "budget_s": None,
    "eval_every": None,
    "replay": None,
    "recheck": False,
    "profile": [],
}


def order(**options) -> Order:
    return Order.of(SimpleNamespace(**{**BARE, "seed": 42, "data": "sotu-v1", **options}))


WRONG = [
    ({"preset": "tinny"}, r"preset='tinny' is unknown; try one of \['base', .*'tiny'"),
    ({"recipe": "autosearch"}, r"recipe='autosearch' is unknown; try one of \['autoresearch'"),
    ({"precision": "fp16"}, r"precision='fp16' is unknown; try one of \['float32', 'bfloat16'\]"),
    ({"budget_s": -5.0}, r"budget_s=-5.0 must be above 0 and at most 1e\+06; try 300"),
    ({"budget_s": nan}, r"budget_s=nan must be above 0"),
    ({"budget_s": inf}, r"budget_s=inf must be above 0 and at most 1e\+06"),
    ({"eval_every": 0}, r"eval_every=0 must be at least 1; leave it out"),
    ({"profile": ["pr206"]}, r"profile='pr206' is unknown; try one of \['karpathy'.*"),
    ({"seed": -1}, r"seed=-1 must lie in \[0, 2\^64\); try 1"),
    ({"set": ["heads"]}, r"--set heads: no KEY=VALUE; try --set depth=6"),
    ({"set": ["=6"]}, r"--set =6: no KEY=VALUE; try --set depth=6"),
    ({"preset": "tiny", "set": ["dept=6"]}, r"--set dept=6: dept is unknown; try one of \['depth'"),
    ({"preset": "tiny", "set": ["lr=1"]}, r"--set lr=1: lr is ambiguous; try one of \[.*'matrices.lr'\]"),
    ({"preset": "tiny", "set": ["depth=two"]}, r"--set depth=two: depth is of type int; now it is 2"),
    ({"preset": "tiny", "set": ["total_batch=1000"]}, r"=1000 is not a multiple of .* = 1024; try total_batch=1024"),
    ({"preset": "tiny", "set": ["heads=3"]}, r"width=64 is not a multiple of heads=3; try width=66"),
    ({"preset": "tiny", "set": ["residual=half"]}, r"residual='half' is no dtype here; try one of \[.*'bfloat16'"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=lambda x: str(x) if isinstance(x, dict) else "")
def test_a_wrong_value_is_told_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        order(**options)
    assert "\n" not in str(error.value)


def test_what_can_be_had_is_no_error():
    asked = order(preset="tiny", set=["width=96", "heads=3", "kv_heads=3"], budget_s=1e6, eval_every=1, seed=0)
    assert asked.build("tiny").model.head_dim == 32
    assert order().build("tiny").schedule.budget_s == 300


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset=tinny"], "preset='tinny' is unknown; try one of"),
        (["--preset=tiny", "--set", "total_batch=1000"], "total_batch=1000 is not a multiple of device_batch=8"),
    ],
    ids=str,
)
def test_a_wrong_call_ends_at_once(words, message):
    status, output = run(*MAIN_JOB, *words)
    assert status == USAGE and only_line(output, "ERROR: ").startswith(f"ERROR: {message}")
    assert "collected" not in output, "told before anything is collected"


def test_settings_are_held_against_the_preset_that_this_machine_gets(backend):
    status, output = run(*MAIN_JOB, "--backend", backend, "--set", "total_batch=1000")
    assert status == USAGE and "total_batch=1000 is not a multiple of" in only_line(output, "ERROR: ")


@pytest.fixture(scope="module")
def missing() -> Missing:
    """A backend that is not here: no machine has all of them."""
    return next(state for state in discover().values() if isinstance(state, Missing))


def test_a_missing_backend_is_named_with_its_command(missing):
    status, output = run(*MAIN_JOB, "--backend", missing.name)
    line = only_line(output, "ERROR: ")
    assert status == USAGE and line.startswith(f"ERROR: backend {missing.name!r} is not there; available: ")
    assert line.endswith(f"{missing.name}: {missing.reason}, try `{missing.install}`")


def test_an_unknown_backend_in_the_variable_is_named_with_those_available():
    status, output = run(*MAIN_JOB, AUTORESEARCH_BACKEND="abacus")
    assert status == USAGE
    assert re.search(r"^ERROR: backend 'abacus' is unknown; known: .*torch-cpu.*; available: \w", output, re.M), output


@pytest.fixture
def bare(tmp_path) -> dict[str, str]:
    """The environment of someone who installed no framework."""
    for framework in ("torch", "mlx"):
        (tmp_path / f"{framework}.py").write_text(f"raise ModuleNotFoundError('stub', name='{framework}')")
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])}


@pytest.mark.parametrize("marker", ["slow", "fast"])
def test_no_backend_at_all_is_an_error(bare, marker):
    status, output = run(*PYTEST, "bench/training", "bench/conformance/test_ops.py", "-m", marker, **bare)
    line = only_line(output, "ERROR: ")
    assert status == USAGE and line.startswith("ERROR: no backend is here; ") and "passed" not in output
    for framework in ("torch", "mlx"):
        assert f"{framework}-cpu: {framework} is not installed, try `pip install " in line


def test_what_needs_no_backend_runs_without_one(bare):
    status, output = run(*PYTEST, "bench/meta/test_privacy.py", "-m", "meta", **bare)
    assert status == 0 and "backends: none" in output and re.search(r"\d+ passed", output)


def test_a_report_folder_that_cannot_be_is_told_before_training(backend, tmp_path):
    (tmp_path / "file").touch()
    status, output = run(*MAIN_JOB, "--backend", backend, "--preset=tiny", f"--report={tmp_path / 'file'}")
    line = only_line(output, "ERROR: ")
    assert status == USAGE and re.search(r"file: no report can be written there \(.+\); name another folder$", line)
