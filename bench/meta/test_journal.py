"""A live file is whole lines but for its last, whatever ends the run, and costs the run nothing.

Run with `pytest -m meta bench/meta/test_journal.py`.
"""

import math
import signal
import time

import pytest

from bench.meta import live
from bench.meta.command import start
from bench.meta.records import failed_record, valid_record
from bench.training import journal
from bench.training.journal import Journal
from bench.training.loop import Run
from bench.watch.following import Follower
from reports.schema import Failure

pytestmark = pytest.mark.meta


def lines(folder):
    (path,) = folder.glob(f"*/*{journal.SUFFIX}")
    return [journal.parsed(line) for line in path.read_bytes().splitlines()]


def test_a_line_holds_the_mean_of_the_steps_since_the_one_before(tmp_path):
    writer, run = live.begun(tmp_path), Run()
    with writer:
        live.trained(run, 9.0, step_s=0.25)
        live.told(writer, run, 0.1)
        for loss, step_s in ((8.0, 0.25), (6.0, 0.75)):
            live.trained(run, loss, step_s)
            writer.step(run, 0.2, lambda: pytest.fail("read where no line is written"), None)
        live.trained(run, 4.0, step_s=0.5)
        writer.step(run, 1.0, lambda: None, "hot")  # the last step is told at once
    header, phase, begun, first, last, *rest = lines(tmp_path)
    assert not rest and [line.kind for line in (header, phase, begun)] == ["header", "phase", "start"]
    assert (first.step, first.loss, first.step_s) == (1, 9.0, 0.25)
    assert (last.step, last.loss, last.step_s, last.slowest_s) == (4, 6.0, 0.5, 0.75)
    assert (last.timed_s, last.share, last.throttled, last.memory_bytes) == (1.75, 1.0, "hot", None)


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_null_and_told_at_once(lost, tmp_path):
    writer, run = live.begun(tmp_path), Run()
    with writer:
        live.told(writer, live.trained(run, 9.0), 0.1)
        live.trained(run, lost).failure = Failure(kind="loss-not-finite", step=1, message="loss is nan at step 1")
        writer.step(run, 0.2, lambda: None, None)
    assert [line.loss for line in lines(tmp_path) if line.kind == "step"] == [9.0, None]


def test_scores_and_probes_are_told_once(tmp_path):
    kinds = [journal.parsed(line).kind for line in live.written(tmp_path).read_bytes().splitlines()]
    assert kinds == ["header", "phase", "start", *["step"] * 4, "scored", "probed", *["step"] * 2]


def test_the_end_names_the_report_or_the_reason(tmp_path):
    with live.begun(tmp_path / "a") as writer:
        writer.end(valid_record(), tmp_path / "report.json")
    *_, scored, end = lines(tmp_path / "a")
    assert (scored.nats, scored.step, end.report, end.failure) == (1.0e6, 32, "report.json", None)
    with live.begun(tmp_path / "b") as writer:
        writer.end(failed_record(), tmp_path / "report.json")
    assert (lines(tmp_path / "b")[-1].report, lines(tmp_path / "b")[-1].failure) == ("report.json", "loss is nan")
    with pytest.raises(KeyboardInterrupt), live.begun(tmp_path / "c"):
        raise KeyboardInterrupt
    assert lines(tmp_path / "c")[-1].failure == "KeyboardInterrupt: no reason given"


def test_two_runs_of_one_second_have_a_file_each(tmp_path):
    with live.begun(tmp_path), live.begun(tmp_path):
        assert len(list(tmp_path.glob(f"*/*{journal.SUFFIX}"))) == 2


def test_nothing_private_is_written(tmp_path, monkeypatch):
    private = ("/home/zaphod", "heartofgold", "zaphod")
    monkeypatch.setattr(journal, "private_strings", lambda: private)
    with (
        pytest.raises(OSError),
        live.begun(tmp_path, chip="EPYC of Zaphod", data="/home/zaphod/heartofgold/zaphod") as writer,
    ):
        writer.phase("waiting for heartofgold")
        raise OSError("/home/zaphod/x is full on heartofgold")
    (path,) = tmp_path.glob(f"*/*{journal.SUFFIX}")
    text = path.read_text().lower()
    assert "~/x is full on ~" in text and not [secret for secret in private if secret in text]


