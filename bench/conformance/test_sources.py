"""Text by name or from a folder is what its row says; a bad name or file ends in one line that says what to give."""

import bz2
import gzip
import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from impl.data import kept, passages, shards, sources, wiki
from impl.data.__main__ import main
from impl.data.errors import DataError
from impl.data.hub import Hub
from impl.data.kept import Kept
from impl.data.progress import silent
from impl.data.sources import SOURCES
from impl.data.wiki import Wiki

pytestmark = pytest.mark.fast


def lines(count: int, every: int = 0) -> list[str]:
    """Lines of 40 characters, with a blank one after each `every`."""
    return [f"{i:039d}\n" + ("\n" if every and i % every == every - 1 else "") for i in range(count)]


def split(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def test_passages_joined_are_the_text():
    for text in ("", "\n", "a", "\n\n a\r\n\r\nb\x0c\n", "".join(lines(500, 7)), "x" * 5000):
        assert "".join(passages.passages(iter(split(text)))) == text


def test_passages_end_at_blank_lines_and_grow_as_the_embedded_ones():
    found = [len(part) for part in passages.passages(split("".join(lines(1200, 5))))]
    assert found[:7] == [402, 804, 1608, 3216, 6432, 402, 804]  # blocks of 201 characters
    unbroken = [len(part) for part in passages.passages(lines(1200))]
    assert unbroken[:6] == [800, 1600, 3200, 6400, 12800, 800]


def resolve(source, cache: Path) -> dict[str, list[list[str]]]:
    """Documents of each shard."""
    _, found = sources.resolve(source, cache, silent)
    return {which: [list(shards.documents([path])) for path in paths] for which, paths in found.items()}


@pytest.fixture
def content(monkeypatch) -> bytes:
    """A little dump in place of enwik8: 900 bytes to train on and 50 + 50 to score."""
    pages = "".join(f"  <page>\n    <title>{i}</title>\n  </page>\n" for i in range(25))
    content = ("<mediawiki>é\n" + pages).encode()[:1000]
    row = Wiki(scored=(900, 950), md5=hashlib.md5(content).hexdigest())
    monkeypatch.setattr(wiki, "TRAIN_BYTES", 900)
    monkeypatch.setitem(SOURCES, "enwik8", row)
    monkeypatch.setitem(SOURCES, "enwik8-test", replace(row, scored=(950, 1000)))
    return content


@pytest.mark.parametrize("suffix", ["", ".gz", ".zip"])
def test_every_byte_of_enwik8_is_in_a_document_and_each_page_begins_one(tmp_path, content, suffix):
    path = tmp_path / f"enwik8{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("enwik8", content)
    else:
        path.write_bytes(gzip.compress(content) if suffix else content)
    found = resolve(path, tmp_path / "cache")
    (train,), (val,) = found["train"], found["val"]
    assert "".join(train).encode() == content[:900] and "".join(val).encode() == content[900:950]
    assert train[0] == "<mediawiki>é\n" and all(page.startswith("  <page>\n") for page in train[1:])
    assert resolve("enwik8", tmp_path / "cache") == found  # made once; the file is not needed again
    folder = tmp_path / "cache" / "downloads" / "enwik8"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "enwik8.zip").write_bytes(path.read_bytes())
    assert "".join(resolve("enwik8-test", tmp_path / "cache")["val"][0]).encode() == content[950:]


def test_another_file_is_not_taken_for_enwik8(tmp_path, content):
    (tmp_path / "enwik8").write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"enwik8: its content \(999 bytes\) is not that of enwik8; remove it, or give"):
        sources.resolve(tmp_path / "enwik8", tmp_path / "cache", silent)
    (tmp_path / "enwik8.gz").write_bytes(gzip.compress(content)[:-9])
    with pytest.raises(DataError, match=r"enwik8\.gz: unreadable"):
        sources.resolve(tmp_path / "enwik8.gz", tmp_path / "cache", silent)


def jsonl(*texts: str) -> bytes:
    return "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts)).encode()


def test_a_folder_of_json_lines_is_read_as_it_is(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "b.jsonl").write_bytes(jsonl("1\u2028\n", "", "é"))
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(jsonl("0")))
    (folder / "val.jsonl.bz2").write_bytes(bz2.compress(jsonl("v")))
    (folder / "notes.txt").write_text("no document")
    assert resolve(folder, tmp_path) == {"train": [["0"], ["1\u2028\n", "", "é"]], "val": [["v"]]}
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(jsonl("other")))
    assert resolve(folder, tmp_path)["train"][0] == ["other"]
    shards.write(folder / "a.parquet", ["p"])  # parquet comes first, and alone is no two splits
    with pytest.raises(DataError, match="no training shard among 1"):
        sources.resolve(folder, tmp_path, silent)


