"""How fast the packer makes rows, beside the plain transcription of the same rule; tokenising is not counted.

Run with `pytest -m bench bench/throughput/test_packing.py -s`.
"""

from functools import lru_cache
from itertools import cycle, islice
from statistics import median

import numpy as np
import pytest

from bench.conformance.plain_packer import plain_rows
from bench.measure import seconds
from impl.data.packing import Packer
from impl.spec import Data

pytestmark = pytest.mark.bench
SEQUENCE_LEN, ROWS = 2048, 16
BATCHES, PLAIN_BATCHES, ROUNDS = 400, 10, 9
LEAST_RATIO, AIM_TOKENS_PER_S = 10, 20e6


@lru_cache
def log_normal_refills(data: Data):
    """Documents as long as web pages are, in tokens: median 400, a long tail."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(6.0, 1.1, 200 * data.refill_documents), 2, 100_000).astype(int)
    documents = [rng.integers(0, 8192, length, dtype=np.int32) for length in lengths]
    size = data.refill_documents
    return [(documents[start : start + size], 1) for start in range(0, len(documents), size)]


def test_packer_is_ten_times_the_plain_one():
    data = Data()
    assert data.buffer_documents == 1000
    refills = log_normal_refills(data)
    packer = Packer(cycle(refills), SEQUENCE_LEN + 1, data.buffer_documents)
    plain = plain_rows(cycle(refills), SEQUENCE_LEN + 1, data.buffer_documents)
    ours, theirs = np.empty((2, ROWS, SEQUENCE_LEN + 1), dtype=np.int64)

    def pack(batches: int) -> None:
        for _ in range(batches):
            packer.fill(ours)

    def pack_plainly(batches: int) -> None:
        for _ in range(batches):
            for into, (row, _) in zip(theirs, islice(plain, ROWS), strict=True):
                into[:] = row

    pack(1)
    pack_plainly(1)
    assert np.array_equal(ours, theirs)
    batch_tokens = ROWS * SEQUENCE_LEN
    samples = [
        (
            BATCHES * batch_tokens / seconds(lambda: pack(BATCHES)),
            PLAIN_BATCHES * batch_tokens / seconds(lambda: pack_plainly(PLAIN_BATCHES)),
        )
        for _ in range(ROUNDS)
    ]
    ratios = [fast / slow for fast, slow in samples]
    fast, slow = (median(column) for column in zip(*samples, strict=True))
    print(
        f"\npacker {fast / 1e6:.1f} M tokens/s, plain {slow / 1e6:.2f} M tokens/s, ratio {median(ratios):.0f} "
        f"({min(ratios):.0f} to {max(ratios):.0f}); {packer.packed.discarded_fraction:.1%} discarded"
    )
    assert median(ratios) >= LEAST_RATIO
    assert fast >= AIM_TOKENS_PER_S
