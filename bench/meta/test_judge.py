"""The judge keeps, discards, or says that it cannot tell, with candidates that are real programs.

`pytest -m meta bench/meta/test_judge.py`
"""

import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.meta.records import valid_record
from reports.__main__ import main
from reports.judge import decision, front, ledger, output
from reports.judge.ledger import Line
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


NUMBERS = st.floats().map(str) | st.integers().map(str) | st.text(max_size=10)
KEYS = ("val_bpb: ", "num_steps: ", "total_tokens_M: ", "training_seconds: ", "final_int8_roundtrip val_bpb:", "chip: ")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KEYS) | st.text(max_size=10), NUMBERS).map("".join), max_size=6))
def test_nothing_that_is_printed_stops_the_judge(lines):
    found = output.of_lines(lines, 1)
    assert (found.crash is None) == (found.val_bpb is not None)
    assert found.crash or 0 < found.val_bpb < output.NO_SCORE


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
