"""Data sets of the public hub: listed once, downloaded as published, kept as shards of their `text` alone.

`$HF_ENDPOINT` names another server with the hub's interface. Test with `pytest -m meta bench/meta/test_download.py`.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from math import ceil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from impl.data import atomic, download
from impl.data.download import Remote
from impl.data.errors import DataError
from impl.data.kept import VAL, Kept, head, numbered
from impl.data.prepared import sha256
from impl.data.progress import Report

LISTING = "listing.json"
BATCH_DOCUMENTS = 1024
VAL_BYTES = 5_000_000  # every byte is scored, twice a run, also on chips that read 10,000 tokens a second
# Of one downloaded byte: itself, the text written again, its tokens; 3.4 measured on ten shards like those of climbmix.
DISK_BYTES_PER_BYTE = 4
REMEDY = "remove it and run the same command again"


@dataclass(frozen=True, kw_only=True)
class Hub:
    """`folder` of the repository `home` holds parquet files, sorted by name, with texts in `column`.

    With `validation`, that file's head is scored and each other one is a shard for training. Without, files are read
    in turn: the head is scored and the rest is cut into shards of `shard_documents`.
    """

    home: str
    folder: str = ""
    revision: str = "main"
    column: str = "text"
    at_least: tuple[str, float] | None = None  # rows are kept whose value in this column is no less
    least_chars: int = 1
    validation: str | None = None
    val_bytes: int = VAL_BYTES  # the first documents that sum to so many
    shards: int = 10
    shard_documents: int = 86_016  # what climbmix and the field's converters have
    licence: str | None

    def keeping(self, column: str, least: float) -> "Hub":
        """The same without the rows whose `column` is below `least`."""
        return replace(self, at_least=(column, least))

    def texts(self, path: Path) -> Iterator[str]:
        """What is kept of one file, a batch in memory. Raises DataError where it cannot be read."""
        columns = [self.column, *([self.at_least[0]] if self.at_least else [])]
        try:
            with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
                absent = [name for name in columns if name not in file.schema_arrow.names]
                if absent:
                    found = file.schema_arrow.names
                    raise DataError(path, f"no {absent[0]!r} column among {found}", "tell the authors of nanomark")
                for batch in file.iter_batches(BATCH_DOCUMENTS, columns=columns):
                    texts, *scores = (batch.column(name).to_pylist() for name in columns)
                    yield from (text for text, *score in zip(texts, *scores, strict=True) if self._keeps(text, score))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(path, f"unreadable ({error})", REMEDY) from None

    def _keeps(self, text: str | None, score: Sequence[float | None]) -> bool:
        if text is None or len(text) < self.least_chars:
            return False
        return not self.at_least or (score[0] is not None and score[0] >= self.at_least[1])


def shards(name: str, row: Hub, count: int, cache: Path, report: Report) -> dict[str, list[Path]]:
    """The shard that is scored and `count` to train on; only what the cache lacks is downloaded."""
    rules = {key: value for key, value in asdict(row).items() if key not in ("shards", "licence")}
    kept = Kept(cache / "texts" / f"{name}-{sha256(rules)[:12]}")
    wanted = [VAL, *map(numbered, range(count))]
    with kept.locked(lambda: report(f"waiting for another process that makes {name}", 0, 1)):
        if not all(map(kept.stands, wanted)):
            files = Downloads(name, row, cache / "downloads" / name, report)
            (_whole_files if row.validation else _recut)(row, count, kept, files)
    return {"train": [kept.path(file) for file in wanted[1:]], "val": [kept.path(VAL)]}


class Downloads:
    """The files of a data set in a folder of the cache."""

    def __init__(self, name: str, row: Hub, folder: Path, report: Report):
        self.name, self._row, self._folder, self._report = name, row, folder, report
        self._hub = download.library(name)
        folder.mkdir(parents=True, exist_ok=True)
        self.listed = self._list()

    def fetch(self, names: Sequence[str]) -> Iterator[Path]:
        """Paths in order, as they come."""
        wanted = [(self._remote(name), self._folder / name) for name in names]
        needed = download.left_bytes(wanted) * DISK_BYTES_PER_BYTE
        download.require_space(self._folder, needed, f"{self.name}, {len(wanted)} files")
        label = f"downloading {self.name}"
        try:
            yield from download.fetch_all(wanted, self._hub.utils.build_hf_headers(), label, self._report)
        except DataError:
            (self._folder / LISTING).unlink(missing_ok=True)  # it may be what is out of date
            raise

    def _remote(self, name: str) -> Remote:
        row, (size, sha) = self._row, self.listed[name]
        file = f"{row.folder}/{name}" if row.folder else name
        place = {"repo_type": "dataset", "revision": row.revision, "endpoint": _endpoint()}
        return Remote(self._hub.hf_hub_url(row.home, file, **place), size, sha)

    def _list(self) -> dict[str, tuple[int, str | None]]:
        """(bytes, SHA-256) of every parquet file, as published when it was first asked for."""
        path, row = self._folder / LISTING, self._row
        key = [row.home, row.revision, row.folder]
        if path.exists() and (known := json.loads(path.read_text()))["of"] == key:
            return known["files"]
        where = f"{self.name} ({row.home})"
        try:
            api = self._hub.HfApi(endpoint=_endpoint())
            tree = api.list_repo_tree(row.home, row.folder or None, revision=row.revision, repo_type="dataset")
            files = {
                Path(entry.path).name: (entry.size, entry.lfs.sha256 if entry.lfs else None)
                for entry in tree
                if entry.path.endswith(".parquet")
            }
        except Exception as error:  # of three libraries, and of many kinds
            told = f"the hub does not list its files ({type(error).__name__}: {str(error).splitlines()[0]})"
            raise DataError(where, told, download.AGAIN) from None
        files = dict(sorted(files.items()))
        if not files:
            raise DataError(
                f"{self.name} ({row.home})", "the hub lists no parquet file", "tell the authors of nanomark"
            )
        with atomic.replacing(path) as temporary:
            temporary.write_text(json.dumps({"of": key, "files": files}))
        return files


def _endpoint() -> str | None:
    """Read here, because the library reads it when it is imported."""
    return os.environ.get("HF_ENDPOINT")


def _whole_files(row: Hub, count: int, kept: Kept, files: Downloads) -> None:
    assert row.validation
    train = [name for name in files.listed if name != row.validation]
    if row.validation not in files.listed or len(train) < count:
        raise DataError(files.name, f"{row.validation} or {count} others are not published", f"at most {len(train)}")
    pairs = [(VAL, row.validation), *((numbered(i), name) for i, name in enumerate(train[:count]))]
    missing = [(shard, name) for shard, name in pairs if not kept.stands(shard)]
    for (shard, _), path in zip(missing, files.fetch([name for _, name in missing]), strict=True):
        kept.keep(shard, head(row.texts(path), row.val_bytes) if shard == VAL else row.texts(path))


def _recut(row: Hub, count: int, kept: Kept, files: Downloads) -> None:
    """What stands is read over: the files' documents do not say where a shard begins."""
    texts = _stream(row, files, count * row.shard_documents)
    kept.keep(VAL, head(texts, row.val_bytes))
    for index in range(count):
        part = islice(texts, row.shard_documents)
        first = list(islice(part, 1))
        if not first:
            raise DataError(files.name, f"all its files give {index} shards", f"take --shards {index}")
        kept.keep(numbered(index), chain(first, part))


def _stream(row: Hub, files: Downloads, wanted: int) -> Iterator[str]:
    """Documents of one file after another; after the first, as many at once as seem to be needed."""
    names, seen, position = list(files.listed), 0, 0
    while position < len(names):
        wave = max(1, ceil((wanted - seen) * position / seen)) if seen else 1
        for path in files.fetch(names[position : position + wave]):
            for text in row.texts(path):
                seen += 1
                yield text
        position += wave
