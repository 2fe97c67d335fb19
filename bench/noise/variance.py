"""The parts that a score's variance consists of, each with an interval, from kinds of runs that vary different causes.

`s` is the sample variance of a kind: kernels = s(kernel), schedule = s(clock) - s(kernel), seed = s(seed) - s(kernel).
Test with `pytest -m "fast or meta" bench/meta/test_noise.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
DRAWS = 20_000
PARTS = ("seed", "schedule", "kernels")


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Parts:
    """Standard deviations in the unit of the scores. `added`: the three parts together; `measured`: of runs in which
    all causes vary, with its degrees of freedom; `excess`: measured variance over added, 1 if causes do not interact.
    """

    sd: dict[str, Estimate]
    share: dict[str, Estimate]  # of the added variance
    added: Estimate
    measured: Estimate
    replayed: Estimate  # of runs that follow one recorded progress: seed and kernels
    degrees: int
    excess: Estimate | None
    repeats: bool  # the recorded run came out bit for bit the same


def parts(scores: Mapping[str, Sequence[float]], repeats: bool) -> Parts:
    """From at least two scores of each kind of `plan.KINDS`. Raises ValueError for fewer.

    Intervals: a sample variance s of normal scores with d degrees of freedom is sigma² times chi²(d) / d, so that
    s d / chi²(d), drawn many times, stands for what sigma² may be; parts are differences of draws, never below 0.
    """
    few = [kind for kind, values in scores.items() if len(values) < 2]
    if few:
        raise ValueError(f"{', '.join(few)}: fewer than two runs with a score, hence no spread; ask for more --runs")
    seen = {kind: 0.0 if kind == "kernel" and repeats else _variance(values) for kind, values in scores.items()}
    rng = np.random.default_rng(0)
    drawn = {
        kind: seen[kind] * (len(values) - 1) / rng.chisquare(len(values) - 1, DRAWS) for kind, values in scores.items()
    }
    of_seen, of_drawn = _taken_apart(seen), _taken_apart(drawn)
    sum_seen, sum_drawn = sum(of_seen.values()), sum(of_drawn.values())
    possible = sum_seen > 0 and bool(np.all(sum_drawn > 0))
    none = Estimate(0.0, 0.0, 0.0)
    return Parts(
        sd={name: _estimate(np.sqrt(of_seen[name]), np.sqrt(of_drawn[name])) for name in PARTS},
        share={n: _estimate(of_seen[n] / sum_seen, of_drawn[n] / sum_drawn) if possible else none for n in PARTS},
        added=_estimate(np.sqrt(sum_seen), np.sqrt(sum_drawn)),
        measured=_estimate(np.sqrt(seen["both"]), np.sqrt(drawn["both"])),
        replayed=_estimate(np.sqrt(seen["seed"]), np.sqrt(drawn["seed"])),
        degrees=len(scores["both"]) - 1,
        excess=_estimate(seen["both"] / sum_seen, drawn["both"] / sum_drawn) if possible else None,
        repeats=repeats,
    )


def _taken_apart(variance: Mapping) -> dict:
    """By part; floats or draws alike."""
    kernels = variance["kernel"]
    return {
        "seed": np.maximum(variance["seed"] - kernels, 0.0),
        "schedule": np.maximum(variance["clock"] - kernels, 0.0),
        "kernels": kernels,
    }


def _variance(values: Sequence[float]) -> float:
    return float(np.var(values, ddof=1))


def _estimate(value, draws) -> Estimate:  # (), (DRAWS,)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high))
