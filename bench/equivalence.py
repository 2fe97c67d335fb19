"""Whether two ways of training end at the same loss: two one-sided t-tests over pairs that share a seed.

Equivalent, different, or cannot tell. Test with `pytest -m meta bench/meta/test_equivalence.py`; on real text with
`pytest -m deep bench/conformance/test_trajectory.py`.
"""

from dataclasses import dataclass
from math import exp, lgamma, log, pi, sqrt
from statistics import NormalDist

import numpy as np

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
    """By Wilson and Hilferty's cube, within 1 % from seven degrees on at the probabilities used here."""
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + NormalDist().inv_cdf(probability) * sqrt(spread)) ** 3


def t_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t for a probability of at least a half, by bisection of its integral."""
    low, high = 0.0, 1e3
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_cumulative(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _t_cumulative(t: float, degrees: int) -> float:
    """P(T <= t) for t >= 0: with t = sqrt(degrees) tan(angle), the density is a power of the cosine."""
    scale = exp(lgamma((degrees + 1) / 2) - lgamma(degrees / 2) - 0.5 * log(pi))
    angles, step = np.linspace(0, np.arctan(t / sqrt(degrees)), 2001, retstep=True)
    heights = np.cos(angles) ** (degrees - 1)
    simpson = heights[0] + 4 * heights[1::2].sum() + 2 * heights[2:-1:2].sum() + heights[-1]
    return 0.5 + scale * float(simpson * step / 3)
