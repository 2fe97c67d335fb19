"""The score of a whole validation text, whatever gives the nats: a trainer in mid-run, a subject, the oracle.

Test with `pytest -m fast bench/conformance/test_bpb.py`.
"""

from collections.abc import Callable

import numpy as np

from bench.subject import BitsPerByte
from impl.data.evaluation import Windows


def evaluate(nats: Callable, text: Windows, rows: int) -> BitsPerByte:
    """Sums over windows that score every validation byte once, `rows` at a time; `nats` as a subject's, (B,) each.

    The last group is filled up with rows that score nothing: one shape, hence one compilation. Sums are in float64.
    """
    total = 0.0
    for start in range(0, len(text.inputs), rows):
        inputs, targets = (x[start : start + rows].astype(np.int64) for x in (text.inputs, text.targets))
        missing = rows - len(inputs)
        inputs = np.pad(inputs, ((0, missing), (0, 0)))
        targets = np.pad(targets, ((0, missing), (0, 0)), constant_values=-1)
        total += float(np.sum(nats(inputs, targets), dtype=np.float64))
    return BitsPerByte(nats=total, bytes=text.total_bytes, tokens=int(np.sum(text.targets >= 0)))
