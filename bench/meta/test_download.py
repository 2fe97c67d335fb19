"""Whatever a server does, a data set ends whole or in one clear line; whenever it is killed, nothing wrong is left."""

import gzip
import hashlib
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.meta import web
from bench.meta.hub import FIRST, HOME, NAMES, files, hub, published
from impl.data import download, shards, sources
from impl.data.errors import DataError
from impl.data.hub import Hub
from impl.data.prepare import prepare
from impl.data.progress import silent
from impl.data.wiki import Wiki
from impl.spec import Data

pytestmark = pytest.mark.meta
__all__ = ["files", "hub", "published"]  # fixtures


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
def test_a_download_that_can_be_mended_is(tmp_path, hub, published, moods, monkeypatch):
    hub.moods[FIRST], times = GOES_WELL[moods]
    if moods == "stalled":
        monkeypatch.setattr(download, "TIMEOUT_S", 0.5)
    found = resolve(tmp_path)
    assert [list(shards.documents([path])) for path in found["train"]] == [published[name] for name in NAMES[:2]]
    assert list(shards.documents(found["val"])) == published["shard_06542"]
    assert times is None or len(requests(hub)) == times
    assert not list(tmp_path.rglob("*.part")) + list(tmp_path.rglob("*.tmp"))


def never_resumed(append):
    def anew(remote, part, *rest):
        part.unlink(missing_ok=True)
        append(remote, part, *rest)

    return anew


# What can be got wrong, and the server's mood that must show it.
MISTAKES = {
    "content is not verified": ("_verify", lambda of: lambda remote, part: None, "sends something else"),
    "length is not verified": ("_verify", lambda of: lambda remote, part: None, "truncated"),
    "never resumed": ("_append", never_resumed, "cut again and again"),
    "a wait is not read": ("_retry_after_s", lambda of: lambda stated: 600.0, "too many requests"),
    "a busy server is final": ("PASSING", lambda of: (), "too many requests"),
    "another part is appended": ("_goes_on", lambda of: lambda answer, have: have > 0, "begins anew"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_seen(tmp_path, hub, published, monkeypatch, mistake):
    attribute, wrap, moods = MISTAKES[mistake]
    monkeypatch.setattr(download, attribute, wrap(getattr(download, attribute)))
    monkeypatch.setattr(download, "RETRIES", 2)
    monkeypatch.setattr(download, "LONGEST_PAUSE_S", 0.3)
    start_s = time.monotonic()
    with pytest.raises((AssertionError, DataError)):
        test_a_download_that_can_be_mended_is(tmp_path, hub, published, moods, monkeypatch)
        assert time.monotonic() - start_s < 0.5


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


def test_enwik8_comes_from_its_home_and_a_wrong_one_is_told(tmp_path, hub, monkeypatch):
    content = b"".join(b"line %d\n" % i for i in range(20000))
    row = Wiki(scored=(90, 180), home=f"{hub.url}/elsewhere/enwik8.zip", md5=hashlib.md5(content).hexdigest())
    monkeypatch.setitem(sources.SOURCES, "enwik8", row)
    hub.files["enwik8.zip"] = gzip.compress(content)
    hub.moods["enwik8.zip"] = ["cut", "well"]
    found = sources.resolve("enwik8", tmp_path, silent)[1]
    assert "".join(shards.documents(found["train"])).encode() == content
    assert requests(hub, "enwik8.zip")[1].startswith("bytes=")
    hub.moods["enwik8.zip"] = ["shorter"]  # of which nothing tells but the content
    with pytest.raises(DataError, match=r"enwik8\.zip: (unreadable|its content).*; remove it, or give the file of"):
        sources.resolve("enwik8", tmp_path / "other", silent)
