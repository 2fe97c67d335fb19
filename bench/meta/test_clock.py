"""What a benchmark's clock reads where launching takes longer than the work, on a made-up CUDA device and its host.

`pytest -m meta bench/meta/test_clock.py`
"""

import weakref
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest

from bench.meta.made_up_gpu import Machine
from bench.throughput.clock import DEVICE, LONGEST_S, WALL, Clock

pytestmark = pytest.mark.meta


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def sample_s(timer, machine, host_s, device_s) -> float:
    """Of ten calls, as pytest-benchmark takes it."""
    start_s, before = timer.read(), len(machine.ends_s)
    assert timer.timed([lambda: machine.launch(host_s, device_s)] * 10, machine.wait) == before + 10
    return timer.read() - start_s


frameworks = pytest.mark.parametrize("which", [0, 1], ids=["torch", "mlx"])


@contextmanager
def followed(timer, machine, which):
    """A row of this backend, whose queue has been made."""
    with timer.following(machine.backends[which], waits=False):
        machine.rested_s = 0.0
        yield


@contextmanager
def ahead(timer, machine, which, host_s, device_s):
    """The same, whose launching is known, and whose samples are queued one ahead."""
    with followed(timer, machine, which):
        sample_s(timer, machine, host_s, device_s)
        timer.ahead = True
        sample_s(timer, machine, host_s, device_s)
        yield


@frameworks
@pytest.mark.parametrize(("host_s", "device_s"), [(1e-3, 1e-4), (1e-4, 1e-3), (1e-3, 1e-3), (8e-3, 4e-3)])
def test_the_device_is_timed_however_long_launching_takes(machine, which, host_s, device_s):
    timer = Clock()
    with ahead(timer, machine, which, host_s, device_s):
        assert timer.kind == DEVICE
        sample_s(timer, machine, host_s, device_s)
        for slower in (1, 1.7, 0.7, 1.2):  # the host's speed is its own
            assert sample_s(timer, machine, slower * host_s, device_s) == pytest.approx(10 * device_s)
            assert not timer.late


@frameworks
def test_at_first_each_sample_is_waited_for(machine, which):
    """Its time is the device's with the host's in it, but is that sample's own."""
    timer = Clock()
    with followed(timer, machine, which):
        for device_s in (1e-3, 2e-3):
            assert sample_s(timer, machine, 1e-5, device_s) == pytest.approx(10 * device_s, rel=0.01)
            assert machine.now_s >= machine.free_s
        assert not machine.rested_s


@frameworks
@pytest.mark.parametrize(
    ("launches_s", "rest_s"), [((1.0, 1e-4), 1e-3), ((1e-4, 1.0, 1e-4), 1e-3), ((1.0,), LONGEST_S)]
)
def test_a_launch_that_was_slow_once_is_not_waited_for(machine, which, launches_s, rest_s):
    """The quickest counts; where there is but a slow one, the rest has an end."""
    timer = Clock()
    with followed(timer, machine, which):
        for host_s in launches_s:
            sample_s(timer, machine, host_s, 1e-5)
        timer.ahead = True
        sample_s(timer, machine, 1e-4, 1e-5)
    assert 0.8 * rest_s <= machine.rested_s <= 1.6 * rest_s


@frameworks
def test_a_row_knows_nothing_of_the_launches_before_it(machine, which):
    timer = Clock()
    with ahead(timer, machine, which, 1e-6, 1e-5):
        pass
    with ahead(timer, machine, which, 1e-3, 1e-5):
        assert machine.rested_s > 9e-3
    with ahead(timer, machine, which, 1e-6, 1e-5):
        assert machine.rested_s < 1e-3


@frameworks
def test_ahead_it_tells_of_the_sample_before(machine, which):
    timer = Clock()
    with ahead(timer, machine, which, 1e-4, 5e-4):
        found = [sample_s(timer, machine, 1e-4, device_s) for device_s in (1e-3, 2e-3, 3e-3)]
    assert found == pytest.approx([5e-3, 10e-3, 20e-3], rel=0.03)


@frameworks
@pytest.mark.parametrize("room", [1000, 20, 12])
def test_a_device_that_is_quicker_rests_no_longer_than_launching_takes(machine, which, room):
    """Also where a sample is launched behind a full queue, which takes as long as the rest before it."""
    machine.room = room
    timer = Clock()
    with ahead(timer, machine, which, 1e-3, 1e-4):
        rested_s = machine.rested_s
        for _ in range(20):
            sample_s(timer, machine, 1e-3, 1e-4)
    assert machine.rested_s - rested_s < 20 * 3.1 * 10e-3  # ticks of a GPU's clock are longer than the count supposes


@frameworks
@pytest.mark.parametrize(("room", "late"), [(20, False), (9, True)])
def test_a_queue_that_is_full_before_all_is_launched_is_told(machine, which, room, late):
    machine.room = room
    timer = Clock()
    with ahead(timer, machine, which, 1e-3, 1e-4):
        for _ in range(8):
            sample_s(timer, machine, 1e-3, 1e-4)
        assert timer.late == late
    assert not timer.late


