"""Whether two ways of training end at the same loss: two one-sided t-tests over pairs that share a seed.

Equivalent, different, or cannot tell. Test with `pytest -m meta bench/meta/test_equivalence.py`; on real text with
`pytest -m deep bench/conformance/test_trajectory.py`.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import chdtri, stdtrit

ALPHA = 0.05  # of each one-sided test, and of the bound on the noise
# In standard deviations of the loss from seed to seed. Where the mean is off by one, the better of two single runs is
# the one that should be in 76 of 100 cases, chance being 50: the least that a handful of runs can tell. Hundreds of
# steps from a fresh start forget which run they were: pairs differ as much as seeds do, and more is not to be had.
MARGIN_SD = 1.0
LEAST_SEEDS = 8


@dataclass(frozen=True)
class Answer:
    """`name`: equivalent, different, cannot tell. Losses in nats; `low` and `high` hold the mean difference at 90 %,
    `inner` and `outer` the margin, whose own size is uncertain."""

    name: str
    seeds: int
    difference: float
    low: float
    high: float
    inner: float
    outer: float
    seed_sd: float

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.difference:+.2g} nats over {self.seeds} seeds, 90 % interval "
            f"[{self.low:+.2g}, {self.high:+.2g}], margin {self.inner:.2g} to {self.outer:.2g} = {MARGIN_SD:g} x the "
            f"{self.seed_sd:.2g} from seed to seed"
        )


def compare(losses, reference) -> Answer:  # 2 x (seeds,), the same seeds in the same order
    """Equivalent where the interval of the mean paired difference lies inside the margin, different where outside.

    The noise that the margin is made of is itself known from few seeds: inside means inside its lower bound, outside
    beyond its upper one. Raises ValueError for too few pairs, or for pairs that are none.
    """
    losses, reference = (np.asarray(x, np.float64) for x in (losses, reference))
    if losses.shape != reference.shape or losses.ndim != 1 or len(losses) < LEAST_SEEDS:
        shapes = f"losses {losses.shape} and {reference.shape}"
        raise ValueError(f"{shapes} are not one number each for the same {LEAST_SEEDS} seeds or more; train more")
    pairs, seed_sd = losses - reference, float(np.std(reference, ddof=1))
    mean, degrees = float(np.mean(pairs)), len(pairs) - 1
    half = t_quantile(1 - ALPHA, degrees) * float(np.std(pairs, ddof=1)) / sqrt(len(pairs))
    low, high = mean - half, mean + half
    inner, outer = (MARGIN_SD * seed_sd * sqrt(degrees / chi2_quantile(p, degrees)) for p in (1 - ALPHA, ALPHA))
    name = "cannot tell"
    if -inner < low and high < inner:
        name = "equivalent"
    elif not (-outer <= high and low <= outer):  # a loss that is not finite is different too
        name = "different"
    return Answer(name, len(pairs), mean, low, high, inner, outer, seed_sd)


def chi2_quantile(probability: float, degrees: int) -> float:
    """What a chi-squared variable stays below in so many cases."""
    return float(chdtri(degrees, 1 - probability))


def t_quantile(probability: float, degrees: int) -> float:
    """The same of Student's t."""
    return float(stdtrit(degrees, probability))
