"""The live view says what its files hold, fits its terminal, and no file can end or steer it.

Run with `pytest -m meta bench/meta/test_watch.py`.
"""

import io
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from math import log
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.meta import live
from bench.meta.command import ROOT, run
from bench.meta.records import failed_record, valid_record
from bench.training import journal
from bench.watch import curve
from bench.watch import frame as frames
from bench.watch import ledger as ledgers
from bench.watch.__main__ import Watch, main
from bench.watch.following import Follower
from bench.watch.ledger import Ledger
from impl.flops import flop_per_token
from impl.spec import preset
from reports.record import save

pytestmark = pytest.mark.meta


def drawn(view, ledger, width=80, height=24) -> list[str]:
    """The frame's rows as they reach a terminal."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(frames.frame(view, ledger, width, height))
    return console.file.getvalue().removesuffix("\n").split("\n")


def look(path, width=80, height=24) -> list[str]:
    watch = Watch(path)
    return drawn(watch.look(), watch.ledger, width, height)


def silent_for(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def test_figures_are_those_of_the_file(tmp_path):
    view = Follower(live.written(tmp_path)).poll()
    tokens_per_s = preset("cpu").data.total_batch / live.STEP_S
    bits_per_nat = live.TOKENS / live.BYTES / log(2)
    assert (view.share, view.steps[-1].timed_s, view.remaining_s) == (0.5, 3.0, 3.0)
    assert view.tokens_per_s == tokens_per_s
    assert view.mfu == pytest.approx(tokens_per_s * flop_per_token(preset("cpu").model) / 1e12)
    assert view.loss == sum(live.LOSSES[1:]) / 5 and view.bits_per_nat == pytest.approx(bits_per_nat)
    shown = "\n".join(look(tmp_path))
    expected = ["sotu-v1", "seed 42", "training", "50.0%", "3 s, 3 s remain", f"{tokens_per_s:,.0f}", "3 MiB", "500 ms"]
    expected += [f"{view.loss:.4f}", f"~{view.loss * bits_per_nat:.3f}", f"{1.5e6 / live.BYTES / log(2):.4f} at 4"]
    assert not [word for word in expected if word not in shown], shown


def test_a_slow_stretch_and_a_slow_probe_are_told(tmp_path):
    assert Follower(live.written(tmp_path / "even")).poll().disturbed is None
    path = live.written(tmp_path / "slow", losses=(5.0,) * 40)
    text = path.read_text().splitlines()
    slow = [line.replace('"step_s":0.5', '"step_s":0.75') if '"step":2' in line else line for line in text]
    path.write_text("\n".join([*slow, '{"at_s":9,"kind":"probed","flop_per_s":5e10}', ""]))
    told = "1.50x slower from 8 to 16 s"  # 10 to 15, and half a window of medians around
    assert Follower(path).poll().disturbed == f"{told}; the probe product takes 2.00x its best"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 48), (100, 30), (200, 12)])
@pytest.mark.parametrize("steps", [0, 1, 300])
def test_a_frame_fits_its_terminal(width, height, steps, tmp_path):
    folder = live.written(tmp_path, losses=tuple(9 - i / 100 for i in range(steps))).parents[1]
    for seed in range(40):
        save(valid_record(run={"seed": seed}), folder)
    rows = look(folder, width, height)
    assert len(rows) <= height and max(map(len, rows)) <= width
    assert steps == 0 or len(rows) > height - 3  # and uses it


def test_the_end_is_shown(tmp_path):
    path = live.written(tmp_path)
    with path.open("a") as file:
        file.write('{"at_s":9,"kind":"end","report":null,"failure":"out of memory with device_batch=8"}\n')
    assert "failed: out of memory with device_batch=8" in "\n".join(look(tmp_path))
    path.write_text(path.read_text().replace('"out of memory with device_batch=8"', "null"))
    assert "finished" in "\n".join(look(tmp_path))


def test_a_run_that_was_killed_falls_silent_and_is_kept_in_the_ledger(tmp_path):
    killed = live.written(tmp_path)
    silent_for(killed, 20)
    assert "training" in "\n".join(look(killed))
    silent_for(killed, 100)
    assert "no word for 100 s: killed, or hangs" in "\n".join(look(killed))
    patient = tmp_path / "patient.jsonl"  # its score took 40 s, and may take so long again
    patient.write_text(re.sub(r'"at_s":[\d.e-]+(,"kind":"start")', r'"at_s":40\1', killed.read_text()))
    silent_for(patient, 100)
    assert "training" in "\n".join(look(patient))
    patient.unlink()
    time.sleep(0.01)
    with live.begun(tmp_path):
        shown = look(tmp_path, 160, 48)
    assert "warming up" in shown[1] and "no report at 50%: no end: killed" in shown[-1]


def test_the_ledger_has_reports_newest_first_and_a_star_for_the_best_of_a_kind(tmp_path):
    for day, nats in ((10, 1.2e6), (11, 1.0e6), (12, 1.1e6)):
        save(valid_record(identity={"created_utc": f"2026-11-{day}T07:42:30Z"}, result={"nats": nats}), tmp_path)
    other = {"created_utc": "2026-11-13T07:42:30Z"}
    save(valid_record(run={"budget_s": 9.0}, identity=other, result={"nats": 0.5e6}), tmp_path)  # of another kind
    save(failed_record(), tmp_path)
    (tmp_path / "broken.json").write_text("{")
    ledger = Ledger(tmp_path)
    ledger.look()
    assert [entry.when[8:10] for entry in ledger.entries] == ["21", "13", "12", "11", "10"]
    assert [ledger.entries[i].when[8:10] for i in ledgers.best(ledger.entries)] == ["11"]
    assert ledger.unreadable == 1
    rows = look(tmp_path, 160, 48)
    assert "none" in rows[4] and "loss is nan" in rows[4] and "* 1.4439" in rows[7], rows


def test_a_long_story_leaves_the_figures_their_room(tmp_path):
    save(valid_record(), tmp_path)
    watch = Watch(tmp_path)
    view = watch.look()
    watch.ledger.entries = [replace(entry, told="x " * 300) for entry in watch.ledger.entries]
    assert "26-11-21 07:42 torch-cpu cpu" in drawn(view, watch.ledger, 160, 48)[-1]


def test_a_report_is_read_once(tmp_path, monkeypatch):
    path, asked = save(valid_record(), tmp_path), []
    read = ledgers.record.load
    monkeypatch.setattr(ledgers.record, "load", lambda path: asked.append(path) or read(path))
    ledger = Ledger(tmp_path)
    ledger.look()
    ledger.look()
    silent_for(path, 5)
    ledger.look()
    assert len(asked) == 2 and len(ledger.entries) == 1


def test_a_growing_file_is_read_as_a_whole_one(tmp_path):
    content, path = live.written(tmp_path / "whole").read_bytes(), tmp_path / f"x{journal.SUFFIX}"
    path.write_bytes(b"")
    follower, rng, at = Follower(path), random.Random(0), 0
    with path.open("ab", buffering=0) as file:
        while at < len(content):
            part = content[at : at + rng.randrange(1, 200)]
            at += file.write(part)
            follower.poll()
    whole = Follower(path).poll()
    follower.view.silent_s = whole.silent_s
    assert follower.view == whole and len(whole.steps) == len(live.LOSSES)


def test_a_file_that_shrank_or_was_replaced_is_read_anew_and_one_that_is_gone_stays_shown(tmp_path):
    path = live.written(tmp_path)
    content, follower = path.read_bytes(), Follower(path)
    assert len(follower.poll().steps) == 6
    path.write_bytes(content[: content.index(b'"step":3')])
    assert len(follower.poll().steps) == 2
    live.written(tmp_path / "other", losses=(5.0,) * 9).replace(path)  # longer
    assert [step.loss for step in follower.poll().steps] == [5.0] * 9
    path.unlink()
    assert len(follower.poll().steps) == 9


def test_a_folder_s_newest_run_is_followed(tmp_path, monkeypatch):
    watch = Watch(tmp_path)
    assert watch.look().header is None
    monkeypatch.setattr("bench.watch.__main__.LOOK_AROUND_S", 0.0)
    silent_for(live.written(tmp_path), 5)
    assert len(watch.look().steps) == 6
    with live.begun(tmp_path):
        assert watch.look().steps == [] and watch.look().phase.doing == "warming up"


NUMBERS = st.sampled_from(["1e999", "-1", "0", "1e308", "NaN", "null", "1e-308", "9" * 50, '"x"', "[]", "1e38"])
WORDS = st.sampled_from(["\\u001b[2J", "\\u0000", "[red]", "\\ud800", "x" * 2000, "\\n\\n", "é×日"])


@st.composite
def mangled(draw):
    """A live file after an accident or by an enemy: values, lines, bytes."""
    lines = CONTENT.decode().splitlines()
    for _ in range(draw(st.integers(0, 6))):
        i = draw(st.integers(0, len(lines) - 1))
        parts = lines[i].split(":")
        j = draw(st.integers(0, len(parts) - 1))
        kind = draw(st.sampled_from(["number", "text", "drop", "repeat", "swap"]))
        if kind == "number":
            lines[i] = ":".join([*parts[:j], draw(NUMBERS) + parts[j][parts[j].find(",") :], *parts[j + 1 :]])
        elif kind == "text":
            word = draw(st.sampled_from(["warming", "sotu", "AMD", "made up", "cpu"]))
            lines = [line.replace(word, draw(WORDS)) for line in lines]
        elif kind == "drop":
            lines[i] = ""
        elif kind == "repeat":
            lines.insert(i, lines[i])
        else:
            lines[i], lines[0] = lines[0], lines[i]
    content = "\n".join(lines).encode() + b"\n"
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=20)) + content[at + draw(st.integers(0, 300)) :]
    return content


@pytest.fixture(scope="module", autouse=True)
def content(tmp_path_factory):
    global CONTENT
    CONTENT = live.written(tmp_path_factory.mktemp("content")).read_bytes()


@settings(max_examples=200)
@given(content=mangled(), width=st.integers(1, 200), height=st.integers(1, 60), age_s=st.sampled_from([0, 1e4]))
def test_no_file_can_end_or_steer_the_view(tmp_path_factory, content, width, height, age_s):
    folder = tmp_path_factory.mktemp("mangled")
    for name in (f"a{journal.SUFFIX}", f"b{journal.SUFFIX}", "report.json"):
        (folder / name).write_bytes(content)
        silent_for(folder / name, age_s)
    rows = look(folder, width, height) + look(folder / f"a{journal.SUFFIX}", 160, 48)
    watch = Watch(folder)
    rows += [frames.line(watch.look())]
    assert all(row.isprintable() for row in rows)


@given(
    points=st.lists(st.tuples(st.floats(0, 1e8), st.floats(0, 1e38)), max_size=60),
    marks=st.lists(st.tuples(st.floats(0, 1e8), st.floats(0, 1e38)), max_size=3),
    width=st.integers(1, 90),
    height=st.integers(1, 20),
    falling=st.booleans(),
)
@example([(0.0, 5.0)], [(0.0, 5.0)], 30, 5, False)
@settings(max_examples=200)
def test_any_curve_fits(points, marks, width, height, falling):
    drawn = curve.draw(points, marks, width, height, left=lambda y: f"{y:.3g}", falling=falling)
    rows = Console(width=200).render_lines(drawn, pad=False)
    assert len(rows) <= height
    assert width < 22 or max(sum(len(segment.text) for segment in row) for row in rows) <= width


def test_without_a_terminal_it_is_text(tmp_path):
    path = live.written(tmp_path)
    status, output = run("-m", "bench.watch", tmp_path, "--once", COLUMNS="80", LINES="24")
    assert status == 0 and "training" in output and "\x1b" not in output and max(map(len, output.splitlines())) <= 80
    status, output = run("-m", "bench.watch", path, "--once", PYTHONIOENCODING="ascii")
    assert status == 0 and output.isascii() and output.count("\n") == 1 and "step: 6 | loss: 4.5500" in output
    with path.open("a") as file:
        file.write('{"at_s":9,"kind":"end","report":"x.json","failure":null}\n')
    status, output = run("-m", "bench.watch", path)
    assert status == 0 and output.startswith("finished | step: 6")


def test_in_a_terminal_it_takes_the_screen_and_gives_it_back(tmp_path):
    live.written(tmp_path)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bench.watch", str(tmp_path)]
    size = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **size}, stdout=theirs) as child:
        os.close(theirs)
        seen = b""
        while b"no earlier run here" not in seen:
            seen += os.read(ours, 10_000)
        child.send_signal(signal.SIGINT)
        with suppress(OSError):  # how Linux says that the other side is closed
            while more := os.read(ours, 10_000):
                seen += more
        assert child.wait(10) == 0
    os.close(ours)
    assert seen.index(b"\x1b[?1049h") < seen.index(b"training") < seen.rindex(b"\x1b[?1049l")


def test_a_path_that_is_not_there_is_told_in_one_line(tmp_path, capsys):
    assert main([str(Path(tmp_path) / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
