"""A throttled stretch, a busy machine and a battery are flagged, steady runs are not, and no sample is dropped.

`pytest -m fast bench/meta/test_flags.py`
"""

import numpy as np
import pytest

from bench.meta.records import valid_record
from reports import derived
from reports.flags import Stretch, flags, slow_stretches
from reports.schema import Probe, State

pytestmark = [pytest.mark.fast, pytest.mark.meta]

STEPS = 400


def steady(seed: int, scatter: float) -> np.ndarray:
    return 0.1 * np.exp(scatter * np.random.default_rng(seed).standard_normal(STEPS))


@pytest.mark.parametrize("scatter", [0.002, 0.02, 0.2])
def test_a_steady_run_is_not_flagged(scatter):
    assert not any(slow_stretches(steady(seed, scatter)) for seed in range(20))


def test_lone_outliers_are_not_a_stretch():
    samples = steady(0, 0.01)
    samples[::13] *= 5
    assert not slow_stretches(samples)


@pytest.mark.parametrize("scatter", [0.002, 0.02])
@pytest.mark.parametrize("start", [0, 150, STEPS - 40])
def test_a_throttled_stretch_is_flagged_where_it_is(start, scatter):
    samples = steady(1, scatter)
    samples[start : start + 40] *= 1.2
    (found,) = slow_stretches(samples)
    assert abs(found.start - start) <= 6 and abs(found.stop - start - 40) <= 6
    assert found.ratio == pytest.approx(1.2, abs=0.03)


def test_a_chip_that_slows_down_for_good_is_flagged_to_the_end():
    samples = steady(2, 0.01)
    samples[100:] *= 1.3
    (found,) = slow_stretches(samples)
    assert abs(found.start - 100) <= 6 and found.stop == STEPS


def test_two_stretches_are_two():
    samples = steady(3, 0.01)
    for start in (50, 250):
        samples[start : start + 40] *= 1.25
    assert len(slow_stretches(samples)) == 2


def test_too_few_samples_say_nothing():
    assert slow_stretches([1.0] * 5 + [9.0] * 5) == ()


def probe(when: str, seconds: float, flop: int = 10**9) -> Probe:
    return Probe(when=when, flop=flop, seconds=seconds, precision="bfloat16")


CALM = {"power_source": "ac", "low_power_mode": False, "background": 0.02, "throttled": ""}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ()),
        ({"power_source": None, "low_power_mode": None, "background": None, "throttled": None}, ()),  # nobody knows
        ({"power_source": "battery"}, ("on battery",)),
        ({"low_power_mode": True}, ("in low-power mode",)),
        ({"background": 0.3}, ("other processes kept 30% of the CPUs busy",)),
        ({"throttled": "software thermal slowdown"}, ("throttled: software thermal slowdown",)),
        ({"probes": (probe("before", 1.0), probe("after", 1.05))}, ()),
        (
            {"probes": (probe("before", 1.0), probe("during", 1.3), probe("after", 2.0, flop=2 * 10**9))},
            ("the probe product during the run took 1.30 times the quickest",),
        ),
    ],
    ids=str,
)
def test_what_disturbs_is_named(change, expected):
    assert flags(State(**{**CALM, **change})) == expected


def test_a_flagged_record_keeps_its_samples():
    record = valid_record(state={"power_source": "battery"})
    assert derived.flags(record)[0] == "on battery"
    assert derived.training_s(record) == sum(record.run.steps.step_s)


def test_a_stretch_is_told_by_its_steps():
    samples = [0.1] * 100 + [0.2] * 50
    assert flags(State(), samples) == ("steps 96 to 149 ran up to 2.00 times slower than the rest",)
    assert slow_stretches(samples) == (Stretch(96, 150, pytest.approx(2.0)),)
