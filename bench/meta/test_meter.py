"""Energy is of what ran, unknown stays unknown, and what other processes did is told from our own.

`pytest -m fast bench/meta/test_meter.py`
"""

import pytest

from bench import meter
from bench.meter import Background, Meter
from bench.sensors import Counter, Reading

pytestmark = [pytest.mark.fast, pytest.mark.meta]


def readings(*values):
    """A sensor that says each of these in turn."""
    said = iter(values)
    return Meter(lambda: next(said))


def at(joules: float | None, **known) -> Reading:
    energy = None if joules is None else {"GPU": Counter(joules)}
    return Reading(at_s=0.0, energy=energy, energy_method=energy and "a counter", **known)


def test_what_is_paused_costs_nothing():
    with readings(at(100.0), at(150.0), at(450.0), at(460.0)) as running, running.paused():
        assert running.joules == 50.0
    assert (running.joules, running.method) == (60.0, "a counter")


def test_one_stretch_that_cannot_be_read_makes_the_sum_unknown():
    with readings(at(100.0), at(None), at(450.0), at(460.0)) as running, running.paused():
        assert running.joules is None
    assert (running.joules, running.method) == (None, None)


def test_throttling_is_said_denied_or_unknown():
    hot, cool = at(0.0, throttling=("too hot",)), at(0.0, throttling=())
    for before, after, expected in [(cool, hot, "too hot"), (cool, cool, ""), (at(0.0), at(0.0), None)]:
        with readings(before, after) as running:
            pass
        assert running.throttled == expected


@pytest.mark.parametrize(
    ("busy_s", "own_s", "elapsed_s", "expected"),
    [
        (30.0, 10.0, 10.0, 0.5),  # of 4 CPUs for 10 s
        (10.0, 10.0, 10.0, 0.0),
        (9.9, 10.0, 10.0, 0.0),  # counters tick apart
        (1.0, 0.5, 0.2, None),
    ],
)
def test_background_is_what_is_not_ours(busy_s, own_s, elapsed_s, expected, monkeypatch):
    now = {"busy": 100.0, "own": 7.0, "at": 50.0}
    monkeypatch.setattr(meter, "_busy_s", lambda: now["busy"])
    monkeypatch.setattr(meter, "_own_s", lambda: now["own"])
    monkeypatch.setattr(meter.time, "monotonic", lambda: now["at"])
    monkeypatch.setattr(meter.psutil, "cpu_count", lambda: 4)
    background = Background()
    now.update(busy=100.0 + busy_s, own=7.0 + own_s, at=50.0 + elapsed_s)
    assert background.share() == expected
