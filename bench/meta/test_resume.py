"""Whenever a preparation is killed, no wrong file is left, and the next start goes on."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.meta import web
from bench.meta.command import ROOT
from bench.meta.hub import HOME, NAMES, files, hub, published
from impl.data import shards, tokens
from impl.data.evaluation import windows
from impl.data.prepare import prepare
from impl.data.prepared import Prepared
from impl.spec import Data

pytestmark = pytest.mark.meta
__all__ = ["files", "hub", "published"]  # fixtures


def child(cache: Path, server: web.Web) -> subprocess.Popen:
    words = (
        "-m",
        "impl.data",
        "prepare",
        "--data",
        "climbmix",
        "--shards",
        "3",
        "--vocab-size",
        "300",
        "--cache",
        cache,
    )
    environment = {**os.environ, "HF_ENDPOINT": server.url, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def require_nothing_wrong(
    cache: Path, files: dict[str, bytes], published: dict[str, list[str]], data_hash: str
) -> None:
    """Every file under a final name is whole and what it should be."""
    for path in cache.glob("downloads/climbmix/[!.]*.parquet"):
        assert path.read_bytes() == files[f"{HOME}/{path.name}"]
    expected = {"val.parquet": "shard_06542", **{f"{i:05d}.parquet": NAMES[i] for i in range(3)}}
    for path in cache.glob("texts/*/[!.]*.parquet"):
        assert list(shards.documents([path])) == published[expected[path.name]]
    for path in cache.rglob("[!.]*.arrow"):
        assert sum(map(len, tokens.row_groups(path))) == len(published[expected[f"{path.stem}.parquet"]])
    for path in cache.rglob("[!.]*.json"):
        json.loads(path.read_text())
    for path in cache.glob("climbmix-*"):
        if path.suffix not in (".partial", ".lock"):
            assert Prepared.open(path).data_hash == data_hash


def test_a_kill_at_any_moment_leaves_nothing_wrong_and_the_next_start_resumes(tmp_path, hub, files, published):
    moments = random.Random(0)
    undisturbed = prepare("climbmix:3", 300, Data(), tmp_path / "undisturbed")
    hub.block_bytes, hub.block_s = 4096, 0.01  # 0.25 s a file, all at once
    whole = child(tmp_path / "timed", hub)
    assert whole.stderr and whole.stderr.readline()
    start_s = time.monotonic()
    whole.communicate()
    lasting_s = time.monotonic() - start_s
    hub.asked.clear()
    cache, resumed = tmp_path / "killed", 0
    for _ in range(20):
        process = child(cache, hub)
        assert process.stderr and process.stderr.readline()
        time.sleep(moments.uniform(0, lasting_s / 4))  # of what is left, for a while
        process.kill()
        process.communicate()
        require_nothing_wrong(cache, files, published, undisturbed.data_hash)
        resumed += sum(wanted is not None for _, wanted in hub.asked)
        hub.asked.clear()
        if any(path.suffix not in (".partial", ".lock") for path in cache.glob("climbmix-*")):
            shutil.rmtree(cache)
    last = child(cache, hub)
    output, _ = last.communicate(timeout=60)
    assert last.returncode == 0 and undisturbed.data_hash in output and undisturbed.eval_hash in output
    require_nothing_wrong(cache, files, published, undisturbed.data_hash)
    assert resumed >= 3, "no download went on where it was killed"


def test_an_interrupt_ends_at_once_and_the_next_start_resumes(tmp_path, hub):
    hub.block_bytes, hub.block_s = 1024, 0.05  # 5 s a file
    process = child(tmp_path, hub)
    assert process.stderr and process.stderr.readline()
    time.sleep(0.3)
    start_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and told.splitlines()[-1].startswith("interrupted; finished parts are kept")
    assert time.monotonic() - start_s < 3 and list(tmp_path.rglob(".*.part"))
    hub.asked.clear()
    hub.block_s = 0.0
    prepare("climbmix:3", 300, Data(), tmp_path)
    assert hub.asked and all(wanted for file, wanted in hub.asked), hub.asked


def test_a_second_start_takes_less_than_half_the_time(tmp_path, folder):
    taken_s = []
    for _ in range(2):
        start_s = time.perf_counter()
        prepared = prepare(folder, 300, Data(), tmp_path)
        windows(prepared, 256)
        taken_s.append(time.perf_counter() - start_s)
    assert 2 * taken_s[1] < taken_s[0], taken_s