def test_a_folder_of_text_keeps_every_byte(tmp_path):
    folder, texts = tmp_path / "books", {}
    folder.mkdir()
    for name in ("a", "b", "c"):
        texts[name] = "".join(lines(60, 4)) + f"{name} é\r\nend"
        (folder / f"{name}.txt").write_bytes(texts[name].encode())
    found = resolve(folder, tmp_path)
    assert ["".join(shard) for shard in found["train"] + found["val"]] == list(texts.values())
    assert len(found["train"][0]) > 2


BAD_FILES = {
    "a.jsonl": [
        (b'{"text": "a"}\n{"body": "b"}\n', r"a\.jsonl: line 2 is no JSON object with 'text' \(KeyError\)"),
        (b'{"text": "a"\n', r"a\.jsonl: line 1 is no JSON object"),
        (b'["text"]\n', r"a\.jsonl: line 1 is no JSON object"),
        (b'{"text": 1}\n', r"a\.jsonl: 'text' in line 1 is no string"),
        (b'{"text": "\xff"}\n', r"a\.jsonl: not UTF-8 text"),
    ],
    "a.txt": [(b"abc\xff", r"a\.txt: not UTF-8 text")],
    "a.jsonl.gz": [(gzip.compress(jsonl("a" * 1000))[:-12], r"a\.jsonl\.gz: not UTF-8 text that can be read")],
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_with_its_line(tmp_path, name):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / f"val.{name.partition('.')[2]}").write_bytes(gzip.compress(jsonl("v")) if "gz" in name else jsonl("v"))
    for content, message in BAD_FILES[name]:
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            sources.resolve(folder, tmp_path, silent)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.rglob("texts/*/a*.parquet"))


BAD_NAMES = {
    "fineweb": r"neither a data set nor a folder; give one of sotu-v1, climbmix, fineweb-edu, fineweb-edu-high, "
    r"cosmopedia-v2, slimpajama, enwik8, enwik8-test, or a folder",
    "python-edu": r"python-edu: its rows name files of another collection and hold no text; take one of sotu-v1",
    "climbmix:0": "climbmix:0: not a number of shards; try climbmix:10",
    "climbmix:many": "not a number of shards",
    "enwik8:2": "only a data set of the hub has a number of shards",
    "sotu-v1:2": "only a data set of the hub has a number of shards",
}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_ends_in_one_line(tmp_path, capsys, name):
    with pytest.raises(DataError, match=BAD_NAMES[name]):
        sources.resolve(name, tmp_path, silent)
    assert main(["prepare", "--cache", str(tmp_path), "--data", name]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1 and not captured.out


def test_help_names_every_set_and_its_licence(capsys):
    with pytest.raises(SystemExit):
        main(["prepare", "--help"])
    told = capsys.readouterr().out
    for name, row in SOURCES.items():
        assert f"  {name:<18}{row.home}; licence {row.licence or 'unknown'}" in told


def test_the_head_ends_with_the_document_that_reaches_it():
    texts = iter(["éé", "b", "c", "d"])
    assert list(kept.head(texts, 5)) == ["éé", "b"] and list(texts) == ["c", "d"]


def test_a_shard_that_was_altered_does_not_stand(tmp_path):
    folder = Kept(tmp_path / "kept")
    folder.keep("a.parquet", ["one"])
    folder.keep("a.parquet", iter(["two"]))
    assert folder.stands("a.parquet") and list(shards.documents([folder.path("a.parquet")])) == ["one"]
    shards.write(folder.path("a.parquet"), ["two"])
    assert not folder.stands("a.parquet")


def test_a_file_gives_the_documents_that_its_set_keeps(tmp_path):
    texts, scores = ["low", "just", None, "tiny", "x", "unknown"], [2.99, 3.0, 5.0, 4.0, 4.0, None]
    pq.write_table(pa.table({"body": texts, "score": scores, "text": ["no"] * 6}), tmp_path / "a.parquet")
    row = Hub(home="some/set", column="body", licence=None)
    assert list(row.texts(tmp_path / "a.parquet")) == ["low", "just", "tiny", "x", "unknown"]
    assert list(replace(row, least_chars=4).texts(tmp_path / "a.parquet")) == ["just", "tiny", "unknown"]
    assert list(row.keeping("score", 3.0).texts(tmp_path / "a.parquet")) == ["just", "tiny", "x"]
