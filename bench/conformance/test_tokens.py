"""Files of tokens hold what the tokenizer says, are made once, and are never read when they are not what was made."""

import os
import shutil
from itertools import product
from pathlib import Path

import pytest

from impl.data import shards, tokens
from impl.data.batches import encoded
from impl.data.errors import DataError
from impl.data.prepare import prepare
from impl.data.prepared import Prepared
from impl.data.tokenizer import Tokenizer
from impl.spec import Data

pytestmark = pytest.mark.fast

TEXTS = ["some text", "", "é\x00 <|reserved_0|>", "more of it"]


def silent(documents: int) -> None:
    """Nobody watches."""


@pytest.fixture
def shard(tmp_path) -> Path:
    shards.write(tmp_path / "a.parquet", TEXTS, group_documents=3)
    return tmp_path / "a.parquet"


@pytest.fixture
def little(tmp_path) -> Path:
    """Two training shards of row groups of 3, 3 and 2 documents, and one to validate: quickly prepared."""
    documents = [f"{'ab' * i} text {i}" for i in range(17)]
    (tmp_path / "texts").mkdir()
    for name, part in (("a", documents[:8]), ("b", documents[8:16]), ("c", documents[16:])):
        shards.write(tmp_path / "texts" / f"{name}.parquet", part, group_documents=3)
    return tmp_path / "texts"


def wide() -> Tokenizer:
    """Every pair of bytes is a token, so that ids do not fit into two bytes."""
    single = [bytes([byte]) for byte in range(256)]
    return Tokenizer([*single, *(a + b for a, b in product(single, single))])


@pytest.mark.parametrize(
    ("make", "dtype"), [(lambda: Tokenizer([bytes([b]) for b in range(256)]), "uint16"), (wide, "uint32")]
)
def test_a_file_holds_what_the_tokenizer_says_by_row_group(tmp_path, shard, make, dtype, monkeypatch):
    monkeypatch.setattr(tokens, "ENCODED_DOCUMENTS", 2)
    tokenizer, heard = make(), []
    tokens.write(tmp_path / "a.arrow", shard, tokenizer, "here", heard.append)
    groups = list(tokens.row_groups(tmp_path / "a.arrow"))
    assert heard == [2, 1, 1] and [len(group) for group in groups] == [3, 1]
    found = [document for group in groups for document in group]
    assert [document.tolist() for document in found] == [ids.tolist() for ids in tokenizer.encode(TEXTS)]
    assert {str(document.dtype) for document in found} == {dtype}
    assert max(document.max() for document in found) == tokenizer.bos
    counted = sum(map(len, found)), sum(len(text.encode()) for text in TEXTS)
    assert tokens.census([tmp_path / "a.arrow"], tokenizer) == counted
    assert tokens.made_from(tmp_path / "a.arrow") == "here"


def test_epochs_are_read_from_the_files_alone(small):
    for split in ("train", "val"):
        expected = [ids.tolist() for ids in small.tokenizer.encode(list(small.documents(split)))]
        found = [document for documents in encoded(small, split, 16) for document in documents]
        assert [document.tolist() for document in found] == expected
        assert small.tokens(split) == sum(map(len, expected))
        assert not any(document.flags.owndata or document.flags.writeable for document in found), "mapped, not loaded"


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failing_writer_leaves_no_file(tmp_path, shard, failure):
    tokenizer = Tokenizer([bytes([byte]) for byte in range(256)])

    def failing(documents):
        raise failure

    with pytest.raises(type(failure)):
        tokens.write(tmp_path / "a.arrow", shard, tokenizer, "here", failing)
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def first(root: Path) -> Path:
    return root / "tokens" / "train" / "a.arrow"


