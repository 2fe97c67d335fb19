"""Preparing is done once for each content, survives a kill at any moment, and notices what was altered since."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from impl.data import corpus, shards, tokens
from impl.data.__main__ import main
from impl.data.errors import DataError
from impl.data.prepare import default_cache, prepare
from impl.data.prepared import Prepared
from impl.spec import Data

pytestmark = pytest.mark.fast


def start(*arguments) -> subprocess.Popen:
    """`python -m impl.data prepare ...` with its progress on a pipe."""
    command = [sys.executable, "-m", "impl.data", "prepare", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_kill_leaves_no_wrong_file_and_the_next_start_goes_on(tmp_path, sotu):
    random = Random(0)
    for part, longest_s in (("", 0.1), ("", 0.8), ("train tokens", 0.3)):
        child = start("--vocab-size", 300, "--cache", tmp_path)
        assert child.stderr and any(line.startswith(part) for line in child.stderr)  # it has begun
        time.sleep(random.uniform(0, longest_s))
        child.kill()
        child.communicate()
        for finished in tmp_path.glob("sotu-*"):
            if finished.suffix not in (".partial", ".lock"):
                Prepared.open(finished)
        for tokens_of in tmp_path.rglob("[!.]*.arrow"):
            assert sum(map(len, tokens.row_groups(tokens_of))) == corpus.EXPECTED[tokens_of.parent.name].documents
        for shard in tmp_path.rglob("[!.]*.parquet"):
            assert shards.count([shard]) == corpus.EXPECTED[shard.parent.name].documents
    last = prepare(corpus.NAME, 300, Data(), tmp_path)
    assert (last.data_hash, last.eval_hash) == (sotu.data_hash, sotu.eval_hash)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [last.root]
    files = ["meta.json", "tokenizer.json", "tokens/train/00000.arrow", "tokens/val/00000.arrow"]
    files += ["train/00000.parquet", "val/00000.parquet"]
    assert sorted(str(p.relative_to(last.root)) for p in last.root.rglob("*") if p.is_file()) == files


@pytest.mark.parametrize("source", ["corpus", "folder"])
def test_a_finished_part_is_not_done_again(tmp_path, folder, source):
    def interrupted(part, done, total):
        if part == "tokenizer":
            raise KeyboardInterrupt

    parts = []
    text = corpus.NAME if source == "corpus" else folder
    with pytest.raises(KeyboardInterrupt):
        prepare(text, 300, Data(), tmp_path, interrupted)
    leftover = next(tmp_path.glob("*.partial")) / "train" / ".00000.parquet.1.tmp"
    leftover.touch()
    prepared = prepare(text, 300, Data(), tmp_path, lambda part, done, total: parts.append(part))
    assert set(parts) == {"tokenizer", "train tokens", "val tokens"} and Prepared.open(prepared.root)
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_processes_at_once_make_one_directory(tmp_path, folder):
    children = [start("--data", folder, "--vocab-size", 300, "--cache", tmp_path) for _ in range(2)]
    outs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0] and outs[0] == outs[1]
    (root,) = (path for path in tmp_path.glob("folder-*") if path.is_dir())
    Prepared.open(root)


def test_a_finished_directory_is_not_made_again(folder, cache, small):
    parts = []
    again = prepare(folder, small.tokenizer.vocab_size, Data(), cache, lambda part, done, total: parts.append(part))
    assert again == small and parts == []


def test_other_text_or_other_caps_give_another_directory(tmp_path, folder, small, cache):
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    vocab_size = small.tokenizer.vocab_size
    assert prepare(copied, vocab_size, Data(), cache).root == small.root
    assert prepare(copied, vocab_size, Data(tokenizer_doc_chars=9000), cache).root != small.root
    shards.write(copied / "c.parquet", ["other validation text"])
    other = prepare(copied, vocab_size, Data(), cache)
    assert other.data_hash == small.data_hash and other.eval_hash != small.eval_hash


def test_hashes_do_not_depend_on_the_cut_into_shards(tmp_path, folder, small):
    shards.write(tmp_path / "one.parquet", small.documents("train"), group_documents=7)
    shards.write(tmp_path / "val.parquet", small.documents("val"))
    whole = prepare(tmp_path, small.tokenizer.vocab_size, Data(), tmp_path / "cache")
    assert (whole.data_hash, whole.eval_hash) == (small.data_hash, small.eval_hash)


@pytest.fixture
def own(tmp_path, sotu) -> Prepared:
    """A copy of the prepared corpus that may be damaged."""
    return Prepared.open(shutil.copytree(sotu.root, tmp_path / "own"))


def edit_meta(root: Path):
    meta = json.loads((root / "meta.json").read_text())
    meta["val"]["text_bytes"] += 1
    (root / "meta.json").write_text(json.dumps(meta))


def edit_text(root: Path):
    path = root / "val" / "00000.parquet"
    documents = list(shards.documents([path]))
    shards.write(path, [documents[0].replace("e", "a", 1), *documents[1:]])


def flip_text(root: Path):
    """The size stays; one word of a page does not."""
    path = root / "val" / "00000.parquet"
    path.write_bytes(path.read_bytes().replace(b" people ", b" beople ", 1))


def other_tokenizer(root: Path):
    meta = json.loads((root / "tokenizer.json").read_text())
    meta["tokens"][-1] = meta["tokens"][-2]
    (root / "tokenizer.json").write_text(json.dumps(meta))


DAMAGE = {
    "no folder": (shutil.rmtree, r"meta\.json: not a prepared directory"),
    "no meta": (lambda root: (root / "meta.json").unlink(), r"meta\.json: not a prepared directory"),
    "half meta": (lambda root: os.truncate(root / "meta.json", 100), r"meta\.json: malformed"),
    "edited meta": (edit_meta, r"meta\.json: altered"),
    "no tokenizer": (lambda root: (root / "tokenizer.json").unlink(), r"tokenizer\.json: the tokenizer is unreadable"),
    "edited tokenizer": (other_tokenizer, r"tokenizer\.json: "),
    "no shard": (lambda root: (root / "train" / "00000.parquet").unlink(), r"00000\.parquet: the shard is missing"),
    "half shard": (lambda root: os.truncate(root / "train" / "00000.parquet", 1000), r"train/00000\.parquet: altered"),
    "edited text": (edit_text, r"val/00000\.parquet: altered"),
    "flipped text": (flip_text, r"val/00000\.parquet: altered"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_opening_names_what_is_missing_or_altered(own, damage):
    do, message = DAMAGE[damage]
    do(own.root)
    with pytest.raises(DataError, match=message) as caught:
        Prepared.open(own.root)
    assert "\n" not in str(caught.value) and str(caught.value).endswith("run: python -m impl.data prepare")


def test_a_touched_shard_is_still_the_same_text(own):
    (own.root / "val" / "00000.parquet").touch()
    assert Prepared.open(own.root).eval_hash == own.eval_hash


def test_a_damaged_directory_of_the_cache_is_made_again(folder, tmp_path):
    root = prepare(folder, 300, Data(), tmp_path).root
    (root / "tokenizer.json").write_text("{}")
    assert Prepared.open(prepare(folder, 300, Data(), tmp_path).root).tokenizer.vocab_size == 300


def test_no_path_of_this_machine_is_written_down(small):
    for file in ("meta.json", "tokenizer.json"):
        text = (small.root / file).read_text()
        assert str(Path.home()) not in text and str(small.root.parent) not in text


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("NANOMARK_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.delenv("NANOMARK_CACHE")
    assert default_cache().parts[-2:] == (".cache", "nanomark")


@pytest.mark.parametrize("arguments", [["--vocab-size", "100"], ["--data", "nowhere"], ["--sequence-len", "0"]])
def test_a_bad_command_ends_in_one_line_and_code_2(tmp_path, capsys, arguments):
    assert main(["prepare", "--cache", str(tmp_path), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1 and not captured.out


def test_an_unusable_cache_ends_in_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["prepare", "--cache", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
