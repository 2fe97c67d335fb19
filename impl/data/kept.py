"""Shards that were made from something else, kept in the cache for as long as they are what was written.

Test with `pytest -m fast bench/conformance/test_sources.py`.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from impl.data import atomic, shards
from impl.data.prepared import stamps

VAL = "val.parquet"
MADE = "made.json"


def numbered(index: int) -> str:
    """Name of a shard for training."""
    return f"{index:05d}.parquet"


def head(texts: Iterator[str], least_bytes: int) -> Iterator[str]:
    """Take documents until their UTF-8 bytes sum to `least_bytes`; the rest stays in `texts`."""
    taken = 0
    while taken < least_bytes and (text := next(texts, None)) is not None:
        taken += len(text.encode())
        yield text


class Kept:
    """A folder of shards and a record of each that was finished."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def locked(self, on_wait: Callable[[], None]) -> AbstractContextManager[None]:
        """For one process at a time."""
        return atomic.exclusive(self._folder.with_name(f"{self._folder.name}.lock"), on_wait)

    def path(self, name: str) -> Path:
        return self._folder / name

    def stands(self, name: str) -> bool:
        """Whether the shard is as it was written."""
        path = self.path(name)
        return path.exists() and self._made().get(name) == stamps([path])

    def keep(self, name: str, texts: Iterable[str]) -> None:
        """Write a shard; one that stands stays, and `texts` are read over."""
        if self.stands(name):
            deque(texts, maxlen=0)
            return
        atomic.sweep(self._folder)
        shards.write(self.path(name), texts)
        made = {**self._made(), name: stamps([self.path(name)])}
        with atomic.replacing(self.path(MADE)) as temporary:
            temporary.write_text(json.dumps(made))

    def _made(self) -> dict:
        path = self.path(MADE)
        return json.loads(path.read_text()) if path.exists() else {}
