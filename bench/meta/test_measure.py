"""Warm-up ends when steps stop getting faster, or when its time is up; nothing real is timed here.

`pytest -m fast -k measure`
"""

from itertools import chain, repeat

import pytest

from bench import measure

pytestmark = [pytest.mark.fast, pytest.mark.meta]


@pytest.fixture
def clock(monkeypatch):
    """Steps that take the seconds they are told to: `clock(seconds)` is a step."""
    now_ns = [0]
    monkeypatch.setattr(measure.time, "perf_counter_ns", lambda: now_ns[0])

    def stepping(seconds):
        durations = iter(seconds)

        def step():
            now_ns[0] += round(next(durations) * 1e9)

        return step

    return stepping


def test_warm_up_ends_with_the_first_block_that_is_no_faster(clock):
    warmup, compile_s = measure.warm_up(clock([30.0, *[0.5] * 3, *[0.4] * 3, *[0.39] * 3, 9.0]))
    assert warmup.steps == 10 and warmup.seconds == pytest.approx(30 + 3 * (0.5 + 0.4 + 0.39))
    assert compile_s == pytest.approx(30 - 0.39)


def test_one_slow_step_in_a_block_does_not_end_it(clock):
    warmup, _ = measure.warm_up(clock([1.0, *[0.5] * 3, 0.4, 5.0, 0.4, *[0.3] * 3, *[0.3] * 3]))
    assert warmup.steps == 13


def test_warm_up_that_never_converges_ends_at_its_limit(clock):
    warmup, _ = measure.warm_up(clock(0.9**i for i in chain.from_iterable(repeat(i, 3) for i in range(99))), limit_s=4)
    assert 4 <= warmup.seconds < 4 + 3


def test_a_first_step_beyond_the_limit_is_compiling(clock):
    warmup, compile_s = measure.warm_up(clock([130.0, *[0.1] * 6]))
    assert (warmup.steps, compile_s) == (7, pytest.approx(129.9))


def test_steps_beyond_the_limit_end_the_warm_up(clock):
    warmup, compile_s = measure.warm_up(clock([62.0, 61.0, 61.0]))
    assert (warmup.steps, compile_s) == (2, pytest.approx(1.0))
