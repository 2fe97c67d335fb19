"""What makes a run's samples doubtful: power, other work, heat, stretches that ran slow. They are kept, and flagged.

Test with `pytest -m fast -k flags`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from reports.schema import Probe, State

SLOW = 1.1  # of two stretches of equal work: what clocks, not noise, differ by
BUSY = 0.1  # of all CPUs
WINDOW = 9  # samples, at least: shorter is an outlier, which the median stands
SIGMAS = 7.0  # with 6, 3 of 720 steady runs were flagged; with 7 none
MEDIAN_OVER_MEAN = 1.2533  # the error of a median in units of that of a mean
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Stretch:
    """Samples `start` to `stop`, not included, whose running median is at worst `ratio` times the run's normal."""

    start: int
    stop: int
    ratio: float


def slow_stretches(samples_s: Sequence[float]) -> tuple[Stretch, ...]:
    """Where samples of equal work stay more than a tenth above the run's quick ones, and above their own scatter."""
    n = len(samples_s)
    window = max(WINDOW, n // 50)
    if n < 2 * window:
        return ()
    running = [median(samples_s[i : i + window]) for i in range(n - window + 1)]
    normal = sorted(running)[len(running) // 10]  # not the least, which scatter makes too small
    scatter = MAD_TO_SIGMA * median(abs(b - a) for a, b in pairwise(samples_s)) / 2**0.5
    limit = max(SLOW * normal, normal + SIGMAS * MEDIAN_OVER_MEAN * scatter / window**0.5)
    found: list[Stretch] = []
    for i in (i for i, value in enumerate(running) if value > limit):
        stretch = Stretch(i, i + window, running[i] / normal)
        if found and i <= found[-1].stop:
            stretch = Stretch(found[-1].start, stretch.stop, max(found[-1].ratio, stretch.ratio))
            found.pop()
        found.append(stretch)
    return tuple(found)


def flags(state: State, step_s: Sequence[float] = ()) -> tuple[str, ...]:
    """One line each for what disturbed a run; empty where nothing that could be read did."""
    return (*_around(state), *_probes(state.probes), *_slow(step_s))


def _around(state: State) -> Iterator[str]:
    if state.power_source == "battery":
        yield "on battery"
    if state.low_power_mode:
        yield "in low-power mode"
    if state.background is not None and state.background > BUSY:
        yield f"other processes kept {state.background:.0%} of the CPUs busy"
    if state.throttled:
        yield f"throttled: {state.throttled}"


def _probes(probes: Sequence[Probe]) -> Iterator[str]:
    """The same product took longer at one time than at another."""
    for probe in probes:
        alike = (p.seconds for p in probes if (p.flop, p.precision) == (probe.flop, probe.precision))
        ratio = probe.seconds / min(alike)
        if ratio > SLOW:
            yield f"the probe product {probe.when} the run took {ratio:.2f} times the quickest"


def _slow(step_s: Sequence[float]) -> Iterator[str]:
    for stretch in slow_stretches(step_s):
        yield f"steps {stretch.start} to {stretch.stop - 1} ran up to {stretch.ratio:.2f} times slower than the rest"
