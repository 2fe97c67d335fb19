"""A session of `pytest -m bench`: refusals, no machine's name in a file, verdicts and exponents that hold.

Run with `pytest -m meta bench/meta/test_throughput.py`.
"""

import json
import platform
from types import SimpleNamespace

import numpy as np
import pytest

from bench.meta.command import PYTEST, only_line, run
from bench.scaling.law import fit
from bench.throughput import __main__ as command
from bench.throughput import case, plugin, saved, sizes
from bench.throughput.compare import compare, machine, summary

pytestmark = pytest.mark.meta
BENCH = (*PYTEST, "-m", "bench", "bench/throughput/test_data.py")


def test_a_cpu_beside_a_gpu_is_asked_for_its_own_shapes():
    def item(backend, shape):
        test = SimpleNamespace(shapes="heads")
        return SimpleNamespace(function=test, callspec=SimpleNamespace(params={"subject": backend, "shape": shape}))

    config = SimpleNamespace(getoption=lambda name: None)
    small, large = sizes.CPU.heads[0], sizes.GPU.heads[0]
    fitting = [(name, shape) for name in ("mlx-cpu", "torch-cuda") for shape in (small, large)
               if plugin._fits(config, item(name, shape))]  # fmt: skip
    assert fitting == [("mlx-cpu", small), ("torch-cuda", large)]


def test_measuring_in_parallel_is_refused():
    status, output = run(*BENCH, "--collect-only", PYTEST_XDIST_WORKER="gw0")
    assert status == 4
    assert "refuses -n; leave out -n or pass -n0" in only_line(output, "ERROR: -m bench")