class Full:
    """A file on a disk with `room` bytes."""

    def __init__(self, room):
        self.room, self.closed = room, False

    def write(self, content):
        if not self.room:
            raise OSError(28, "No space left on device")
        taken, self.room = min(self.room, len(content)), max(0, self.room - len(content))
        return taken

    def close(self):
        self.closed = True


@pytest.mark.parametrize("room", [0, 7])
def test_a_full_disk_silences_the_journal_and_leaves_the_run_alone(room, tmp_path):
    with live.begun(tmp_path) as writer:
        writer._file.close()
        writer._file = full = Full(room)
        writer.phase("scoring")
        assert full.closed
        full.room = 10**6
        writer.phase("scoring")  # half a line must not be followed by another
        live.told(writer, live.trained(Run(), 9.0), 0.5)
    assert full.room == 10**6


def test_a_folder_that_cannot_be_had_leaves_the_run_alone(tmp_path):
    (tmp_path / "file").write_text("")
    with live.begun(tmp_path / "file") as writer:
        live.told(writer, live.trained(Run(), 9.0), 0.5)
    with Journal() as writer:
        writer.begin(live.job(), valid_record().identity)
        writer.phase("scoring")


def test_a_file_cut_short_anywhere_is_read_up_to_there(tmp_path):
    content = live.written(tmp_path).read_bytes()
    path, whole = tmp_path / f"cut{journal.SUFFIX}", content.splitlines(keepends=True)
    ends = [sum(map(len, whole[: i + 1])) for i in range(len(whole))]
    for length in sorted({*range(0, len(content), 29), *ends, *(end - 1 for end in ends)}):
        path.write_bytes(content[:length])
        view = Follower(path).poll()
        said = [view.header, view.phase or view.steps[:1], view.start, *view.steps, *view.scores, *view.probes]
        assert view.unreadable == 0
        assert len(list(filter(None, said))) == sum(end <= length for end in ends), length


WRITER = """
import sys
from pathlib import Path
from bench.meta import live
from bench.training.loop import Run

writer, run = live.begun(Path(sys.argv[1])), Run()
while True:
    live.told(writer, live.trained(run, 5.0), 0.5)
    print(len(run.step_s), flush=True)
"""


@pytest.mark.parametrize("steps", [1, 7, 100, 1000])
def test_a_kill_leaves_every_line_that_was_told_and_at_most_a_part_of_one_more(steps, tmp_path):
    with start("-c", WRITER, tmp_path) as child:
        while child.stdout.readline() != f"{steps}\n":
            pass
        child.send_signal(signal.SIGKILL)
    (path,) = tmp_path.glob(f"*/*{journal.SUFFIX}")
    *whole, _ = path.read_bytes().split(b"\n")
    kinds = [line and line.kind for line in map(journal.parsed, whole)]
    assert kinds[:3] == ["header", "phase", "start"] and set(kinds[3:]) == {"step"} and len(kinds) >= 3 + steps


def test_a_line_costs_less_than_a_thousandth_of_the_time_between_two(tmp_path):
    """And a step without one next to nothing. The least of many: other processes are not the journal's cost."""
    writer, run = live.begun(tmp_path), Run()
    with writer:
        idle_s, line_s = [], []
        for _ in range(200):
            live.trained(run, 5.0)
            writer._due_s = 0.0
            line_s.append(_seconds(writer, run))
            live.trained(run, 5.0)
            idle_s.append(_seconds(writer, run))
    assert min(line_s) < 5e-4 * journal.EVERY_S and min(idle_s) < 1e-5


def _seconds(writer, run):
    start_ns = time.perf_counter_ns()
    writer.step(run, 0.5, lambda: live.MEMORY_BYTES, None)
    return (time.perf_counter_ns() - start_ns) / 1e9
