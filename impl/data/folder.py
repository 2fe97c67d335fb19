"""A folder of the user's own as shards: parquet as it is, JSON lines and plain text converted once.

Test with `pytest -m fast bench/conformance/test_sources.py`.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from impl.data import shards as parquet
from impl.data.errors import DataError
from impl.data.kept import Kept
from impl.data.passages import passages
from impl.data.prepared import sha256, stamps
from impl.data.progress import Report, tracked

JSONL, TEXT = ".jsonl", ".txt"
COMPRESSED = (".gz", ".zst", ".bz2")


def shards(folder: Path, cache: Path, report: Report) -> dict[str, list[Path]]:
    """The "train" and "val" shards: of the parquet files, or where there is none of *.jsonl, or of *.txt.

    A line of JSON has its document under "text"; plain text is UTF-8 and cut into passages. Either may be compressed
    (.gz, .zst, .bz2). Raises DataError where a split is left without a file.
    """
    kinds = ([path for path in sorted(folder.iterdir()) if _kind(path) == kind] for kind in (JSONL, TEXT))
    files = [] if any(folder.glob("*.parquet")) else next(filter(None, kinds), [])
    if not files:
        return parquet.find(folder)
    split = parquet.split(files, folder)
    kept = Kept(cache / "texts" / f"folder-{sha256(str(folder.resolve()))[:12]}")
    with kept.locked(lambda: report(f"waiting for another process that converts {folder}", 0, 1)):
        for path in tracked(files, "converting files", len(files), report):
            kept.keep(_shard(path), _documents(path))
    return {which: [kept.path(_shard(path)) for path in paths] for which, paths in split.items()}


def _kind(path: Path) -> str | None:
    plain = path.with_suffix("") if path.suffix in COMPRESSED else path
    return None if path.name.startswith(".") else plain.suffix


def _shard(path: Path) -> str:
    """A name that sorts as the file's own and changes with its content."""
    return f"{path.name}-{sha256(stamps([path]))[:8]}.parquet"


def _documents(path: Path) -> Iterator[str]:
    try:
        # Arrow guesses the compression by the suffix.
        with pa.input_stream(str(path)) as stream, io.TextIOWrapper(stream, encoding="utf-8", newline="\n") as lines:
            yield from passages(lines) if _kind(path) == TEXT else _records(path, lines)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise DataError(path, f"not UTF-8 text that can be read ({error})", "convert it or remove it") from None


def _records(path: Path, lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            text = json.loads(line)[parquet.COLUMN]
        except (ValueError, TypeError, KeyError) as error:
            reason = f"line {number} is no JSON object with {parquet.COLUMN!r} ({type(error).__name__})"
            raise DataError(path, reason, "mend the line") from None
        if not isinstance(text, str):
            raise DataError(path, f"{parquet.COLUMN!r} in line {number} is no string", "mend the line")
        yield text