@pytest.mark.parametrize(("dist", "refused"), [("load", True), ("no", False)])
def test_parallel_is_seen_by_xdist_option(dist, refused, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    config = SimpleNamespace(getoption=lambda name, default=None: dist)
    if refused:
        with pytest.raises(pytest.UsageError, match="refuses -n"):
            plugin.refuse_parallel(config)
    else:
        plugin.refuse_parallel(config)


def test_a_saved_run_names_no_machine_and_keeps_raw_samples(tmp_path):
    status, output = run(*BENCH, "-k", "test_packing", f"--report={tmp_path}")
    assert status == 0, output
    (path,) = tmp_path.glob("throughput-*.json")
    document = json.loads(path.read_text())
    rows = saved.load(path)
    (row,) = rows.values()
    asked = [one["extra_info"]["peak_bytes"] is not None for one in document["benchmarks"]]
    assert asked == [True] + [False] * (case.VISITS - 1)
    assert row.visits == case.VISITS and len(row.samples_s) >= case.VISITS * case.ENOUGH
    assert {one["options"]["timer"] for one in document["benchmarks"]} == {"read"}  # of CLOCK
    assert "node" not in document["machine_info"] and set(document["commit_info"]) == {"id", "dirty"}
    assert platform.node() not in json.dumps(document["machine_info"])
    assert "throughput" in output and "tokens/s" in output


def test_a_selection_of_nothing_is_said_in_pytests_words(tmp_path):
    status, output = run(*BENCH, "-k", "no_such_row", f"--report={tmp_path}")
    assert status == pytest.ExitCode.NO_TESTS_COLLECTED and "Traceback" not in output, output
    assert "deselected" in output.splitlines()[-1] and not [*tmp_path.iterdir()]


SPOILED = """
from bench.throughput import case

run, visits = case.run, []


def spoiled(made, benchmark, *more):
    run(made, benchmark, *more)
    visits.append(made.operation)
    if made.operation == "packing" and visits.count("packing") == 3:
        benchmark.has_error = True
        raise case.WrongOutput("packing: made up")


case.run = spoiled
"""


def test_a_file_holds_no_row_that_was_wrong_in_one_visit_and_both_probes(tmp_path):
    """Both are known at the session's end only, when pytest-benchmark writes."""
    (tmp_path / "spoiled.py").write_text(SPOILED)
    asked = (*BENCH, "-p", "spoiled", "-k", "test_packing or test_loader", f"--report={tmp_path}")
    status, output = run(*asked, PYTHONPATH=str(tmp_path))
    assert status == 1 and "packing: made up" in output
    (path,) = tmp_path.glob("throughput-*.json")
    assert {operation for operation, *_ in saved.load(path)} == {"loader, one thread"}
    measured = json.loads(path.read_text())["machine_info"]["backends"].values()
    found = [[probe["when"] for probe in one["state"]["probes"]] for one in measured if "state" in one]
    assert found and all(whens == ["before", "after"] for whens in found)


def test_a_private_string_is_replaced(monkeypatch):
    monkeypatch.setattr(saved, "private_strings", lambda: ("heartofgold",))
    document = {"machine_info": {"cpu": "of heartofgold"}, "benchmarks": [1.5]}
    saved.make_private(document)
    assert document == {"machine_info": {"cpu": "of ~"}, "benchmarks": [1.5]}


def entry(operation: str, samples, calls=2) -> dict:
    told = dict(backend="mlx-cpu", operation=operation, shape="8", precision="float32", calls=calls)
    told |= dict(flop=10**9, bytes=None, tokens=None, peak_bytes=None)
    return {"extra_info": told, "stats": {"data": list(samples)}}


def probe(probe_s, precision="float32") -> dict:
    return {"flop": 2 * 512**3, "precision": precision, "seconds": probe_s}


def written(path, factor: float, seed: int, probes_s=()):
    rng = np.random.default_rng(seed)
    rows = [entry(f"op {i}", factor * (1 + 0.004 * rng.standard_normal(40))) for i in range(20)]
    state = {"probes": [probe(probe_s) for probe_s in probes_s]}
    backends = {"mlx-cpu": {"state": state}, "torch-cpu": {"hardware": {}}}
    path.write_text(json.dumps({"benchmarks": rows, "machine_info": {"backends": backends}}))
    return path


def test_equal_runs_are_the_same_and_five_percent_is_slower(tmp_path, capsys):
    old, again, slower = (written(tmp_path / f"{i}.json", f, i) for i, f in enumerate((1.0, 1.0, 1.05)))
    command.main([str(old), str(again)])
    assert "20 rows: 20 SAME" in capsys.readouterr().out
    command.main([str(old), str(slower)])
    assert "20 SLOWER" in capsys.readouterr().out
    command.main([str(slower), str(old)])
    assert "20 FASTER" in capsys.readouterr().out


def test_a_machine_that_was_slower_is_told_and_allowed_for(tmp_path, capsys):
    """By the quickest of its probes."""
    asked = ((1.0, (1.0, 1.5)), (1.1, (1.4, 1.2)), (1.1, (1.02, 7.0)))
    old, other, same = (written(tmp_path / f"{i}.json", f, i, probes) for i, (f, probes) in enumerate(asked))
    command.main([str(old), str(other)])
    output = capsys.readouterr().out
    assert "20 CANNOT TELL" in output and "mlx-cpu: the same product took 1.20 times as long" in output
    command.main([str(old), str(same)])
    output = capsys.readouterr().out
    assert "20 SLOWER" in output and "the same product" not in output


def test_a_cpus_probe_is_the_hosts(tmp_path):
    path = written(tmp_path / "run.json", 1.0, 0, (3.0, 2.0))
    document = json.loads(path.read_text())
    document["benchmarks"][0]["extra_info"]["backend"] = "host"
    document["benchmarks"][1]["extra_info"]["backend"] = "mlx-cuda"
    path.write_text(json.dumps(document))
    found = {key[-1]: row.probes_s for key, row in saved.load(path).items()}
    quickest = {("mlx-cpu", 2 * 512**3, "float32"): 2.0}
    assert found == {"host": quickest, "mlx-cpu": quickest, "mlx-cuda": {}}


def test_only_probes_that_are_alike_are_compared(tmp_path):
    """Not those of other backends or other precisions; and of several, the one that differs most."""

    def host(**probes) -> saved.Row:
        path = written(tmp_path / "run.json", 1.0, 0)
        document = json.loads(path.read_text())
        document["benchmarks"][0]["extra_info"]["backend"] = "host"
        document["machine_info"]["backends"] = {
            f"{name}-cpu": {"state": {"probes": [probe(*made)]}} for name, made in probes.items()
        }
        path.write_text(json.dumps(document))
        return next(row for row in saved.load(path).values() if row.backend == "host")

    both = host(torch=(1.0,), mlx=(40.0,))
    assert machine(both, host(torch=(1.1,))) == 1.1
    assert machine(both, host(torch=(1.1,), mlx=(20.0,))) == 0.5
    assert machine(both, host(torch=(1.1, "bfloat16"))) == 1.0


def test_samples_are_seconds_a_call():
    assert saved.Row.of(entry("gemm", [0.2, 0.4], calls=2)).samples_s == (0.1, 0.2)


def test_rows_of_two_clocks_are_not_compared(tmp_path, capsys):
    old, new = (written(tmp_path / f"{i}.json", 1.0, i) for i in range(2))
    document = json.loads(new.read_text())
    document["benchmarks"][0]["extra_info"]["clock"] = "device"
    new.write_text(json.dumps(document))
    command.main([str(old), str(new)])
    output = capsys.readouterr().out
    assert "19 rows: 19 SAME" in output
    assert "timed by the wall's clock and the device's, not compared: op 0" in output


def test_a_row_that_was_queued_late_in_either_run_says_so(tmp_path, capsys):
    old, new = (written(tmp_path / f"{i}.json", 1.0, i) for i in range(2))
    for path, row in ((old, 3), (new, 5)):
        document = json.loads(path.read_text())
        document["benchmarks"][row]["extra_info"]["late"] = 0.6
        path.write_text(json.dumps(document))
    command.main([str(old), str(new)])
    late = [each.split()[:2] for each in capsys.readouterr().out.splitlines() if each.endswith("SAME, queued late")]
    assert late == [["op", "3"], ["op", "5"]]


def test_a_row_is_as_late_as_its_latest_visit():
    visits = [entry("gemm", [1.0] * 20) for _ in range(3)]
    visits[1]["extra_info"]["late"] = 0.6
    (row,) = saved.merged(map(saved.Row.of, visits)).values()
    assert row.queued_late and not saved.Row.of(visits[0]).queued_late


def test_few_samples_allow_no_verdict(tmp_path):
    row = saved.Row.of(entry("op", [1.0, 1.0, 1.0]))
    rows = {row.key: row}
    changes = list(compare(rows, rows).values())
    assert changes[0].verdict == "CANNOT TELL" and "SAME 0.0%" in summary("", changes)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"benchmarks": []}', '{"benchmarks": [{}]}', '{"benchmarks": 3}'),
        '{"benchmarks": [], "machine_info": 3}',
        json.dumps(
            {
                "benchmarks": [entry("op", [1.0])],
                "machine_info": {"backends": {"mlx-cpu": {"state": {"probes": [probe(0)]}}}},
            }
        ),
    ],
)
def test_what_is_no_saved_run_is_one_line(text, tmp_path, capsys):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(SystemExit):
        command.main([str(path), str(path)])
    assert "name a" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("samples", [[0.0], [-1.0], [float("nan")], [1e300], [1e-300], []])
def test_samples_that_are_no_seconds_are_refused(samples):
    with pytest.raises(ValueError, match="not all seconds above 0"):
        saved.Row.of(entry("gemm", samples))


@pytest.mark.parametrize("exponent", [1.0, 2.0, 2.7])
def test_a_known_exponent_is_recovered(exponent):
    rng = np.random.default_rng(1)
    sizes = (1, 2, 4, 8, 16)
    samples = [0.01 * size**exponent * (1 + 0.02 * rng.standard_normal(20)) for size in sizes]
    law = fit(sizes, samples)
    assert law.low < exponent < law.high and law.high - law.low < 0.1
    assert law.at(4) == pytest.approx(0.01 * 4**exponent, rel=0.05)


def test_an_exponent_has_a_wide_interval_where_no_law_holds():
    bent = fit((1, 2, 4, 8), [[1.0], [1.0], [1.0], [64.0]])
    assert bent.high - bent.low > 1


def test_two_sizes_are_no_law():
    assert fit((1, 2), [[1.0], [2.0]]) is None