def test_mlx_may_not_reuse_what_is_not_computed_yet(machine):
    """The host would write into it, and the device later compute over that."""

    class Output:
        pass

    def call():
        machine.launch(1e-5, 1e-3)
        outputs.append(weakref.ref(made := Output()))
        alive.append(sum(output() is not None for output in outputs))
        return made

    timer, outputs, alive = Clock(), [], []
    machine.backends[1].mx.async_eval = lambda _: None
    with ahead(timer, machine, 1, 1e-5, 1e-3):
        for _ in range(3):  # of the last but one the end was waited for
            timer.timed([call] * 3, machine.wait)
    assert alive == [1, 2, 3, 4, 5, 6, 4, 5, 6]


@frameworks
def test_a_row_may_go_on_without_a_rest(machine, which):
    """Where launching waits for a full queue, no rest would be long enough."""
    timer = Clock()
    with ahead(timer, machine, which, 1e-3, 1e-4):
        while timer.rests:
            assert timer.fewer(1) == 1
        rested_s = machine.rested_s
        for _ in range(8):
            sample_s(timer, machine, 1e-3, 1e-4)
        assert machine.rested_s == rested_s and timer.late
    assert timer.rests


@frameworks
@pytest.mark.parametrize(("host_s", "rest_s"), [(1e-5, 10e-3), (0.3e-3, 10e-3), (0.9e-3, 10e-3), (2e-3, 30e-3)])
def test_a_device_rests_for_as_long_as_it_works_or_as_launching_asks(machine, which, host_s, rest_s):
    timer = Clock()
    with ahead(timer, machine, which, host_s, 1e-3):
        rested_s = machine.rested_s
        _, *found = [sample_s(timer, machine, host_s, 1e-3) for _ in range(8)]
        assert found == pytest.approx([10e-3] * 7)
        rested_s = (machine.rested_s - rested_s) / 8
        assert 0.9 * rest_s < rested_s < 1.6 * rest_s  # a GPU's ticks are longer


@frameworks
def test_a_launch_that_is_slow_behind_a_queue_only_is_seen(machine, which):
    """By itself it is quick enough for a device that rests as long as it works."""
    timer = Clock()
    with ahead(timer, machine, which, 0.4e-3, 1e-3):
        for late in (True, False):
            found = [sample_s(timer, machine, 2.8e-3, 1e-3) for _ in range(8)]
            assert timer.late == late
            assert not late or timer.fewer(10) == 10
        assert found[-1] == pytest.approx(10e-3)


@frameworks
def test_a_rest_is_that_of_so_many_calls(machine, which):
    """Not of as many as the sample before had."""
    timer = Clock()
    with ahead(timer, machine, which, 1e-3, 1e-3):
        for _ in range(3):
            sample_s(timer, machine, 1e-3, 1e-3)
        rested_s = machine.rested_s
        timer.timed([lambda: machine.launch(1e-3, 1e-3)], machine.wait)
        assert 0.9e-3 < machine.rested_s - rested_s < 1.6e-3


@frameworks
def test_what_is_launched_more_slowly_than_by_itself_rests_longer(machine, which):
    timer = Clock()
    with ahead(timer, machine, which, 5e-4, 1e-4):
        calls, asked = 10, []
        while timer.rests:
            for _ in range(8):
                timer.timed([lambda: machine.launch(7e-3, 1e-4)] * calls, machine.wait)
            if not timer.late:
                break
            asked.append(calls)
            calls = timer.fewer(calls)
        assert asked[:2] == [10, 10] and 1 < calls < 10 and timer.rests
        start_s = timer.read()
        timer.timed([lambda: machine.launch(7e-3, 1e-4)] * calls, machine.wait)
        assert timer.read() - start_s == pytest.approx(calls * 1e-4)


def test_what_takes_less_than_mlxs_clock_sees_takes_some_time(machine):
    """Samples of no seconds are refused when they are saved."""
    timer = Clock()
    with ahead(timer, machine, 1, 1e-6, 0.0):
        assert all(sample_s(timer, machine, 1e-6, 0.0) > 0 for _ in range(3))


def test_mlx_is_given_call_after_call(machine):
    """Together they would run side by side."""
    timer = Clock()
    with followed(timer, machine, 1):
        sample_s(timer, machine, 1e-3, 1e-4)
    assert machine.evaluated == list(range(1, 11))


@pytest.mark.parametrize(
    ("name", "waits"), [("torch-cuda", True), ("torch-cpu", False), ("torch-mps", False), ("mlx-cuda", False)]
)
def test_what_waits_for_itself_or_has_no_queue_is_timed_by_the_wall(machine, name, waits):
    timer = Clock()
    with timer.following(SimpleNamespace(name=name, mx=SimpleNamespace(fast=None)), waits):
        assert timer.kind == WALL
        assert sample_s(timer, machine, 1e-3, 1e-4) == pytest.approx(10e-3 + 1e-4)
    assert not machine.rested_s


def test_after_a_device_the_wall_is_read_again_however_it_ended(machine):
    timer = Clock()
    with suppress(MemoryError), timer.following(machine.backends[0], waits=False):
        raise MemoryError
    machine.now_s = 7.0
    assert timer.kind == WALL and timer.read() == 7.0
