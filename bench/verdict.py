"""Is B slower than A? Interleaved runs, a bootstrap interval of the ratio, and a verdict that may be CANNOT TELL.

Test with `pytest -m fast -k verdict`; `python -m bench.verdict` counts the verdicts on real work, equal and 3 % longer.
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from bench.measure import seconds
from impl import backend as backends
from reports.compare import MARGIN_SPEED
from reports.effect import CANNOT_TELL, SAME

FASTER, SLOWER = "FASTER", "SLOWER"
# Half of the 3 % that must be seen: no interval lies within it and holds 3 % too.
MARGIN = MARGIN_SPEED
# What two sessions may differ by: of two at commit 42436fb on an H200, half of the rows differed by less than 0.3 %
# (torch) and 0.2 % (mlx), and all that compute by less than 3 % but a product that takes 7 us.
APART = 0.03
# Other work only slows. Of the host's cores a third were quick, so that a quarter of the samples would not always be.
QUICK = 0.1
LEVEL = 0.98
RESAMPLES = 2000
# Of 500 equal pairs with 2 % noise, 5.6 % were called different from 10 samples, 2.2 % from 16, 0.2 % from 40.
LEAST = 16


@dataclass(frozen=True)
class Comparison:
    """B against A: `ratio` of medians or other quantiles (above 1: B takes longer), its interval, and the samples."""

    ratio: float
    low: float
    high: float
    verdict: str
    a_s: tuple[float, ...] = field(repr=False)
    b_s: tuple[float, ...] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.verdict}: {self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}]"


def compare(a: Callable[[], object], b: Callable[[], object], rounds: int) -> Comparison:
    """Run both in turn, the first one alternating, so that what drifts drifts for both.

    Each must wait for its own results. Warm up both before.
    """
    a_s, b_s = [], []
    for turn in range(rounds):
        for action, samples in ((a, a_s), (b, b_s))[:: -1 if turn % 2 else 1]:
            samples.append(seconds(action))
    return paired(a_s, b_s)


def paired(a_s: Sequence[float], b_s: Sequence[float]) -> Comparison:
    """Of samples taken in turn: the median of the rounds' own ratios, which what both suffer leaves alone."""
    logs = np.log(b_s) - np.log(a_s)  # (rounds,)
    drawn = np.median(logs[_blocks(len(logs), 0)], axis=1) if len(logs) >= LEAST else None
    return _judged(float(np.median(logs)), drawn, a_s, b_s)


def independent(
    a_s: Sequence[float],
    b_s: Sequence[float],
    visits: tuple[int, int] = (1, 1),
    apart: float = APART,
    machine: float = 1.0,
    share: float = QUICK,
) -> Comparison:
    """Of samples of two sessions, as they were saved: the ratio of their quick tenths, or of another `share`.

    The interval holds what varied within them, from visit to visit too, and cannot know what differs between the two:
    that is what `apart` allows for, and only what is beyond it all is called a difference. `machine` is how much longer
    the same work, of another kind, took in the second session.
    """
    a, b = np.log(a_s), np.log(b_s)
    drawn = None
    if min(len(a_s), len(b_s)) >= LEAST:
        drawn = drawn_quantiles(b, share, visits[1], 1) - drawn_quantiles(a, share, visits[0], 0)
    by = partial(judge_sessions, apart=apart, machine=machine)
    return _judged(float(np.quantile(b, share) - np.quantile(a, share)), drawn, a_s, b_s, by)


def drawn_quantiles(samples, share: float, visits: int, seed: int = 0) -> np.ndarray:  # -> (RESAMPLES,)
    """Of samples drawn anew in stretches as long as one of the visits, whose samples are slow or quick together."""
    n = len(samples)
    indices = _blocks(n, seed, math.ceil(n / visits) if visits > 1 else None)
    return np.quantile(np.asarray(samples)[indices], share, axis=1)


def judge(ratio: float, low: float, high: float) -> str:
    """SAME: the interval is within the margin. Different: the ratio is not, and the interval is on its side of 1."""
    if low >= 1 - MARGIN and high <= 1 + MARGIN:
        return SAME
    if ratio > 1 + MARGIN and low > 1:
        return SLOWER
    return FASTER if ratio < 1 - MARGIN and high < 1 else CANNOT_TELL


def judge_sessions(_: float, low: float, high: float, apart: float = APART, machine: float = 1.0) -> str:
    """SAME: the interval is within `apart`. Different: it is wholly beyond, for equal sessions reach it too.

    And beyond what the machine itself differs by, either way: not all work feels that alike.
    """
    if low >= 1 - apart and high <= 1 + apart:
        return SAME
    machine = max(machine, 1 / machine)
    if low > (1 + apart) * machine:
        return SLOWER
    return FASTER if high < (1 - apart) / machine else CANNOT_TELL


def _judged(log_ratio: float, drawn: np.ndarray | None, a_s, b_s, by=judge) -> Comparison:
    low, high = 0.0, math.inf
    if drawn is not None:
        low, high = np.exp(np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])).tolist()
    ratio = math.exp(log_ratio)
    return Comparison(ratio, low, high, by(ratio, low, high), tuple(a_s), tuple(b_s))


def _blocks(n: int, seed: int, block: int | None = None) -> np.ndarray:  # -> (RESAMPLES, n) indices
    """Circular blocks of n^(1/3) neighbours: slow samples come in rows, and single draws would hide that."""
    block = block or max(1, round(n ** (1 / 3)))
    starts = np.random.default_rng(seed).integers(0, n, (RESAMPLES, math.ceil(n / block), 1))
    return ((starts + np.arange(block)) % n).reshape(RESAMPLES, -1)[:, :n]


PRODUCTS, LONGER = 100, 103


def main(arguments: list[str] | None = None) -> int:
    """A hundred products against a hundred, and against a hundred and three."""
    parser = argparse.ArgumentParser(prog="python -m bench.verdict", description="Count the verdicts on real work.")
    parser.add_argument("--backend", metavar="NAME", help="default: the best that is here")
    parser.add_argument(
        "--rounds", type=int, default=24, metavar="N", help="pairs in a comparison; default: %(default)s"
    )
    parser.add_argument("--times", type=int, default=20, metavar="N", help="comparisons; default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        backend = backends.load(options.backend)
    except backends.BackendError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = 256 if backend.name.endswith("-cpu") else 2048
    x = backend.array(np.random.default_rng(0).standard_normal((size, size), np.float32), "float32")

    def work(products: int) -> None:
        backend.sync([x @ x for _ in range(products)])

    for products in (PRODUCTS, LONGER):
        work(products)
        found = [
            compare(lambda: work(PRODUCTS), lambda n=products: work(n), options.rounds) for _ in range(options.times)
        ]
        off = np.abs([c.ratio * PRODUCTS / products - 1 for c in found])
        widths = [(c.high - c.low) / 2 for c in found]
        counts = ", ".join(f"{count} {name}" for name, count in Counter(c.verdict for c in found).most_common())
        print(
            f"{backend.name}, {products / PRODUCTS - 1:.0%} longer: {counts}; "
            f"the ratio is off by {np.median(off):.2%}, at most {off.max():.2%}, "
            f"half its interval is {np.median(widths):.2%}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
