"""results.tsv in every dialect: no line is lost, whoever writes at once, is killed or has no room left.

`pytest -m meta bench/meta/test_ledger.py`
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.judge import ledger
from reports.judge.ledger import DIALECTS, LedgerError

pytestmark = pytest.mark.meta

ROOT = Path(__file__).parents[2]


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


@settings(max_examples=200, deadline=None)
@given(
    columns=st.sampled_from([*DIALECTS.values()]),
    lines=st.lists(st.text(max_size=40) | st.just("a\t1\t2\tkeep\tb"), max_size=5),
)
def test_no_line_stops_the_reader(columns, lines, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "results.tsv"
    path.write_bytes("\n".join(["\t".join(columns), *lines]).encode("utf-8", "replace"))
    found = ledger.read(path)
    assert all(line.status in ledger.STATUSES for line in found.lines)


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
