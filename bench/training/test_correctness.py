"""The record of the correctness suite is used again only where nothing that it hangs on has changed.

No suite runs here. `pytest -m fast bench/training/test_correctness.py`
"""

import io
import sys
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from bench import identity
from bench.training import correctness
from reports.schema import Conformance, Hardware

pytestmark = [pytest.mark.fast, pytest.mark.meta]


class Backend:
    """As much of one as a record hangs on."""

    name = "torch-cpu"
    release, library = "2.13.0", "MKL"

    def versions(self):
        return {"torch": self.release}

    def blas(self):
        return self.library

    def can_compile(self):
        return True


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small one, with its own cache; `ask()` is the job's question, `asked` how often a suite ran."""
    for name in ("conftest.py", "pyproject.toml", "impl/spec.py", "bench/check.py", "bench/operators/torch.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n")
    monkeypatch.setattr(identity, "ROOT", tmp_path)
    monkeypatch.setenv("NANOMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(identity, "packages", lambda: ["torch==2.13.0"])
    state = SimpleNamespace(root=tmp_path, asked=0, failed=0, backend=Backend(), machine=Hardware(chip="AMD EPYC"))

    def suite(backend):
        state.asked += 1
        counts = {"passed": 9, "failed": state.failed, "skipped": 0, "inconclusive": 0}
        return Conformance(versions=backend.versions(), checked_utc="2026-11-21T07:42:30Z", rows=(), **counts)

    def ask(recheck=False):
        job = SimpleNamespace(backend=state.backend, machine=state.machine, order=SimpleNamespace(recheck=recheck))
        told = io.StringIO()
        assert correctness.conform(job, Console(file=told, width=200)).passed == 9
        return told.getvalue()

    monkeypatch.setattr(correctness, "suite", suite)
    state.ask = ask
    return state


def test_what_has_not_changed_is_not_asked_again_and_this_is_said(checkout):
    checkout.ask()
    (checkout.root / "impl/__pycache__").mkdir()
    (checkout.root / "impl/__pycache__/spec.cpython-311.pyc").write_text("compiled from the same")
    told = checkout.ask()
    assert checkout.asked == 1
    assert told.count("\n") == 1 and "9 checks passed on 2026-11-21T07:42:30Z" in told and "--recheck" in told


def edited(checkout, monkeypatch):
    (checkout.root / "impl/spec.py").write_text("# changed, not committed\n")


def added(checkout, monkeypatch):
    (checkout.root / "bench/new.py").write_text("")


def moved(checkout, monkeypatch):
    (checkout.root / "bench/check.py").rename(checkout.root / "bench/checks.py")


def a_snapshot(checkout, monkeypatch):
    (checkout.root / "bench/operators/torch.txt").write_text("")


def a_release(checkout, monkeypatch):
    checkout.backend.release = "2.13.1"


def a_library(checkout, monkeypatch):
    monkeypatch.setattr(identity, "packages", lambda: ["nvidia-cublas==13.1", "torch==2.13.0"])


def a_blas(checkout, monkeypatch):
    checkout.backend.library = "OpenBLAS"


def a_chip(checkout, monkeypatch):
    checkout.machine = Hardware(chip="Apple M4")


def a_driver(checkout, monkeypatch):
    checkout.machine = Hardware(chip="AMD EPYC", driver="590.1")


def a_setting(checkout, monkeypatch):
    monkeypatch.setenv("TORCH_BLAS_PREFER_CUBLASLT", "7")


CHANGES = [edited, added, moved, a_snapshot, a_release, a_library, a_blas, a_chip, a_driver, a_setting]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_has_changed_is_asked_again(change, checkout, monkeypatch):
    checkout.ask()
    change(checkout, monkeypatch)
    checkout.ask()
    assert checkout.asked == 2


def test_a_setting_of_the_other_framework_is_none_of_ours(checkout, monkeypatch):
    checkout.ask()
    monkeypatch.setenv("MLX_ENABLE_TF32", "7")
    checkout.ask()
    assert checkout.asked == 1


def test_recheck_asks_again(checkout):
    checkout.ask()
    checkout.ask(recheck=True)
    assert checkout.asked == 2


def test_a_failure_is_not_kept(checkout):
    checkout.failed = 1
    checkout.ask()
    checkout.ask()
    assert checkout.asked == 2


def test_a_record_cut_short_is_made_again(checkout):
    checkout.ask()
    (kept,) = (checkout.root / "cache/conformance").iterdir()
    kept.write_text(kept.read_text()[:20])
    checkout.ask()
    assert checkout.asked == 2 and correctness.kept(kept) is not None


def test_how_far_the_checks_are_is_told_while_they_run(checkout):
    lines = [
        "collecting",
        "a.py::a PASSED  [  1%]",
        "[bfloat16] not a share",
        "a.py::b PASSED  [ 50%]",
        "b.py::c FAILED [100%]",
    ]
    told = []
    said = correctness.followed(
        [sys.executable, "-c", f"print(*{lines}, sep='\\n')"], lambda *share: told.append(share)
    )
    assert told == [(1, 100), (50, 100), (100, 100)] and said.splitlines() == lines


def test_checks_that_are_given_up_leave_no_process(checkout):
    def interrupted(done, total):
        raise KeyboardInterrupt

    endless = "import time; print('[ 1%]', flush=True); time.sleep(600)"
    since_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        correctness.followed([sys.executable, "-c", endless], interrupted)
    assert time.monotonic() - since_s < 60
