"""Endless batches of packed rows from a prepared directory, whose tokens are mapped into memory.

Test with `pytest bench/conformance/test_evaluation.py`.
"""

from collections.abc import Iterator
from itertools import count

import numpy as np

from impl.data import tokens
from impl.data.packing import Packed, Packer
from impl.data.prepared import Prepared
from impl.spec import Data


def encoded(prepared: Prepared, split: str, refill_documents: int) -> Iterator[list]:
    """One epoch: token arrays, BOS first, of up to `refill_documents` documents of one row group at a time."""
    for path in prepared.token_files(split):
        for group in tokens.row_groups(path):
            for start in range(0, len(group), refill_documents):
                yield group[start : start + refill_documents]


def refills(prepared: Prepared, split: str, refill_documents: int) -> Iterator[tuple[list, int]]:
    """(token arrays, epoch) without end; epochs count from 1."""
    for epoch in count(1):
        for documents in encoded(prepared, split, refill_documents):
            yield documents, epoch


class Batches:
    """Iterator of (inputs (B, T) int64, targets (B, T) int64, epoch of the last refill).

    Both are views of one new array: whoever sends them on copies them anyway.
    """

    def __init__(self, packer: Packer, rows: int):
        self._packer, self._rows = packer, rows

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> tuple:
        batch = np.empty((self._rows, self._packer.capacity), dtype=np.int64)
        epoch = self._packer.fill(batch)
        return batch[:, :-1], batch[:, 1:], epoch

    @property
    def packed(self) -> Packed:
        """Tokens read, emitted, discarded and buffered so far."""
        return self._packer.packed


def batches(prepared: Prepared, split: str, rows: int, sequence_len: int, data: Data) -> Batches:
    """Endless batches of `rows` packed rows of `sequence_len` tokens; the stream of rows does not depend on `rows`.

    Raises DataError, when drawn from, if a file of tokens has become unreadable.
    """
    source = refills(prepared, split, data.refill_documents)
    return Batches(Packer(source, sequence_len + 1, data.buffer_documents), rows)
