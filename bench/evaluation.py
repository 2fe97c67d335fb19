"""The score of a whole validation text, whatever gives the nats: a trainer in mid-run, a subject, the oracle.

Test with `pytest -m fast bench/conformance/test_bpb.py`.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from bench.subject import BitsPerByte
from impl.data.evaluation import Windows


def evaluate(nats: Callable, text: Windows, rows: int, numpy: Callable = np.asarray) -> BitsPerByte:
    """Sums over windows that score every validation byte once, `rows` at a time; `nats` as a subject's, (B,) each.

    What `nats` returns need not be ready: `numpy`, the backend's, reads it once the next group is under way.
    The last group is filled up with rows that score nothing: one shape, hence one compilation. Sums are in float64.
    """
    under_way = (nats(*group) for group in _groups(text, rows))
    total = math.fsum(np.sum(numpy(x), dtype=np.float64) for x in _one_behind(under_way))
    return BitsPerByte(nats=total, bytes=text.total_bytes, tokens=int(np.sum(text.targets >= 0)))


def _groups(text: Windows, rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:  # 2 x (rows, T) int64
    for start in range(0, len(text.inputs), rows):
        inputs, targets = (x[start : start + rows].astype(np.int64) for x in (text.inputs, text.targets))
        missing = rows - len(inputs)
        yield np.pad(inputs, ((0, missing), (0, 0))), np.pad(targets, ((0, missing), (0, 0)), constant_values=-1)


def _one_behind(items: Iterable) -> Iterator:
    """Each of `items` once the next has been drawn."""
    before = ()
    for item in items:
        yield from before
        before = (item,)
    yield from before