def flip(root: Path):
    """One bit of one token; the size stays."""
    content = bytearray(first(root).read_bytes())
    content[len(content) // 2] ^= 1
    first(root).write_bytes(content)


def swap(root: Path):
    """Those of another shard."""
    shutil.copy(root / "tokens" / "train" / "b.arrow", first(root))


DAMAGE = {
    "missing": (lambda root: first(root).unlink(), "the tokens are missing"),
    "truncated": (lambda root: os.truncate(first(root), first(root).stat().st_size - 8), "the tokens were altered"),
    "emptied": (lambda root: os.truncate(first(root), 0), "the tokens were altered"),
    "a bit": (flip, "the tokens were altered"),
    "another shard's": (swap, "the tokens were altered"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_tokens_are_refused_in_one_line_and_made_again(tmp_path, little, damage):
    do, message = DAMAGE[damage]
    made = prepare(little, 261, Data(), tmp_path)
    whole = first(made.root).read_bytes()
    do(made.root)
    with pytest.raises(DataError, match=rf"tokens/train/a\.arrow: {message}.*; run: python -m") as caught:
        Prepared.open(made.root)
    assert "\n" not in str(caught.value)
    again = prepare(little, 261, Data(), tmp_path)
    assert again == made and first(again.root).read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"x" * 1000], ids=["empty", "head", "noise"])
def test_what_is_no_file_of_tokens_is_named_when_read(tmp_path, content):
    (tmp_path / "a.arrow").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.arrow: not a whole file of tokens"):
        list(tokens.row_groups(tmp_path / "a.arrow"))
    assert tokens.made_from(tmp_path / "a.arrow") is None
    with pytest.raises(DataError, match=r"b\.arrow: the tokens are missing"):
        list(tokens.row_groups(tmp_path / "b.arrow"))


def test_touched_tokens_are_still_the_same(tmp_path, small):
    root = shutil.copytree(small.root, tmp_path / "own")
    first(root).touch()
    assert Prepared.open(root).data_hash == small.data_hash


def interrupted_at(stop: str, after: int):
    """A report that interrupts when `after` documents of the part are done."""

    def report(part, done, total):
        if part == stop and done >= after:
            raise KeyboardInterrupt

    return report


def test_an_interrupted_preparation_goes_on_with_the_next_file(tmp_path, little, monkeypatch):
    with pytest.raises(KeyboardInterrupt):  # in the second row group of the second shard
        prepare(little, 261, Data(), tmp_path, interrupted_at("train tokens", 8 + 4))
    written, write = [], tokens.write
    monkeypatch.setattr(tokens, "write", lambda path, *rest: (written.append(path.name), write(path, *rest)))
    prepare(little, 261, Data(), tmp_path)
    assert written == ["b.arrow", "c.arrow"]


@pytest.mark.parametrize("change", ["shard", "tokenizer"])
def test_tokens_left_by_an_interrupt_serve_no_other_tokenizer_and_no_other_shard(tmp_path, little, change):
    """A killed preparation's files stand under the name of the next: only what they were made from tells them apart."""
    other = prepare(little, 260 if change == "tokenizer" else 261, Data(), tmp_path / change / "other")
    copied = Path(shutil.copytree(little, tmp_path / change / "copied"))
    if change == "shard":  # the same text, cut otherwise: prepared under the same name
        documents = list(shards.documents([copied / "a.parquet", copied / "b.parquet"]))
        shards.write(copied / "a.parquet", documents[:9], group_documents=9)
        shards.write(copied / "b.parquet", documents[9:], group_documents=2)
    with pytest.raises(KeyboardInterrupt):
        prepare(copied, 261, Data(), tmp_path / change, interrupted_at("train tokens", 1))
    partial = next((tmp_path / change).glob("*.partial"))
    shutil.copytree(other.root / "tokens", partial / "tokens", dirs_exist_ok=True)
    prepared = prepare(copied, 261, Data(), tmp_path / change)
    for split in ("train", "val"):
        documents = [document for documents in encoded(prepared, split, 10**9) for document in documents]
        expected = prepared.tokenizer.encode(list(prepared.documents(split)))
        assert [ids.tolist() for ids in documents] == [ids.tolist() for ids in expected]
        sizes = [len(group) for path in prepared.paths(split) for group in shards.row_groups(path)]
        assert [len(documents) for documents in encoded(prepared, split, 10**9)] == sizes


def test_tokens_that_do_not_stand_for_the_text_are_not_sealed(tmp_path, little, monkeypatch):
    encode = Tokenizer.encode
    monkeypatch.setattr(Tokenizer, "encode", lambda self, documents: [ids[:-1] for ids in encode(self, documents)])
    with pytest.raises(DataError, match=r"the train tokens stand for \d+ bytes of \d+"):
        prepare(little, 261, Data(), tmp_path)
    assert not [path for path in tmp_path.glob("folder-*") if path.suffix not in (".partial", ".lock")]
    monkeypatch.undo()
    assert prepare(little, 261, Data(), tmp_path).tokens("train")  # what was made by that mistake is made again
