"""From a source of text to a prepared directory in the cache: once for each content, in parts that survive a kill.

Test with `pytest -m fast bench/conformance/test_prepare.py`.
"""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from impl.data import atomic, corpus, shards, sources, tokens
from impl.data.digest import Digest
from impl.data.errors import DataError
from impl.data.prepared import FORMAT, SPLITS, TOKENIZER, TOKENS, Prepared, sha256, stamps, token_file
from impl.data.progress import Report, silent, tracked
from impl.data.tokenizer import PATTERN, SPECIALS, Tokenizer, require_size
from impl.spec import Data

__all__ = ["Prepared", "default_cache", "prepare"]


def default_cache() -> Path:
    """`$NANOMARK_CACHE`, or `~/.cache/nanomark`."""
    return Path(os.environ.get("NANOMARK_CACHE") or Path.home() / ".cache" / "nanomark")


def prepare(
    source: str | Path, vocab_size: int, data: Data, cache: Path | None = None, progress: Report = silent
) -> Prepared:
    """The directory for `source` and `vocab_size`, made where the cache does not hold it yet.

    `source` is a name of `impl.data.sources`, NAME:SHARDS, or a folder of parquet shards with a `text` column, of JSON
    lines or of plain text: its files named val* are for validation, or else the last file by name. Of `data` only the
    tokenizer's caps are used. A second process waits for the first. Raises DataError for a bad source, too small a
    vocabulary or too little text for it, a full disk.
    """
    require_size(vocab_size)
    cache = default_cache() if cache is None else cache
    try:
        return _prepared(source, vocab_size, data, cache, progress)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(error.filename or cache, reason, "free space or name another cache ($NANOMARK_CACHE)") from None


def _prepared(source: str | Path, vocab_size: int, data: Data, cache: Path, progress: Report) -> Prepared:
    cache.mkdir(parents=True, exist_ok=True)
    if str(source) == corpus.NAME:
        label, linked, digests = corpus.NAME, None, corpus.EXPECTED
    else:
        label, linked = sources.resolve(source, cache, progress)
        shards.count(path for paths in linked.values() for path in paths)  # a bad footer is told before any is read
        digests = {split: _scan(paths, split, cache, progress) for split, paths in linked.items()}
    caps = [data.tokenizer_doc_chars, data.tokenizer_chars]
    texts = [asdict(digests[split]) for split in SPLITS]
    key = sha256(FORMAT, texts, vocab_size, caps, PATTERN, SPECIALS)
    root = cache / f"{label}-v{vocab_size}-{key[:16]}"
    waiting = f"waiting for another process that prepares {root.name}"
    with atomic.exclusive(cache / f"{root.name}.lock", lambda: progress(waiting, 0, 1)):
        if root.exists():
            try:
                return Prepared.open(root)
            except DataError:  # a cache may be made again from its source
                shutil.rmtree(root)
        partial = cache / f"{root.name}.partial"
        partial.mkdir(exist_ok=True)
        atomic.sweep(partial)
        if linked is None:
            _write_corpus(partial, progress)
        else:
            _link(partial, linked)
        _train_tokenizer(partial, vocab_size, data, digests["train"], progress)
        for split in SPLITS:
            _tokenize(partial, split, digests[split].documents, progress)
        try:
            Prepared.seal(partial, label, digests)
        except DataError:  # or the next attempt would find the same tokens
            shutil.rmtree(partial / TOKENS)
            raise
        partial.rename(root)
        return Prepared.open(root)


def _scan(paths: list[Path], split: str, cache: Path, progress: Report) -> Digest:
    """Digest of the shards' text, kept in the cache for as long as the files stay as they are."""
    total = shards.count(paths)
    folder = cache / "scans"
    folder.mkdir(exist_ok=True)
    known = folder / f"{sha256([str(path.resolve()) for path in paths], stamps(paths))}.json"
    if known.exists():
        return Digest(**json.loads(known.read_text()))
    digest = Digest.of(tracked(shards.documents(paths), f"reading {split} text", total, progress))
    if not digest.text_bytes:
        raise DataError(paths[0], f"every {split} document is empty", "give shards with text")
    with atomic.replacing(known) as temporary:
        temporary.write_text(json.dumps(asdict(digest)))
    return digest


def _write_corpus(partial: Path, progress: Report) -> None:
    """The embedded corpus as one shard a split; shards that stand are read back, not written again."""
    paths = {split: partial / split / "00000.parquet" for split in SPLITS}
    if not all(map(_whole, paths.values(), corpus.EXPECTED.values())):
        for split, documents in corpus.read().items():
            paths[split].parent.mkdir(exist_ok=True)
            shards.write(paths[split], tracked(documents, f"writing {split} text", len(documents), progress))


def _whole(path: Path, expected: Digest) -> bool:
    """Whether the shard stands and holds the expected text."""
    try:
        return Digest.of(shards.documents([path])) == expected
    except DataError:
        return False


def _link(partial: Path, linked: sources.Split) -> None:
    """Name the user's shards in the directory without copying them."""
    for split, paths in linked.items():
        shutil.rmtree(partial / split, ignore_errors=True)
        (partial / split).mkdir()
        for path in paths:
            (partial / split / path.name).symlink_to(path.resolve())


def _train_tokenizer(partial: Path, vocab_size: int, data: Data, train: Digest, progress: Report) -> None:
    path = partial / TOKENIZER
    if path.exists() and Tokenizer.load(path).vocab_size == vocab_size:
        return

    steps = train.documents + 1  # the last one is the merges, of which rustbpe says nothing until they are done
    documents = shards.documents(sorted((partial / "train").glob("*.parquet")))
    Tokenizer.train(tracked(documents, "tokenizer", steps, progress), vocab_size, data).save(path)
    progress("tokenizer", steps, steps)


def _tokenize(partial: Path, split: str, documents: int, progress: Report) -> None:
    """A file of tokens for each shard; those that stand are of the same shard and tokenizer, or are made again."""
    tokenizer, part, done = Tokenizer.load(partial / TOKENIZER), f"{split} tokens", 0
    (partial / TOKENS / split).mkdir(parents=True, exist_ok=True)

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress(part, done, documents)

    for shard in sorted((partial / split).glob("*.parquet")):
        path, made_from = token_file(partial, shard), sha256(tokenizer.hash, stamps([shard]))
        if tokens.made_from(path) == made_from:
            count(shards.count([shard]))
        else:
            tokens.write(path, shard, tokenizer, made_from, count)
