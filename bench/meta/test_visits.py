"""Every row of `-m bench` is timed in several visits: they take turns, are one row, and are wrong together.

Test with `pytest -m meta bench/meta/test_visits.py`.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.meta.test_throughput import entry
from bench.throughput import plugin, saved, table
from bench.throughput.compare import compare, interval, line, summaries

pytestmark = pytest.mark.meta


def test_visits_are_one_row_with_the_worst_of_what_was_around():
    first, other, second = entry("op", [1.0, 2.0]), entry("other", [9.0]), entry("op", [3.0])
    second["extra_info"] |= {"throttled": "hot", "background": 0.2, "peak_bytes": 5}
    row = saved.merged(map(saved.Row.of, (first, other, second)))[("op", "8", "float32", "mlx-cpu")]
    assert (row.samples_s, row.visits) == ((0.5, 1.0, 1.5), 2)
    assert (row.throttled, row.background, row.peak_bytes) == ("hot", 0.2, None)


def test_an_interval_holds_what_differs_from_visit_to_visit():
    """One slow visit of four: a stretch that another session need not have, or may have twice."""
    samples = [20.0 + i % 5 / 100 for i in range(25)]
    visits = [entry("op", [factor * sample for sample in samples]) for factor in (1.0, 1.0, 1.1, 1.0)]
    (row,) = saved.merged(map(saved.Row.of, visits)).values()
    blind = replace(row, visits=1)
    (low, high), (blind_low, blind_high) = interval(row), interval(blind)
    assert high / low > 1.05 and blind_high / blind_low < 1.01
    assert (table.flags(row, None), table.flags(blind, None)) == (["noisy"], [])


def test_a_row_that_was_wrong_in_one_visit_is_dropped():
    class Timed:
        def __init__(self, operation, has_error):
            self.extra_info, self.fixture = {"operation": operation}, SimpleNamespace(has_error=has_error)

        @property
        def has_error(self):
            return self.fixture.has_error

    visits = [Timed("a", False), Timed("b", False), Timed("a", True)]
    saved.reject(visits)
    assert [visit.has_error for visit in visits] == [True, False, True]


def test_rows_take_turns_and_a_trainer_is_built_once():
    class Item:
        def __init__(self, name, visit, params):
            self.name, self.callspec = f"{name}{visit}", SimpleNamespace(params={"visit": visit, **params})

    def ordered(backend) -> str:
        rows = [("P", {}), ("G", {"subject": backend}), ("S", {"subject": backend, "trained": "shipped"}),
                ("M", {"subject": backend, "updating": "muon"}), ("B", {"subject": "b"})]  # fmt: skip
        items = [Item(name, visit, params) for name, params in rows for visit in range(2)]
        plugin._take_turns(items, [backend, "b"])
        return " ".join(one.name for one in items)

    assert ordered("torch-cuda") == "P0 G0 P1 G1 S0 S1 M0 M1 B0 B1"
    assert ordered("torch-cpu") == "P0 G0 S0 M0 P1 G1 S1 M1 B0 B1"


def test_a_gpus_rows_are_prepared_and_no_others():
    def kept(**params) -> list[int]:
        items = [SimpleNamespace(callspec=SimpleNamespace(params={"visit": i, **params})) for i in range(3)]
        return [i for i, item in enumerate(items) if plugin._fits(None, item)]

    assert kept(subject="mlx-cuda") == [0, 1, 2]
    assert kept(subject="mlx-cpu") == kept() == [1, 2]


def test_what_the_host_does_is_told_apart():
    keys = [("gemm", "8", "float32", "host"), ("packing", "8", "integers", "host")]
    old, new, slow = ({key: saved.Row.of(entry("op", [time_s] * 20)) for key in keys} for time_s in (1.0, 1.1, 1.2))
    for other, verdicts in ((slow, ["SLOWER", "SLOWER"]), (new, ["SLOWER", "SAME within 15%"])):
        changes = compare(old, other)
        assert [line(key, changes[key], old[key], other[key]).split("  ")[-1] for key in keys] == verdicts
    texts = list(summaries(changes))
    names = ["2", "computing, 1", "preparing data, compared within 15%, 1"]
    assert [text.split(" rows")[0] for text in texts] == names


def test_a_stretch_that_was_slow_in_one_session_is_no_verdict():
    def rows(*factors):
        return saved.merged(
            saved.Row.of(entry("op", [factor * (1 + i % 5 / 1000) for i in range(25)])) for factor in factors
        )

    (half,) = compare(rows(1.0, 1.0, 1.0, 1.0), rows(1.0, 1.1, 1.0, 1.1)).values()
    assert half.verdict == "SAME"  # other work slows, and left half of the time alone
    (found,) = compare(rows(1.0, 1.0, 1.0, 1.0), rows(1.0, 1.1, 1.1, 1.1)).values()
    assert found.verdict == "CANNOT TELL" and found.low < 1.01 and found.high > 1.09
