"""An injected 3 % is called SLOWER, equal work SAME, noise beyond both CANNOT TELL: on made-up clocks and a real one.

`pytest -m fast bench/meta/test_verdict.py`
"""

import math
import time
from collections import Counter

import numpy as np
import pytest

from bench import measure, verdict
from bench.throughput.case import VISITS
from bench.verdict import CANNOT_TELL, FASTER, SAME, SLOWER, compare, independent, judge, judge_sessions, paired

pytestmark = [pytest.mark.fast, pytest.mark.meta]

DRAWS, ROUNDS = 40, 24


def quiet(n, rng):
    return np.exp(0.003 * rng.standard_normal(n))


def spikes(n, rng):
    """One sample in ten is longer by half on average."""
    return quiet(n, rng) * np.where(rng.random(n) < 0.1, 1 + rng.exponential(0.5, n), 1)


def wandering(n, rng):
    """A clock that drifts by 1 % and remembers where it was."""
    drift = np.zeros(n)
    for i in range(1, n):
        drift[i] = 0.8 * drift[i - 1] + 0.006 * rng.standard_normal()
    return np.exp(drift) * quiet(n, rng)


def heating(n, rng):
    """Everything takes a quarter longer at the end than at the start."""
    return quiet(n, rng) * np.linspace(1, 1.25, n)


def coarse(n, rng):
    """A timer that ticks in hundredths of what it times."""
    return np.round(np.exp(0.005 * rng.standard_normal(n)), 2)


def wild(n, rng):
    return np.exp(0.1 * rng.standard_normal(n))


NOISES = [quiet, spikes, wandering, heating, coarse]


def verdicts(noise, ratio, monkeypatch) -> Counter:
    """Of many pairs of runs, taken in turn on one noisy clock, of which the second takes `ratio` times as long."""
    monkeypatch.setattr(verdict, "RESAMPLES", 400)
    found = Counter()
    for seed in range(DRAWS):
        clock = noise(2 * ROUNDS, np.random.default_rng(seed))
        found[paired(clock[0::2], ratio * clock[1::2]).verdict] += 1
    return found


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.__name__)
def test_an_injected_slowdown_is_seen_and_none_is_not(noise, monkeypatch):
    assert verdicts(noise, 1.03, monkeypatch)[SLOWER] >= 0.95 * DRAWS
    assert verdicts(noise, 1 / 1.03, monkeypatch)[FASTER] >= 0.95 * DRAWS
    equal = verdicts(noise, 1.0, monkeypatch)
    assert equal[SAME] >= 0.9 * DRAWS and not equal[SLOWER] + equal[FASTER]


def test_noise_that_hides_the_difference_is_no_verdict(monkeypatch):
    for ratio in (1.0, 1.03):
        assert verdicts(wild, ratio, monkeypatch)[CANNOT_TELL] >= 0.8 * DRAWS


def test_the_wrong_way_is_never_told(monkeypatch):
    for noise in (*NOISES, wild):
        assert not verdicts(noise, 1.03, monkeypatch)[FASTER], noise.__name__


def test_drift_would_fool_what_is_not_interleaved():
    """The same clock, one run after the other: this is what turns are for."""
    clock = heating(2 * ROUNDS, np.random.default_rng(0))
    assert independent(clock[:ROUNDS], clock[ROUNDS:]).verdict == SLOWER
    assert paired(clock[0::2], clock[1::2]).verdict == SAME


def session(rng, shift=0.005, visit=0.007):
    """VISITS of 50 samples: they, and the session itself, are quicker or slower; one visit in twelve is by a tenth."""
    slow = np.where(rng.random(VISITS) < 1 / 12, 0.1, 0.0)
    visits = shift * rng.standard_normal() + visit * rng.standard_normal(VISITS) + slow
    return np.concatenate([np.exp(moved) * spikes(50, rng) for moved in visits])


def of_sessions(ratio, monkeypatch, visits=VISITS, **noise) -> Counter:
    monkeypatch.setattr(verdict, "RESAMPLES", 400)
    found = Counter()
    for seed in range(2 * DRAWS):
        rng = np.random.default_rng(seed)
        found[independent(session(rng, **noise), ratio * session(rng, **noise), (visits, visits)).verdict] += 1
    return found


def test_between_sessions_six_percent_is_seen_and_none_is_not(monkeypatch):
    equal = of_sessions(1.0, monkeypatch)
    assert equal[SAME] >= 0.8 * 2 * DRAWS and not equal[SLOWER] + equal[FASTER], equal
    for ratio, expected in ((1.06, SLOWER), (1 / 1.06, FASTER)):
        found = of_sessions(ratio, monkeypatch)
        assert found[expected] >= 0.85 * 2 * DRAWS and set(found) <= {expected, CANNOT_TELL}, found


