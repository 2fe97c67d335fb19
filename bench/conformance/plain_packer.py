"""Upstream's packing rule written down as it is said, one search over the buffer per placement: slow and obvious."""

from collections.abc import Iterator


def plain_rows(refills: Iterator, capacity: int, buffer_documents: int) -> Iterator[tuple[list[int], int]]:
    """(row of `capacity` tokens, epoch of the last refill) without end; refills give (documents, epoch)."""
    buffer: list = []
    epoch = 0
    while True:
        row: list[int] = []
        while len(row) < capacity:
            while len(buffer) < buffer_documents:
                documents, epoch = next(refills)
                buffer.extend(documents)
            remaining = capacity - len(row)
            best = None
            for index, document in enumerate(buffer):
                if len(document) <= remaining and (best is None or len(document) > len(buffer[best])):
                    best = index
            if best is None:
                lengths = [len(document) for document in buffer]
                best = lengths.index(min(lengths))
            row.extend(buffer.pop(best)[:remaining])
        yield row, epoch
