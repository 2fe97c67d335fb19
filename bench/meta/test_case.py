"""A row of `pytest -m bench`: checked outputs, settled clocks, memory that is given back, inputs that are unlike.

Run with `pytest -m meta bench/meta/test_case.py`.
"""

import gc
import weakref
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from bench.throughput import case, clock, draws, plugin
from impl import backend as backends

pytestmark = pytest.mark.meta


class Host:
    """A backend of NumPy arrays."""

    name = framework = memory_method = "host"

    def sync(self, *trees):
        pass

    def numpy(self, x):
        return x

    def peak_memory_bytes(self):
        return 1

    def reset_peak_memory(self):
        pass


class Benchmark:
    """What `case.run` needs of pytest-benchmark's fixture."""

    def __init__(self):
        self.extra_info, self.has_error, self.group = {}, False, None

    def pedantic(self, target, setup, rounds):
        for _ in range(rounds):
            arguments, named = setup()
            target(*arguments, **named)


def timed(call, sets=3) -> Benchmark:
    benchmark = Benchmark()
    rng = np.random.default_rng(0)
    inputs = [(rng.standard_normal((8, 8)),) for _ in range(sets)]
    made = case.Case(operation="twice", shape="8x8", precision="float32", call=call, inputs=inputs)
    try:
        case.run(made, benchmark, Host(), 0.001, 0.0)
    except case.WrongOutput:
        assert benchmark.has_error or not benchmark.extra_info  # no file holds it
        raise
    return benchmark


def asked(**options):
    """A session's configuration."""
    probes = {plugin.PROBES: {"torch-cpu": [], "host": []}}
    return SimpleNamespace(stash=probes, getoption=lambda name, default=None: options.get(name, default))


def decaying(after: int, wrong):
    """A call that is right `after` times."""
    calls = count()
    return lambda x: 2 * x if next(calls) < after else wrong(x)


def test_a_right_output_is_timed():
    told = timed(lambda x: 2 * x).extra_info
    assert told["operation"] == "twice" and told["peak_bytes"] == 1 and told["calls"] >= 1


@pytest.mark.parametrize(
    "wrong",
    [lambda x: 2.01 * x, lambda x: 0 * x, lambda x: x * np.nan, lambda x: np.ones_like(x)],
    ids=["slightly off", "zero", "nan", "constant"],
)
def test_an_output_that_goes_wrong_while_timed_is_caught(wrong):
    with pytest.raises(case.WrongOutput, match="its time is not counted"):
        timed(decaying(10, wrong))


def test_an_output_kept_from_the_first_call_is_caught():
    kept = []
    with pytest.raises(case.WrongOutput, match="other inputs give the same outputs"):
        timed(lambda x: (kept or kept.append(2 * x) or kept)[0])


def test_nothing_but_zeros_is_caught():
    with pytest.raises(case.WrongOutput, match=r"other inputs give the same|zero"):
        timed(lambda x: 0 * x)


def test_a_row_is_prepared_by_a_device_at_work(monkeypatch):
    """All inputs are asked for, which compiles, and then one for as long as clocks need."""
    called = []
    monkeypatch.setattr(case.time, "perf_counter", lambda: float(len(called)))

    def call(x):
        called.append(x)
        return 2 * x

    inputs = [(np.float32(1),), (np.float32(2),)]
    case.prepare(case.Case(operation="", shape="", precision="float32", call=call, inputs=inputs), Host(), 5.0)
    assert called == [1, 2, *[1] * 5]


def test_a_row_that_only_prepares_takes_no_samples(monkeypatch):
    did = []
    monkeypatch.setattr(plugin, "_sizes", lambda *_: SimpleNamespace(budget_s=8.0, settle_s=0.0))
    monkeypatch.setattr(case, "prepare", lambda made, backend, settle_s: did.append(made))
    monkeypatch.setattr(case, "run", lambda made, benchmark, backend, budget_s, *_: did.append((made, budget_s)))
    for benchmark in (None, Benchmark()):
        plugin.measure(asked(), benchmark, True, lambda: "row", None)
    assert did == ["row", ("row", 8.0 / case.VISITS)]


@pytest.mark.parametrize("first", [True, False])
def test_clocks_settle_before_the_first_sample(first, monkeypatch):
    """Every call takes a second of a made-up clock."""
    called, before = [], []
    monkeypatch.setattr(case.time, "perf_counter", lambda: float(len(called)))

    class Noting(Benchmark):
        def pedantic(self, target, setup, rounds):
            before.append(len(called))
            super().pedantic(target, setup, rounds)

    def call(x):
        called.append(x)
        return 2 * x

    inputs = [(np.float32(1),), (np.float32(2),)]
    made = case.Case(operation="twice", shape="1", precision="float32", call=call, inputs=inputs)
    case.run(made, Noting(), Host(), 1.0, 60.0, first)
    asked_before = len(inputs) + first + 1  # for the outputs, the peak memory and how long a call takes
    assert before == [asked_before + 60] and len(called) > before[0]


