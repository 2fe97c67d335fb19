"""A candidate that hangs is ended with all that it started, and one that crashed says why.

`pytest -m meta bench/meta/test_attempt.py`
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from reports.judge import output
from reports.judge.attempt import attempt

pytestmark = pytest.mark.meta

ROOT = Path(__file__).parents[2]


@pytest.fixture
def survivors(tmp_path, monkeypatch):
    """Lists the processes that this test's attempts left behind; the name is in what they inherit."""
    monkeypatch.setenv("NANOMARK_TEST", str(tmp_path))

    def found() -> list[psutil.Process]:
        left = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                named = process.environ().get("NANOMARK_TEST") == str(tmp_path)
                if named and process.status() != psutil.STATUS_ZOMBIE:
                    left.append(process)
        return left

    return found


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('val_bpb: nan')", "val_bpb=nan is no score"),
        ("print('val_bpb: inf')", "val_bpb=inf is no score"),
        ("print('val_bpb: 0.000000')", "val_bpb=0.0 is no score"),
        ("print('val_bpb: n/a')", "val_bpb=None is no score"),
        ("pass", "no val_bpb was printed"),
        ("print('val_bpb: 1.2'); raise SystemExit(7)", "exit status 7"),
        ("raise MemoryError", "out of memory"),
        ("import sys; sys.exit('torch.OutOfMemoryError: CUDA out of memory')", "out of memory"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL, as where memory runs out"),
    ],
)
def test_why_a_candidate_crashed(tmp_path, code, reason):
    done = attempt([sys.executable, "-c", code], 1, tmp_path / "log", 20, "SEED")
    assert output.of_attempt(done).crash == reason


IGNORES = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(600)\n"
)
FORKS = "import os, time\nfor i in range(3):\n    if os.fork() == 0:\n        if i: os.setsid()\n        break\n"
FORKS += "time.sleep(600)\n"
DAEMON = "import os, time\nif os.fork():\n    print('val_bpb: 1.2'); raise SystemExit\nos.setsid(); time.sleep(600)\n"


@pytest.mark.parametrize("code", [IGNORES, FORKS], ids=["deaf", "forking"])
def test_what_hangs_is_ended_with_all_that_it_started(tmp_path, monkeypatch, survivors, code):
    monkeypatch.setattr("reports.judge.attempt.GRACE_S", 0.5)
    done = attempt([sys.executable, "-c", code], 1, tmp_path / "log", 1.0, "SEED")
    assert done.killed and done.wall_s < 10 and not survivors()
    assert output.of_attempt(done).crash == f"killed after {done.wall_s:.0f} s"


def test_what_a_finished_run_left_behind_is_ended_too(tmp_path, survivors):
    done = attempt([sys.executable, "-c", DAEMON], 1, tmp_path / "log", 20, "SEED")
    assert not done.killed and done.status == 0 and not survivors()
    assert output.of_attempt(done).val_bpb == 1.2


def test_ending_the_group_alone_would_not_do(tmp_path, monkeypatch, survivors):
    """The mistake: what went into a session of its own lives on."""
    monkeypatch.setattr("reports.judge.attempt._marked", lambda _: [])
    monkeypatch.setattr("reports.judge.attempt.GRACE_S", 0.5)
    attempt([sys.executable, "-c", FORKS], 1, tmp_path / "log", 1.0, "SEED")
    left = survivors()
    for process in left:
        process.kill()
    assert len(left) == 2


def test_an_interrupted_judge_ends_its_run_and_writes_nothing(tmp_path, survivors):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "a.log").write_text("val_bpb: 1.2\n")
    command = [sys.executable, "-m", "reports", "judge", "--baseline", "base", "--", sys.executable, "-c"]
    code = "import time; open('begun', 'w').close(); time.sleep(600)"
    judging = subprocess.Popen([*command, code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    _wait_for(tmp_path / "begun")
    judging.send_signal(signal.SIGTERM)
    assert judging.wait(30) == 143
    assert not survivors() and not (tmp_path / "results.tsv").exists()


def test_seeds_reach_the_command_both_ways(tmp_path):
    code = "import os, sys; print('val_bpb:', os.environ['RUN_SEED'] + '.' + sys.argv[1])"
    done = attempt([sys.executable, "-c", code, "{seed}"], 7, tmp_path / "log", 20, "RUN_SEED")
    assert output.of_attempt(done).val_bpb == 7.7


def _wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")
