"""Shards come back as written; every kind of bad shard ends in one line that names it."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from impl.data import shards
from impl.data.__main__ import main
from impl.data.errors import DataError
from impl.spec import Data

pytestmark = pytest.mark.fast


def test_documents_come_back_in_order_by_row_group(tmp_path):
    texts = [f"document {i} ü\x00\n" for i in range(10)] + [""]
    shards.write(tmp_path / "a.parquet", iter(texts), group_documents=4)
    assert list(shards.row_groups(tmp_path / "a.parquet")) == [texts[:4], texts[4:8], texts[8:]]
    assert list(shards.documents([tmp_path / "a.parquet"] * 2)) == texts * 2
    assert shards.count([tmp_path / "a.parquet"] * 2) == 22
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_failing_writer_leaves_the_old_shard_and_no_other_file(tmp_path):
    path = tmp_path / "a.parquet"
    shards.write(path, ["old"])

    def failing():
        yield from ["new"] * 3000
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        shards.write(path, failing())
    assert list(shards.documents([path])) == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def empty(path):
    shards.write(path, [])


def no_text_column(path):
    pq.write_table(pa.table({"content": ["a", "b"]}), path)


def numbers(path):
    pq.write_table(pa.table({"text": [1, 2]}), path)


def null(path):
    pq.write_table(pa.table({"text": ["a", None]}), path)


def truncated(path):
    shards.write(path, ["some text " * 50] * 100)
    path.write_bytes(path.read_bytes()[:-20])


def zero_bytes(path):
    path.write_bytes(b"")


def corrupted(path):
    """The footer stands, the page before it does not."""
    shards.write(path, [f"some text {i} " * 50 for i in range(100)])
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 200 + content[204:])


def not_utf8(path):
    raw = pa.array([b"\xff\xfe", b"b"], type=pa.binary())
    pq.write_table(pa.table({"text": pa.Array.from_buffers(pa.string(), 2, raw.buffers())}), path)


BAD = {
    empty: "an empty shard",
    no_text_column: r"no 'text' column among \['content'\]",
    numbers: "holds int64, not strings",
    null: "row 1 of row group 0 has a null 'text'",
    truncated: "not a whole parquet file",
    zero_bytes: "not a whole parquet file",
    corrupted: "row group 0 is unreadable",
    not_utf8: "row group 0 is unreadable",
}


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_a_bad_shard_is_named(tmp_path, bad):
    bad(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=rf"bad\.parquet: .*{BAD[bad]}") as caught:
        list(shards.row_groups(tmp_path / "bad.parquet"))
    assert "\n" not in str(caught.value) and "; " in str(caught.value)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_preparing_a_bad_shard_ends_in_one_line(tmp_path, capsys, bad, split):
    folder = tmp_path / "folder"
    folder.mkdir()
    good, wrong = ("b", "a") if split == "train" else ("a", "b")
    shards.write(folder / f"{good}.parquet", ["good text"])
    bad(folder / f"{wrong}.parquet")
    assert main(["prepare", "--data", str(folder), "--vocab-size", "260", "--cache", str(tmp_path / "cache")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and f"{wrong}.parquet" in last


def test_a_missing_shard_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.parquet: there is no such shard"):
        list(shards.row_groups(tmp_path / "gone.parquet"))


def test_a_folder_without_a_training_shard_is_refused(tmp_path):
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        shards.find(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no training shard among 0"):
        shards.find(tmp_path)
    shards.write(tmp_path / "only.parquet", ["text"])
    with pytest.raises(DataError, match="no training shard among 1"):
        shards.find(tmp_path)


def test_validation_is_the_last_file_unless_some_are_named_so(tmp_path):
    for name in ("b", "a", "c"):
        shards.write(tmp_path / f"{name}.parquet", ["text"])
    (tmp_path / ".hidden.parquet").touch()
    assert _names(shards.find(tmp_path)) == {"train": ["a", "b"], "val": ["c"]}
    for name in ("val_1", "val_0", "w"):
        shards.write(tmp_path / f"{name}.parquet", ["text"])
    assert _names(shards.find(tmp_path)) == {"train": ["a", "b", "c", "w"], "val": ["val_0", "val_1"]}


def _names(found):
    return {split: [path.stem for path in paths] for split, paths in found.items()}


def test_a_large_row_group_comes_in_parts_that_leave_every_refill_as_it_is(tmp_path, monkeypatch):
    texts = [f"document {i}" for i in range(1000)]
    shards.write(tmp_path / "a.parquet", texts, group_documents=700)
    monkeypatch.setattr(shards, "HELD_DOCUMENTS", 256)
    groups = list(shards.row_groups(tmp_path / "a.parquet"))
    assert [len(group) for group in groups] == [256, 256, 188, 256, 44]
    assert [text for group in groups for text in group] == texts
    assert 2**12 % Data().refill_documents == 0
