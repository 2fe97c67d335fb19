"""`enwik8`: the first 10^8 bytes of a dump of Wikipedia, on which bits per byte are published for many models.

Every byte is in a document: a new one begins with each page, and long pages are cut into passages. Test with
`pytest -m fast bench/conformance/test_sources.py`.
"""

import gzip
import hashlib
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from impl.data import download
from impl.data.errors import DataError
from impl.data.kept import VAL, Kept, numbered
from impl.data.passages import passages
from impl.data.progress import Report

TRAIN_BYTES = 90_000_000
ZIP_BYTES = 36_445_475  # for progress alone
PAGE = re.compile(rb"^  <page>$", re.MULTILINE)
LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, kw_only=True)
class Wiki:
    """The bytes `scored` are for validation, the first 90 MB for training."""

    scored: tuple[int, int]
    home: str = "http://mattmahoney.net/dc/enwik8.zip"
    md5: str = "a1fa5ffddb56f4953e226637dabbb36a"  # of the content
    licence: str = "CC BY-SA"


def shards(name: str, row: Wiki, cache: Path, report: Report, file: Path | None = None) -> dict[str, list[Path]]:
    """The shards for each split, made of `file` (plain, .gz or .zip) or of the download."""
    kept = Kept(cache / "texts" / f"{name}-{row.md5[:12]}")
    with kept.locked(lambda: report(f"waiting for another process that makes {name}", 0, 1)):
        if not all(map(kept.stands, (VAL, numbered(0)))):
            content = _content(row, file or _downloaded(row, cache / "downloads" / "enwik8", report))
            parts = {VAL: content[slice(*row.scored)], numbered(0): content[:TRAIN_BYTES]}
            for shard, part in parts.items():
                kept.keep(shard, documents(part))
    return {"train": [kept.path(numbered(0))], "val": [kept.path(VAL)]}


def documents(content: bytes) -> Iterator[str]:
    """Joined and encoded, they are `content` again."""
    starts = [0, *(match.start() for match in PAGE.finditer(content)), len(content)]
    for start, end in pairwise(starts):
        yield from passages(LINE.findall(content[start:end].decode()))


def _downloaded(row: Wiki, folder: Path, report: Report) -> Path:
    path = folder / Path(row.home).name
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        done = 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            report("downloading enwik8 bytes", done, max(done, ZIP_BYTES))

        download.require_space(folder, 500_000_000, "enwik8")
        download.fetch(download.Remote(row.home), path, {}, count, threading.Event())
    return path


def _content(row: Wiki, path: Path) -> bytes:
    remedy = f"remove it, or give the file of {row.home}"
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = archive.read(archive.namelist()[0])
        else:
            raw = path.read_bytes()
            content = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zipfile.BadZipFile, IndexError) as error:
        raise DataError(path, f"unreadable ({error})", remedy) from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != row.md5:
        raise DataError(path, f"its content ({len(content)} bytes) is not that of enwik8", remedy)
    return content
