"""The judge with real programs: it ends what hangs, says why one crashed, and results.tsv loses no line.

`pytest -m meta bench/meta/test_judge.py`
"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from bench.meta.records import valid_record
from reports.__main__ import main
from reports.judge import decision, front, ledger, output
from reports.judge.attempt import attempt
from reports.judge.ledger import DIALECTS, LedgerError, Line
from reports.record import save

pytestmark = pytest.mark.meta

ROOT = Path(__file__).parents[2]
SUMMARY = "---\nval_bpb:          {bpb}\npeak_vram_mb:     {mb}\nmfu_percent: 12.34\ntotal_tokens_M: 3.0\n"
SUMMARY += "training_seconds: 300.0\nnum_steps: 500\nchip: M5 [bold]Max\n"
# A candidate whose val_bpb is its argument and a thousandth of the seed's last digit.
SCORES = (
    "import os, sys\nprint(sys.argv[1].format(bpb=float(sys.argv[2]) + int(os.environ['SEED']) % 10 / 1e3, mb=2048))\n"
)


@pytest.fixture
def judge(tmp_path, monkeypatch, capsys):
    """The command in an empty folder; the candidate is a process of its own. Gives exit status and both streams."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(code: str, *words, options=()) -> tuple[int, str]:
        Path("candidate.py").write_text(code)
        command = ["judge", "--baseline", "base", *map(str, options), "--", sys.executable, "candidate.py"]
        try:
            status = main([*command, *map(str, words)])
        except SystemExit as stop:
            status = int(str(stop.code))
        return status, "".join(capsys.readouterr())

    return run


def statuses(folder: Path) -> list[str]:
    return [line.status for line in ledger.read(folder / "results.tsv").lines]


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


def test_a_loop_of_baseline_keep_discard_and_doubt(tmp_path, judge):
    assert judge(SCORES, SUMMARY, 1.28)[0] == 0
    status, out = judge(SCORES, SUMMARY, 1.26, options=("--description", "wider", "--logs", "wide"))
    assert status == 0 and "keep: better" in out and "noise floor: 0.00100" in out
    assert sorted(path.name for path in (tmp_path / "wide").iterdir()) == [f"seed-{n}.log" for n in (42, 43, 44)]
    assert judge(SCORES, SUMMARY, 1.29)[0] == 1
    status, out = judge(SCORES, SUMMARY, 1.27, options=("--runs", 1))
    assert status == 3 and "cannot tell: a single run" in out
    status, out = judge(SCORES, SUMMARY, 1.279)
    assert status == 3 and "runs a side would tell a difference as large as this one" in out
    assert statuses(tmp_path) == ["baseline", "keep", "discard", "discard", "discard"]
    lines = ledger.read(tmp_path / "results.tsv").lines
    assert lines[1].val_bpb == pytest.approx(1.263) and lines[1].memory_gb == 2.0
    assert lines[1].description.startswith("wider (keep, n=3, -0.02000 [")


def test_the_same_score_of_every_seed_shows_no_noise(tmp_path, judge):
    fixed = "print('val_bpb: 1.3')"
    assert judge(SCORES, SUMMARY, 1.28)[0] == 0
    (tmp_path / "base" / "seed-43.log").write_text("val_bpb: 1.282\n")
    (tmp_path / "base" / "seed-44.log").write_text("val_bpb: 1.282\n")
    assert "does the command use its seed?" in judge(fixed)[1]


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


def test_a_crash_is_shown_and_written_down(tmp_path, judge):
    assert judge(SCORES, SUMMARY, 1.28)[0] == 0
    status, out = judge("print('step 3\\x1b[31m', flush=True)\n1/0")
    assert status == 4 and "crash: exit status 1 (seed 42)" in out
    assert "  | step 3\\x1b[31m" in out and "ZeroDivisionError" in out and "seed 43" not in out
    *_, last = (tmp_path / "results.tsv").read_text().splitlines()
    assert re.fullmatch(r"\w*\t0\.000000\t0\.0\tcrash\t.*exit status 1.*", last)