def test_between_sessions_three_percent_is_what_equal_ones_differ_by(monkeypatch):
    found = of_sessions(1.03, monkeypatch)
    assert found[CANNOT_TELL] >= 0.5 * 2 * DRAWS and not found[FASTER], found


def test_a_difference_from_visit_to_visit_is_none_between_sessions(monkeypatch):
    """The same samples, taken for one stretch, promise what a second session does not keep."""
    blind, seen = (of_sessions(1.0, monkeypatch, visits, shift=0.0, visit=0.04) for visits in (1, VISITS))
    assert blind[SLOWER] + blind[FASTER] > 2 * (seen[SLOWER] + seen[FASTER]) + 4, (blind, seen)
    assert seen[CANNOT_TELL] >= 0.9 * 2 * DRAWS


def test_saved_runs():
    rng = np.random.default_rng(0)
    a_s, b_s = quiet(50, rng), quiet(30, rng)
    assert independent(a_s, b_s).verdict == SAME and independent(a_s, 1.05 * b_s).verdict == SLOWER
    assert independent(a_s, 1.03 * b_s).verdict == CANNOT_TELL


def test_few_samples_are_no_evidence():
    found = paired([1.0] * 15, [2.0] * 15)
    assert (found.verdict, found.ratio, found.high) == (CANNOT_TELL, pytest.approx(2), math.inf)
    assert paired([1.0] * 16, [2.0] * 16).verdict == SLOWER


@pytest.mark.parametrize(
    ("ratio", "low", "high", "expected"),
    [
        (1.0, 0.99, 1.01, SAME),
        (1.01, 1.008, 1.012, SAME),  # a difference, too small to matter
        (1.0, 0.98, 1.01, CANNOT_TELL),
        (1.012, 1.001, 1.03, CANNOT_TELL),  # a difference, but does it matter?
        (1.03, 0.99, 1.05, CANNOT_TELL),
        (1.03, 1.001, 1.05, SLOWER),
        (0.97, 0.95, 0.999, FASTER),
        (1.0, 0.0, math.inf, CANNOT_TELL),
    ],
)
def test_verdicts_follow_from_the_interval(ratio, low, high, expected):
    assert judge(ratio, low, high) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.98, 1.02, SAME),
        (1.01, 1.029, SAME),
        (1.01, 1.05, CANNOT_TELL),  # other than 1, but two sessions may be
        (1.035, 1.05, SLOWER),
        (0.95, 0.965, FASTER),
        (0.95, 0.99, CANNOT_TELL),
        (0.0, math.inf, CANNOT_TELL),
    ],
)
def test_verdicts_on_sessions_allow_for_what_sessions_differ_by(low, high, expected):
    assert judge_sessions(math.sqrt(low * high), low, high) == expected


@pytest.mark.parametrize(
    ("low", "high", "machine", "expected"),
    [
        (1.05, 1.07, 1.0, SLOWER),
        (1.05, 1.07, 1.1, CANNOT_TELL),  # the machine was slower
        (1.05, 1.07, 1 / 1.1, CANNOT_TELL),  # quicker, at other work
        (1.15, 1.2, 1.1, SLOWER),
        (0.90, 0.92, 1.1, CANNOT_TELL),
        (0.80, 0.86, 1 / 1.1, FASTER),
        (0.98, 1.02, 1.1, SAME),
    ],
)
def test_verdicts_on_sessions_allow_for_a_machine_that_differs(low, high, machine, expected):
    assert judge_sessions(1.0, low, high, machine=machine) == expected


def test_turns_alternate_and_a_is_a():
    order = []
    found = compare(lambda: order.append("a"), lambda: order.append("b"), 3)
    assert "".join(order) == "abbaab" and len(found.a_s) == len(found.b_s) == 3


def test_a_real_busy_loop(monkeypatch):
    """Counted work, not slept, on the clock of this thread alone: other processes may be busy, and do cost a try."""
    monkeypatch.setattr(measure.time, "perf_counter_ns", time.thread_time_ns)

    def loop(turns):
        x = 1.0
        for _ in range(turns):
            x = x * 1.0000001

    def tries(turns):
        return [compare(lambda: loop(2000), lambda: loop(turns), rounds=400).verdict for _ in range(3)]

    longer, equal = tries(2060), tries(2000)
    assert SLOWER in longer and FASTER not in longer and SAME not in longer, longer
    assert SAME in equal, equal
