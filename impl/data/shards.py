"""Parquet shards with a `text` column, one document a row: written atomically, read by row group.

Test with `pytest bench/conformance/test_shards.py`.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from impl.data import atomic
from impl.data.errors import DataError

COLUMN = "text"
GROUP_DOCUMENTS = 1024  # the field's converters write as many
HELD_DOCUMENTS = 2**12  # a multiple of every refill of the packer, whose rows must not depend on it
READ_BYTES = 2**20  # at a time, or a whole compressed column is held
REMEDY = "write it again or remove it from the folder"


def write(path: Path, documents: Iterable[str], group_documents: int = GROUP_DOCUMENTS) -> None:
    """One shard, `group_documents` a row group; `path` appears when it is complete."""
    schema = pa.schema([(COLUMN, pa.string())])
    remaining = iter(documents)
    with atomic.replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        while group := list(islice(remaining, group_documents)):
            writer.write_table(pa.table({COLUMN: group}, schema=schema))


def row_groups(path: Path) -> Iterator[list[str]]:
    """Documents of each row group in turn, at most `HELD_DOCUMENTS` in memory: a larger group comes in parts.

    Raises DataError for a file that is no parquet, truncated, empty, without texts or with a null among them.
    """
    with _opened(path) as shard:
        for index in range(shard.num_row_groups):
            row = 0
            try:
                for batch in shard.iter_batches(HELD_DOCUMENTS, row_groups=[index], columns=[COLUMN]):
                    documents = batch.column(COLUMN).to_pylist()
                    if None in documents:
                        row += documents.index(None)
                        raise DataError(path, f"row {row} of row group {index} has a null {COLUMN!r}", REMEDY)
                    row += len(documents)
                    yield documents
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise DataError(path, f"row group {index} is unreadable ({error})", REMEDY) from None


def documents(paths: Iterable[Path]) -> Iterator[str]:
    """Every document of every shard in order."""
    for path in paths:
        for group in row_groups(path):
            yield from group


def count(paths: Iterable[Path]) -> int:
    """Documents in the shards, by their footers. Raises DataError as `row_groups`."""
    total = 0
    for path in paths:
        with _opened(path) as shard:
            total += shard.metadata.num_rows
    return total


def find(folder: Path) -> dict[str, list[Path]]:
    """The "train" and "val" shards of a folder, sorted by name.

    Files named val*.parquet are for validation; where there is none, the last file is. Raises DataError where
    either split is left without a shard.
    """
    if not folder.is_dir():
        raise DataError(folder, "there is no such folder", "give a folder of parquet shards, or sotu-v1")
    return split(sorted(path for path in folder.glob("*.parquet") if not path.name.startswith(".")), folder)


def split(paths: Sequence[Path], folder: Path) -> dict[str, list[Path]]:
    """The sorted `paths` of `folder` by the rule of `find`."""
    val = [path for path in paths if path.name.startswith("val")] or list(paths[-1:])
    train = [path for path in paths if path not in val]
    if not train:
        kind = f"*{paths[0].suffix}" if paths else "*.parquet"
        reason = f"no training shard among {len(paths)} {kind} files (validation takes one)"
        raise DataError(folder, reason, "add at least one shard for training and one for validation")
    return {"train": train, "val": val}


def _opened(path: Path) -> pq.ParquetFile:
    try:
        shard = pq.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False)
    except FileNotFoundError:
        raise DataError(path, "there is no such shard", REMEDY) from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(path, f"not a whole parquet file ({error})", REMEDY) from None
    names = shard.schema_arrow.names
    if COLUMN not in names:
        raise DataError(path, f"no {COLUMN!r} column among {names}", f"rename its text column to {COLUMN!r}")
    kind = shard.schema_arrow.field(COLUMN).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(path, f"its {COLUMN!r} column holds {kind}, not strings", REMEDY)
    if not shard.metadata.num_rows:
        raise DataError(path, "an empty shard: it holds no document", REMEDY)
    return shard
