"""Best-fit packing of documents into rows, to upstream's tie-break, at a cost that does not grow with the buffer.

Documents of one length leave the buffer in the order they came, so a queue per length replaces the search: the bits
of one integer say which lengths wait. Test with `pytest bench/conformance/test_packing.py`.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np


@dataclass(frozen=True)
class Packed:
    """Tokens so far: read from the documents = emitted in rows + discarded from cropped tails + still buffered."""

    read: int
    emitted: int
    discarded: int

    @property
    def buffered(self) -> int:
        return self.read - self.emitted - self.discarded

    @property
    def discarded_fraction(self) -> float:
        """Of the tokens that left the buffer; 0 before any did."""
        return self.discarded / max(1, self.emitted + self.discarded)


class Packer:
    """Rows of exactly `capacity` tokens out of an endless stream of refills.

    A refill is (documents, epoch), each document an (n,) int array with n >= 1. Before each placement the buffer is
    refilled to at least `buffer_documents`. The longest document that fits the rest of the row is placed, the oldest
    among equals; where none fits, the shortest of all is cropped to the rest and its tail discarded.
    """

    def __init__(self, refills: Iterator[tuple[list, int]], capacity: int, buffer_documents: int):
        self.capacity, self.buffer_documents = capacity, buffer_documents
        self.epoch = 0  # of the last refill
        self._refills = refills
        self._queues: defaultdict[int, deque] = defaultdict(deque)  # length <= capacity -> documents, oldest first
        self._occupied = 0  # bit n is set where documents of length n wait
        self._long: list = []  # heap of (length, age, document) above capacity: they are only ever cropped
        self._buffered_documents = self._documents = 0
        self._read = self._emitted = self._discarded = 0

    def fill(self, rows) -> int:  # (B, capacity) int, written in place
        """Fill every row and return the epoch of the last refill."""
        for row in rows:
            np.concatenate(self._parts(), out=row)
            self._emitted += self.capacity
        return self.epoch

    @property
    def packed(self) -> Packed:
        """What became of the tokens, at the end of the last full row."""
        return Packed(self._read, self._emitted, self._discarded)

    def _parts(self) -> list:
        """Documents, the last perhaps cropped, that make one row."""
        parts, remaining = [], self.capacity
        while remaining:
            self._top_up()
            length = self._longest(remaining)
            document = self._oldest(length) if length else self._cropped(self._shortest(), remaining)
            parts.append(document)
            remaining -= len(document)
        return parts

    def _top_up(self) -> None:
        while self._buffered_documents < self.buffer_documents:
            self._refill()

    def _longest(self, remaining: int) -> int:
        """Length of the longest waiting document that fits; 0 where none does."""
        fitting = self._occupied & ((2 << remaining) - 1)
        return fitting.bit_length() - 1 if fitting else 0

    def _cropped(self, document, remaining: int):  # (n,) -> (remaining,)
        self._discarded += len(document) - remaining
        return document[:remaining]

    def _refill(self) -> None:
        documents, self.epoch = next(self._refills)
        for document in documents:
            length = len(document)
            if length <= self.capacity:
                self._queues[length].append(document)
                self._occupied |= 1 << length
            else:
                heappush(self._long, (length, self._documents, document))
            self._documents += 1
            self._read += length
        self._buffered_documents += len(documents)

    def _oldest(self, length: int):  # -> (length,)
        queue = self._queues[length]
        document = queue.popleft()
        if not queue:
            self._occupied ^= 1 << length
        self._buffered_documents -= 1
        return document

    def _shortest(self):  # -> (n,)
        if self._occupied:
            return self._oldest((self._occupied & -self._occupied).bit_length() - 1)
        self._buffered_documents -= 1
        return heappop(self._long)[2]