def test_a_baseline_that_crashes_is_none(tmp_path, judge):
    assert judge("1/0")[0] == 4
    assert not (tmp_path / "base").exists() and statuses(tmp_path) == ["crash"]


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


def test_outputs_of_the_field():
    golf = [
        "step:400/20000 val_loss:2.7228 val_bpb:1.6126 train_time:180224ms step_avg:450.56ms",
        "peak memory allocated: 10239 MiB reserved: 10730 MiB",
        "final_int8_zlib_roundtrip val_loss:2.7723 val_bpb:1.6419 eval_time:1439ms",
        "final_int8_zlib_roundtrip_exact val_loss:2.77230001 val_bpb:1.64190001",
    ]
    found = output.of_lines(golf, 1)
    assert (found.val_bpb, found.memory_mb, found.steps) == (1.64190001, 10239, 400)
    upstream = SUMMARY.format(bpb=0.9979, mb="n/a (unified memory)").splitlines()
    found = output.of_lines(["val_bpb: 2.5", *upstream], 1)
    assert (found.val_bpb, found.memory_mb, found.tokens_per_s, found.chip) == (0.9979, None, 1e4, "M5 [bold]Max")
    assert output.of_lines(golf[:1], 1).crash == "no val_bpb was printed"


def test_reports_are_a_baseline_and_their_hashes_are_looked_at(tmp_path):
    for seed, nats in ((1, 1.0e6), (2, 1.001e6)):
        save(valid_record(run={"seed": seed}, result={"nats": nats}), tmp_path)
    against = decision.baseline(tmp_path)
    assert sorted(run.seed for run in against) == [1, 2] and against[0].memory_mb == 1024
    line = "compare_with:     scores of equal recipe {}, data {}, eval {}; step by step only of".format(
        *against[0].rules
    )
    runs = [output.of_lines([line, f"val_bpb: {bpb}"], seed) for seed, bpb in ((3, 1.3), (4, 1.301))]
    assert decision.decide(runs, against, 0.01).name == "keep"
    other = [output.of_lines([line.replace("eval ", "eval 0"), "val_bpb: 1.3"], seed) for seed in (3, 4)]
    found = decision.decide(other, against, 0.01)
    assert found.name == "skip" and "not comparable" in found.reason


@pytest.mark.parametrize("columns", DIALECTS)
def test_every_dialect_is_written_and_found_again(tmp_path, columns):
    path = tmp_path / "results.tsv"
    row = {
        "commit": "abc1234", "val_bpb": 1.25, "memory_gb": 2.04, "peak_mem_gb": 2.04, "status": "keep",
        "description": "a\ttab\nand more", "notes": "n=3", "gpu_name": None, "watts": None, "steps": 500,
    }  # fmt: skip
    ledger.add(path, row, columns)
    name, before = ledger.add(path, {**row, "status": "crash", "val_bpb": None}, 5)  # the header decides
    header, first, second = path.read_text().splitlines()
    assert header.split("\t") == list(DIALECTS[columns]) and first.count("\t") == second.count("\t") == columns - 1
    assert "a tab and more" in first and "1.250000" in first and "0.000000" in second
    assert name == ("abc1234" if columns == 5 else "exp1") and len(before.lines) == 1
    kept, crashed = ledger.read(path).lines
    assert (kept.val_bpb, kept.memory_gb, crashed.val_bpb) == (1.25, 2.0, None)


def test_a_cut_line_is_noticed_and_kept(tmp_path):
    path = tmp_path / "results.tsv"
    ledger.add(path, {"commit": "a", "status": "keep", "description": "", "notes": ""}, 5)
    whole = path.read_bytes()
    path.write_bytes(whole + b"b\t1.2345")
    _, before = ledger.add(path, {"commit": "c", "status": "keep", "description": "", "notes": ""}, 5)
    assert before.cut and before.damaged == 1
    found = ledger.read(path)
    assert [line.name for line in found.lines] == ["a", "c"] and found.damaged == 1 and not found.cut
    assert path.read_bytes().startswith(whole + b"b\t1.2345\n")


