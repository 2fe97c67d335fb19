"""Which core the host's rows run on.

`pytest -m meta bench/meta/test_cores.py`
"""

import _thread
import os
import threading
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest

from bench.meta.test_case import Benchmark
from bench.throughput import case
from bench.throughput.cores import pace_s, taking_turns

pytestmark = pytest.mark.meta
ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
several = pytest.mark.skipif(len(ALLOWED) < 2, reason="this system lets no program choose between cores")


@pytest.fixture
def other():
    """A thread beside this one."""
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait, daemon=True)
    thread.start()
    yield thread
    ended.set()


@several
def test_threads_go_from_core_to_core_each_on_its_own(other):
    seen = []
    with taking_turns() as move:
        for i in range(2 * len(ALLOWED)):
            move()
            mine, its = os.sched_getaffinity(0), os.sched_getaffinity(other.native_id)
            assert len(mine) == len(its) == 1 and mine != its
            seen += mine
            assert seen[i // 2 * 2] == seen[i]  # inputs take turns, so each meets two
    assert sorted(seen[::2]) == sorted(ALLOWED)


@several
def test_what_a_library_starts_meanwhile_is_not_kept_on_its_starters_core():
    """A thread that Python has no object for."""
    begun, ended, native = threading.Event(), threading.Event(), []

    def work():
        native.append(threading.get_native_id())
        begun.set()
        ended.wait()

    with taking_turns() as move:
        move()
        _thread.start_new_thread(work, ())
        begun.wait()
        born = os.sched_getaffinity(native[0])
        move()
        assert len(born) == 1 and os.sched_getaffinity(native[0]) == ALLOWED
        ended.set()


@several
def test_after_it_all_run_where_they_might_also_what_was_started_meanwhile(other):
    begun, ended, inside = threading.Event(), threading.Event(), []

    def work():
        inside.append(os.sched_getaffinity(0))
        begun.set()
        ended.wait()

    with suppress(MemoryError), taking_turns() as move:
        move()
        late = threading.Thread(target=work)
        late.start()
        begun.wait()
        raise MemoryError
    places = [os.sched_getaffinity(thread) for thread in (0, other.native_id, late.native_id)]
    ended.set()
    assert len(inside[0]) == 1 and places == [ALLOWED] * 3


@several
def test_a_thread_that_had_a_core_of_its_own_has_it_again(other):
    """As those of OpenMP, where OMP_PROC_BIND is set."""
    own = {max(ALLOWED)}
    os.sched_setaffinity(other.native_id, own)
    with taking_turns() as move:
        for _ in range(3):
            move()
    assert os.sched_getaffinity(other.native_id) == own and os.sched_getaffinity(0) == ALLOWED


def refused(*_):
    raise PermissionError


@pytest.mark.parametrize("system", ["has no such call", "refuses it"])
def test_where_no_program_may_choose_nothing_moves(system, monkeypatch):
    if system == "refuses it":
        monkeypatch.setattr(os, "sched_setaffinity", refused, raising=False)
        if not ALLOWED:
            pytest.skip("this system has no such call")
    else:
        monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with taking_turns() as move:
        move()
    assert not hasattr(os, "sched_getaffinity") or os.sched_getaffinity(0) == ALLOWED


@several
@pytest.mark.parametrize(
    ("name", "waits", "precision", "moves"),
    [
        (None, True, "integers", True),
        ("torch-cpu", True, "integers", True),
        ("torch-cpu", True, "bfloat16", False),
        ("torch-cuda", True, "bfloat16", True),
        ("torch-cuda", False, "bfloat16", False),
    ],
)
def test_rows_that_one_core_decides_take_turns(name, waits, precision, moves):
    backend = name and SimpleNamespace(name=name)
    made = case.Case(operation="", shape="", precision=precision, call=lambda: None, inputs=[()], waits=waits)
    with case.Target(made, backend).turns() as turn:
        turn()
        assert (len(os.sched_getaffinity(0)) == 1) == moves
    assert os.sched_getaffinity(0) == ALLOWED


@pytest.mark.parametrize("precision", ["integers", "bfloat16"])
def test_what_one_core_takes_is_saved_with_its_pace(precision, monkeypatch):
    """One for every sample, taken just before it."""
    told = []

    class Profiled(Benchmark):
        def pedantic(self, target, setup, rounds):
            told.clear()
            super().pedantic(target, setup, rounds)
            setup()  # as pytest-benchmark does for a profile

    @contextmanager
    def taking_turns():
        yield lambda: told.append("turn")

    def pace_s():
        told.append("pace")
        return float(len(told))

    monkeypatch.setattr(case, "pace_s", pace_s)
    monkeypatch.setattr(case, "taking_turns", taking_turns)
    made = case.Case(
        operation="",
        shape="",
        precision=precision,
        call=lambda: told.append("call") or [1.0],
        inputs=[()],
        waits=True,
        check=lambda output: None,
    )
    benchmark = Profiled()
    case.run(made, benchmark, None, 1e-3, 0.0, first=False)
    if precision != "integers":
        assert set(told) == {"call"} and benchmark.extra_info["paces_s"] == []
        return
    rounds = told.count("call")
    assert rounds > 1 and told == ["turn", "pace", "call"] * rounds + ["turn", "pace"]
    assert benchmark.extra_info["paces_s"] == [2.0 + 3 * i for i in range(rounds)]


def test_a_pace_is_some_of_a_cores_time():
    assert 1e-5 < pace_s() < 0.1


@several
def test_samples_of_such_a_row_are_taken_on_many_cores():
    seen = []

    class Noting(Benchmark):
        def pedantic(self, target, setup, rounds):
            seen.clear()
            super().pedantic(target, setup, 2 * len(ALLOWED))

    def call():
        seen.append(frozenset(os.sched_getaffinity(0)))
        return [1.0]

    made = case.Case(
        operation="", shape="", precision="integers", call=call, inputs=[()], waits=True, check=lambda output: None
    )
    case.run(made, Noting(), None, 1e-3, 0.0, first=False)
    assert set(seen) == {frozenset([core]) for core in ALLOWED}
