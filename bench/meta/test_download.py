"""Whatever a server does, a data set ends whole or in one clear line; whenever it is killed, nothing wrong is left."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.meta import web
from bench.meta.command import ROOT
from impl.data import corpus, download, shards, sources, tokens
from impl.data.errors import DataError
from impl.data.hub import Hub
from impl.data.prepare import prepare
from impl.data.prepared import Prepared
from impl.data.progress import silent
from impl.spec import Data

pytestmark = pytest.mark.meta

HOME = "karpathy/climbmix-400b-shuffle@main"
FIRST = f"{HOME}/shard_00000.parquet"
NAMES = ("shard_00000", "shard_00001", "shard_00002", "shard_06542")


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> dict[str, list[str]]:
    """Documents of each published file."""
    documents = corpus.read()["train"]
    return {name: documents[60 * i : 60 * i + 60] for i, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def files(published, tmp_path_factory) -> dict[str, bytes]:
    folder, found = tmp_path_factory.mktemp("published"), {}
    for name, documents in published.items():
        shards.write(folder / name, documents, group_documents=16)
        found[f"{HOME}/{name}.parquet"] = (folder / name).read_bytes()
    return found


@pytest.fixture
def hub(files, monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(download, "PAUSE_S", 0.005)
    monkeypatch.setattr(download, "TIMEOUT_S", 0.4)
    with web.serving() as server:
        server.files.update(files)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def resolve(tmp_path: Path, count: int = 2):
    return sources.resolve(f"climbmix:{count}", tmp_path, silent)[1]


def requests(server: web.Web, name: str = FIRST) -> list[str | None]:
    return [wanted for file, wanted in server.asked if file == name]


GOES_WELL = {
    "nothing wrong": ([], 1),
    "cut once": (["cut", "well"], 2),
    "cut again and again": (["cut"] * 8 + ["well"], 9),  # each brings more
    "truncated": (["shorter", "well"], 2),
    "slow": (["slow", "well"], 1),
    "stalled": (["stall", "well"], 2),
    "says more than it sends": (["says more", "well"], 1),
    "says less than it sends": (["says less", "well"], 2),
    "sends more than is published": (["longer", "well"], 2),
    "sends something else": (["other", "well"], 2),
    "too many requests": (["429 0", "429 0.01", "well"], 3),
    "down for a while": (["503", "500", "well"], 3),
    "elsewhere": (["redirect", "well"], 2),
    "cut, then elsewhere": (["cut", "redirect", "well"], 3),
    "begins anew": (["cut", "no ranges", "well"], 2),
    "another part": (["cut", "wrong range", "well"], None),
}


@pytest.mark.parametrize("moods", GOES_WELL)
def test_a_download_that_can_be_mended_is(tmp_path, hub, published, moods):
    hub.moods[FIRST], times = GOES_WELL[moods]
    found = resolve(tmp_path)
    assert [list(shards.documents([path])) for path in found["train"]] == [published[name] for name in NAMES[:2]]
    assert list(shards.documents(found["val"])) == published["shard_06542"]
    assert times is None or len(requests(hub)) == times
    assert not list(tmp_path.rglob("*.part")) + list(tmp_path.rglob("*.tmp"))


ENDS = {
    "gone": (["404"], "shard_00000.parquet: the server answers 404; check the name"),
    "not for everybody": (["403"], r"answers 403; log in"),
    "always busy": (["429 0"], "answers 429, again and again"),
    "always down": (["503"], "answers 503, again and again"),
    "always shorter": (["shorter"], r"bytes of \d+ arrive, again and again"),
    "always longer": (["longer"], r"more than its \d+ bytes arrive, again"),
    "always other": (["other"], "its SHA-256 is not the published one, again"),
    "in a circle": (["circle"], "no answer .TooManyRedirects"),
}


@pytest.mark.parametrize("moods", ENDS)
def test_a_download_that_cannot_be_mended_ends_in_one_line_and_leaves_nothing_wrong(tmp_path, hub, moods, files):
    hub.moods[FIRST], message = ENDS[moods]
    with pytest.raises(DataError, match=message) as caught:
        resolve(tmp_path)
    assert "\n" not in str(caught.value)
    for path in (tmp_path / "downloads" / "climbmix").glob("*.parquet"):
        assert path.read_bytes() == files[f"{HOME}/{path.name}"]
    hub.moods[FIRST] = ["well"]
    assert len(resolve(tmp_path)["train"]) == 2  # the next start goes on


def test_a_listing_that_fails_ends_in_one_line(tmp_path, hub):
    hub.moods["listing"] = ["404"]
    with pytest.raises(
        DataError, match=r"climbmix .karpathy.*the hub does not list its files .*; run the same"
    ) as caught:
        resolve(tmp_path)
    assert "\n" not in str(caught.value)
    hub.moods["listing"] = ["429 0", "well"]
    assert resolve(tmp_path)["val"]


def test_what_stands_is_not_asked_for_again(tmp_path, hub):
    resolve(tmp_path)
    hub.asked.clear()
    resolve(tmp_path, 3)
    assert [file.rpartition("/")[2] for file, _ in hub.asked] == ["shard_00002.parquet"]
    hub.asked.clear()
    shutil.rmtree(tmp_path / "downloads")  # shards were made of them
    resolve(tmp_path, 3)
    assert not hub.asked
    with pytest.raises(DataError, match=r"climbmix: .* or 4 others are not published; at most 3"):
        resolve(tmp_path, 4)


def test_a_full_disk_is_told_before_anything_is_downloaded(tmp_path, hub, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(DataError, match=r"climbmix, 3 files needs 0\.0 GB of disk, 0\.0 GB are free; free space"):
        resolve(tmp_path)
    assert not hub.asked


def test_without_the_library_the_remedy_is_named(tmp_path, hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DataError, match=r"climbmix: huggingface_hub, .* is not installed; run: pip install"):
        resolve(tmp_path)


@pytest.fixture
def scored(hub, files, monkeypatch) -> web.Web:
    """A set whose rows have scores, in files that are cut anew."""
    row = Hub(home="some/set", folder="data", at_least=("score", 3.0), shard_documents=25, val_bytes=2000, licence=None)
    monkeypatch.setitem(sources.SOURCES, "some-set", row)
    for index in range(3):
        texts = [f"file {index} document {i} {'x' * 200}" for i in range(40)] + [None]
        table = pa.table({"text": texts, "score": [2.9 + i % 2 for i in range(40)] + [4.0], "id": range(41)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=16)
        hub.files[f"some/set@main/data/{index}.parquet"] = sink.getvalue().to_pybytes()
    return hub


def test_rows_are_kept_by_score_and_cut_anew_and_another_filter_is_another_text(tmp_path, scored, monkeypatch):
    found = sources.resolve("some-set:2", tmp_path, silent)[1]
    kept = [f"file {index} document {i} {'x' * 200}" for index in range(3) for i in range(1, 40, 2)]
    val = list(shards.documents(found["val"]))
    assert val == kept[:10] and sum(map(len, val[:-1])) < 2000 <= sum(map(len, val))
    assert [list(shards.documents([path])) for path in found["train"]] == [kept[10:35], kept[35:]]
    with pytest.raises(DataError, match="all its files give 2 shards; take --shards 2"):
        sources.resolve("some-set:3", tmp_path, silent)
    before = prepare("some-set:2", 260, Data(), tmp_path)
    row = sources.SOURCES["some-set"]
    monkeypatch.setitem(sources.SOURCES, "some-set", replace(row, at_least=("score", 2.0)))
    after = prepare("some-set:2", 260, Data(), tmp_path)
    assert before.data_hash != after.data_hash and before.eval_hash != after.eval_hash
    assert next(after.documents("train")).startswith("file 0 document 10 ")
    monkeypatch.setitem(sources.SOURCES, "some-set", row)
    assert prepare("some-set:2", 260, Data(), tmp_path).data_hash == before.data_hash


def test_a_set_without_its_column_is_told(tmp_path, scored, monkeypatch):
    monkeypatch.setitem(sources.SOURCES, "some-set", replace(sources.SOURCES["some-set"], column="content"))
    with pytest.raises(DataError, match=r"0\.parquet: no 'content' column among \['text', 'score', 'id'\]"):
        sources.resolve("some-set:1", tmp_path, silent)


def test_an_altered_shard_of_a_set_is_made_again(tmp_path, hub, published):
    path = resolve(tmp_path)["train"][1]
    shards.write(path, ["something else"])
    hub.asked.clear()
    assert list(shards.documents([resolve(tmp_path)["train"][1]])) == published["shard_00001"]
    assert not hub.asked  # the download stands


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