def test_a_foreign_header_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "results.tsv"
    path.write_text("name,score\n")
    with pytest.raises(LedgerError, match="none of 5, 9, 10, 11, 14 columns"):
        ledger.add(path, {"commit": "c", "status": "keep", "description": "", "notes": ""}, 5)
    assert path.read_text() == "name,score\n"


ADDS = """
import sys
from pathlib import Path
from reports.judge import ledger
for n in range(int(sys.argv[2])):
    row = {"status": "keep", "description": "d" * 300, "notes": sys.argv[1], "val_bpb": 1.0, "commit": ""}
    ledger.add(Path("results.tsv"), row, 14)
    print(n, flush=True)
"""


def _adding(folder: Path, name: str, times: int) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ADDS, name, str(times)]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def test_judges_at_once_lose_no_line(tmp_path):
    children = [_adding(tmp_path, str(n), 25) for n in range(4)]
    for child in children:
        child.communicate(timeout=60)
    found = ledger.read(tmp_path / "results.tsv")
    assert sorted(line.name for line in found.lines) == sorted(f"exp{n}" for n in range(100)) and not found.damaged


def test_a_lock_is_what_numbers_them(tmp_path, monkeypatch):
    """Without it two judges read the same number: the test above would fail."""
    monkeypatch.setattr(ledger.fcntl, "flock", lambda *_: None)
    path = tmp_path / "results.tsv"
    row = {"status": "keep", "description": "", "notes": "", "commit": ""}
    ledger.add(path, row, 14)
    real = ledger._append

    def late(descriptor, content, size):
        monkeypatch.setattr(ledger, "_append", real)
        ledger.add(path, row, 14)  # another judge, in between
        real(descriptor, content, size)

    monkeypatch.setattr(ledger, "_append", late)
    ledger.add(path, row, 14)
    assert [line.name for line in ledger.read(path).lines] == ["exp0", "exp1", "exp1"]


def test_a_kill_leaves_the_file_whole(tmp_path):
    for _ in range(3):
        child = _adding(tmp_path, "killed", 100_000)
        written = [child.stdout.readline() for _ in range(20)]
        child.kill()
        child.communicate()
        assert written[-1]
        found = ledger.read(tmp_path / "results.tsv")
        assert not found.cut and not found.damaged and len(found.lines) >= 20


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "results.tsv"
    row = {"commit": "a", "status": "keep", "description": "", "notes": ""}
    ledger.add(path, row, 5)
    whole, write = path.read_bytes(), os.write
    monkeypatch.setattr(ledger.os, "write", lambda descriptor, content: write(descriptor, content[:5]))
    with pytest.raises(LedgerError, match="No space left"):
        ledger.add(path, row, 5)
    assert path.read_bytes() == whole


def test_front_and_plot():
    lines = [
        Line(name, status, "", bpb, gb)
        for name, status, bpb, gb in (
            ("a", "keep", 1.30, 2.0), ("b", "discard", 1.35, 3.0), ("c", "keep", 1.25, 4.0), ("d", "crash", None, None),
            ("e", "discard", 1.25, 4.5), ("f", "discard", 1.20, None),
        )
    ]  # fmt: skip
    assert [line.name for line in front.front(lines)] == ["a", "c"]
    picture = front.plot(lines)
    assert picture.count("o") >= 2 and "x" in picture and "*" in picture
    assert front.plot(lines[:1]) == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--results", "foreign.tsv"), "its header 'name' is none of"),
        (("--logs", "full"), "holds files already"),
        (("--noise", "nowhere"), "nowhere"),
        (("--runs", 0), "invalid"),
        (("--kill-s", "nan"), "invalid"),
    ],
)
def test_wrong_calls_train_nothing(tmp_path, judge, options, message):
    (tmp_path / "foreign.tsv").write_text("name\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    status, out = judge("open('ran', 'w')", options=options)
    assert status == 2 and message in out and not (tmp_path / "ran").exists()


def _wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")