@pytest.mark.parametrize(
    ("call_s", "waits", "samples"),
    [
        *[
            (1 / 1024, False, 51),
            (1 / 64, False, 64),
            (0.25, False, 8),
            (0.5, False, 8),
            (2.0, False, 2),
            (9.0, False, 1),
        ],
        *[(1 / 1024, True, 250), (1 / 64, True, 128), (0.75, True, 10)],
    ],
)
def test_a_visit_has_enough_samples_and_the_hosts_have_more(call_s, waits, samples, monkeypatch):
    """A budget of a second. Short calls are put together, where they do not wait for themselves."""
    now_s, told = [0.0], []
    monkeypatch.setattr(case.time, "perf_counter", lambda: now_s[0])

    class Noting(Benchmark):
        def pedantic(self, target, setup, rounds):
            told.append(rounds)
            super().pedantic(target, setup, rounds)

    def call(x):
        now_s[0] += call_s
        return 2 * x

    inputs = [(np.float32(1),), (np.float32(2),)]
    made = case.Case(operation="", shape="", precision="float32", call=call, inputs=inputs, waits=waits)
    case.run(made, Noting(), Host(), 1.0, 0.0)
    assert told == [samples]


@pytest.mark.parametrize(("room", "calls", "late"), [(40, 32, 0), (20, 16, 0), (3, 2, 0), (0, 1, 1)])
def test_no_more_calls_are_queued_than_find_room(room, calls, late, monkeypatch):
    """A queue that holds `room` calls: the device has begun when more are queued. At last it goes on without a rest."""
    rests = []

    class Full:
        ROOM = 32

        def begin(self, rest_s):
            rests.append(clock.CLOCK.rests)
            self.queued = 0

        def launch(self, output):
            self.queued += 1

        def end(self, start):
            queued = self.queued
            return lambda: (1e-4 * queued, queued > room)

    monkeypatch.setattr(clock, "_queue", lambda backend: Full())
    told = timed(lambda x: 2 * x).extra_info
    assert (told["calls"], told["late"]) == (calls, late)
    assert rests[-1] == (not late) and clock.CLOCK.rests


def test_what_a_failed_row_held_is_free_in_the_next():
    """An error that is alive at a row's end must not put that row's arrays out of the collector's sight."""

    class Held:
        pass

    held = []

    def build():
        assert gc.get_freeze_count()  # what lasts, as a compiler's modules, is out of its sight
        array = Held()
        array.itself = array
        held.append(weakref.ref(array))
        raise RuntimeError("CUDA out of memory")

    for _ in range(2):
        with pytest.raises(pytest.skip.Exception):
            plugin.measure(asked(), Benchmark(), True, build, None)
    assert held[0]() is None


def test_memory_is_given_back_when_nothing_is_under_way(monkeypatch):
    """A row that failed left calls in MLX's queue, and its arrays are gone."""
    did = []
    mx = SimpleNamespace(synchronize=lambda: did.append("waited"), clear_cache=lambda: did.append("gave back"))
    monkeypatch.setitem(case.sys.modules, "mlx.core", mx)
    case.release()
    assert did == ["waited", "gave back"]


def test_normal_arrays_are_laid_end_to_end_and_are_all_unlike(monkeypatch):
    monkeypatch.setattr(draws, "PERIOD", 997)
    draws._draws.cache_clear()
    backend = SimpleNamespace(framework="mlx", mx=np, array=lambda x, dtype: x.astype(dtype), sync=lambda *_: None)
    sizes = [(7, 300), *[(3,)] * 59]
    sets = draws.drawn(backend, "float32", *sizes)
    period = draws._draws()
    draws._draws.cache_clear()
    assert [[x.shape for x in one] for one in sets] == [sizes] * draws.ROTATED
    arrays = [x.ravel() for one in sets for x in one]
    assert len({x.tobytes() for x in arrays}) == len(arrays)
    for i, x in enumerate(arrays):
        start = i * 997 // len(arrays)
        np.testing.assert_array_equal(x, np.roll(np.tile(period, 3), -start)[: x.size])
    assert len({row.tobytes() for row in arrays[0].reshape(7, 300)}) == 7


@pytest.mark.parametrize("name", ["torch-cpu", "mlx-cpu"])
def test_normal_arrays_hold_no_more_than_themselves(name):
    """Of one piece MLX would make a view."""
    try:
        backend = backends.load(name)
    except backends.BackendError as error:
        pytest.skip(str(error))
    ((x,), *_) = draws.drawn(backend, "float32", (64, 64))
    if backend.framework == "torch":
        held_bytes = x.untyped_storage().nbytes()
    else:
        backend.mx.clear_cache()
        before_bytes = backend.mx.get_active_memory()
        del _, x
        backend.mx.clear_cache()
        held_bytes = (before_bytes - backend.mx.get_active_memory()) / draws.ROTATED
    assert held_bytes == 64 * 64 * 4
