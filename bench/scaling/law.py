"""Power laws: cost = factor * size ** exponent, with an interval of the exponent.

Test with `pytest -m meta bench/meta/test_throughput.py -k exponent`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES, LEVEL = 1000, 0.95
LEAST_POINTS = 3


@dataclass(frozen=True)
class Law:
    """The least-squares line through the logarithms; `low` and `high` bound the exponent."""

    factor: float
    exponent: float
    low: float
    high: float

    def at(self, size: float) -> float:
        return self.factor * size**self.exponent


def fit(sizes: Sequence[float], samples: Sequence[Sequence[float]]) -> Law | None:
    """The law of the medians of each size's samples; None where fewer than three sizes were measured.

    The interval is a bootstrap over what varies at one size, its samples, and over how far the sizes lie from the law.
    """
    if len(sizes) < LEAST_POINTS:
        return None
    x = np.log(np.asarray(sizes, float))
    y = np.log([np.median(taken) for taken in samples])
    exponent, offset = np.polyfit(x, y, 1)
    line = offset + exponent * x
    rests = (y - line) * np.sqrt(len(x) / (len(x) - 2))  # two were spent on the line
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        within = [np.log(np.median(rng.choice(taken, len(taken)))) for taken in samples] - y
        drawn.append(np.polyfit(x, line + rng.choice(rests, len(x)) + within, 1)[0])
    low, high = np.quantile(drawn, (0.5 - LEVEL / 2, 0.5 + LEVEL / 2))
    return Law(float(np.exp(offset)), float(exponent), float(low), float(high))
