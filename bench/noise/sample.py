"""How far a score would move with another sample of the validation text of the same size.

nats and bytes of N windows; a unit is what is drawn: a window, or a document with all windows that begin in it, since
neighbours are alike. Test with `pytest -m fast -k noise`.
"""

from collections.abc import Sequence
from math import log

import numpy as np

from bench.noise.variance import LEVEL, Estimate

RESAMPLES = 2000


def spread(nats, bytes_, units) -> Estimate:  # 3 x (N,) -> bits per byte
    """Standard deviation of the score, or of a difference of two runs' scores where `nats` are differences.

    By the bootstrap over units; the interval is that of each resample's own residuals about its ratio.
    """
    _, index = np.unique(np.asarray(units), return_inverse=True)
    nats, bytes_ = (np.bincount(index, np.asarray(x, np.float64)) for x in (nats, bytes_))  # (U,) each
    counts = np.random.default_rng(0).multinomial(len(nats), np.full(len(nats), 1 / len(nats)), RESAMPLES)  # (R, U)
    total = counts @ bytes_
    scores = counts @ nats / total / log(2)
    ratios = scores * log(2)
    squares = counts @ nats**2 - 2 * ratios * (counts @ (nats * bytes_)) + ratios**2 * (counts @ bytes_**2)
    low, high = np.quantile(np.sqrt(squares.clip(0)) / total / log(2), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(np.std(scores, ddof=1)), float(low), float(high))


def typical(found: Sequence[Estimate]) -> Estimate | None:
    """Medians over several runs, or pairs of them: they are scored on one text, so that pooling would not sharpen."""
    if not found:
        return None
    return Estimate(*(float(np.median([getattr(x, name) for x in found])) for name in ("value", "low", "high")))
