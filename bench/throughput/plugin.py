"""What `pytest -m bench` adds to a session: options, fixtures, refusals, this chip's record, raw samples, the table.

The root `conftest.py` names it as a plugin. Test with `pytest -m meta bench/meta/test_throughput.py`.
"""

import gc
import os
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import pytest

from bench import identity, sensors
from bench.measure import WARNINGS, probe_gemm
from bench.meter import Meter
from bench.subject import NotSupported
from bench.throughput import case, saved, sizes, table
from bench.throughput.clock import CLOCK
from impl import backend as backends
from reports.flags import flags
from reports.record import require_folder

BUILT = ("trained", "updating")  # fixtures that hold a trainer
PREPARE, FIRST = 0, 1  # visits
UNUSED = "ignore:Benchmark fixture was not used"  # where a row is prepared or skipped
PROBES = pytest.StashKey[dict]()  # by backend: one product before its first benchmark and after the last of all


def pytest_addoption(parser):
    group = parser.getgroup("nanomark")
    group.addoption("--bench-full", action="store_true", help="-m bench with every shape, those that fill a GPU too")


def pytest_configure(config):
    if not _asked(config):
        return
    refuse_parallel(config)
    config.stash[PROBES] = {}
    option = config.option
    option.benchmark_quiet = not option.benchmark_verbose  # our table takes the place of pytest-benchmark's
    if not option.benchmark_json and not option.collectonly:
        try:
            require_folder(config.getoption("report"))
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None
        name = f"throughput-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.json"
        option.benchmark_json = str(Path(config.getoption("report")) / name)


def refuse_parallel(config) -> None:
    """Raises UsageError under xdist, where pytest-benchmark would silently measure nothing."""
    if config.getoption("dist", "no") != "no" or os.environ.get("PYTEST_XDIST_WORKER"):
        raise pytest.UsageError("-m bench measures one thing at a time and refuses -n; leave out -n or pass -n0")


def _asked(config) -> bool:
    return "bench" in config.getoption("markexpr").replace("not bench", "")


def shapes(name: str):
    """A test with the argument `shape` runs at each of this field of `Sizes`."""

    def mark(function):
        function.shapes = name
        return function

    return mark


def pytest_generate_tests(metafunc):
    name = getattr(metafunc.function, "shapes", None)
    if name:
        chosen = {
            shape: None for one in metafunc.config.backends for shape in getattr(_sizes(metafunc.config, one), name)
        }
        metafunc.parametrize("shape", list(chosen), ids=lambda shape: "x".join(map(str, shape)))


@pytest.hookimpl(trylast=True)  # pytest itself orders by fixtures
def pytest_collection_modifyitems(config, items):
    """A CPU has its own shapes and is not prepared; a framework's warning ends no measurement; rows take turns."""
    for item in items:
        if item.get_closest_marker("bench"):
            item.add_marker(pytest.mark.filterwarnings(*WARNINGS, UNUSED))
            item.add_marker(pytest.mark.benchmark(timer=CLOCK.read))
    odd = [item for item in items if not _fits(config, item)]
    if odd:
        config.hook.pytest_deselected(items=odd)
        items[:] = [item for item in items if _fits(config, item)]
    if _asked(config):
        _take_turns(items, config.backends)


def _take_turns(items, names: list[str]) -> None:
    """All preparations, then all first visits; but a GPU's trainer, which compiles, is built once for all."""
    params = {item: _params(item) for item in items}

    def together(item) -> tuple:
        name = params[item].get("subject", names[0])
        return name, *(params[item].get(built) for built in BUILT if not name.endswith("-cpu"))

    order = {key: i for i, key in enumerate(dict.fromkeys(map(together, items)))}
    items.sort(key=lambda item: (order[together(item)], params[item].get("visit", 0)))


def _fits(config, item) -> bool:
    name, params = getattr(getattr(item, "function", None), "shapes", None), _params(item)
    if params.get("visit") == PREPARE and ("subject" not in params or params["subject"].endswith("-cpu")):
        return False
    return not name or params["shape"] in getattr(_sizes(config, params["subject"]), name)


def _params(item) -> dict:
    return getattr(getattr(item, "callspec", None), "params", {})


def _sizes(config, backend_name: str) -> sizes.Sizes:
    return sizes.of(backend_name, config.getoption("bench_full"))


@pytest.fixture
def bench_sizes(request, subject) -> sizes.Sizes:
    """Those of the subject's device."""
    return _sizes(request.config, subject.name)


@pytest.fixture(scope="module")
def bench_recipe(request, subject):
    """What the model benchmarks train on this device."""
    return sizes.recipe(subject.name, request.config.getoption("bench_full"), request.config.order)


@pytest.fixture(scope="module")
def bench_precision(request, subject) -> str:
    """What everything but products runs in."""
    return sizes.precision(subject.name, request.config.order)


@pytest.fixture(params=range(1 + case.VISITS), ids=lambda visit: "prepare" if visit == PREPARE else f"visit{visit}")
def visit(request) -> int:
    """Every row is timed in several tests, between which the others run; before them one prepares a GPU's."""
    return request.param


@pytest.fixture
def measured(request, benchmark, visit):
    """measured(build, backend): time the case that `build` makes; what memory does not hold is a skip."""
    return partial(measure, request.config, None if visit == PREPARE else benchmark, visit == FIRST)


def measure(config, benchmark, first: bool, build, backend) -> None:
    """The case of `build()` into `benchmark`, with what disturbed it; without a benchmark it is prepared.

    `backend` is None for the host's own work.
    """
    name = backend.name if backend else "torch-cpu"  # whose sensors and sizes are the host's
    case.release(lasting=False)
    gc.freeze()  # not at the end, where an error still holds its row's arrays
    try:
        if backend and name not in config.stash[PROBES]:
            config.stash[PROBES][name] = [_probe(config, backend, "before")]
        chosen = _sizes(config, name)
        if benchmark is None:
            case.prepare(build(), backend, chosen.settle_s)
            return
        with Meter(lambda: sensors.read(name)) as meter:
            case.run(build(), benchmark, backend, chosen.budget_s / case.VISITS, chosen.settle_s, first)
        benchmark.extra_info |= {"throttled": meter.throttled, "background": meter.background}
    except NotSupported as error:
        pytest.skip(str(error))
    except Exception as error:
        if not backends.out_of_memory(error):
            raise
        pytest.skip(f"out of memory: {str(error).splitlines()[0][:200]}")
    finally:
        case.release(lasting=False)


def _probe(config, backend, when: str):
    return probe_gemm(backend, sizes.precision(backend.name, config.order), when)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-benchmark's wrapper, which writes the file
def pytest_sessionfinish(session):
    timed = getattr(session.config, "_benchmarksession", None)
    saved.reject(timed.benchmarks if timed else [])
    for name, probes in session.config.stash.get(PROBES, {}).items():
        probes.append(_probe(session.config, backends.load(name), "after"))
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_generate_machine_info(config):
    return saved.machines(config.backends, config.stash[PROBES])


@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_generate_commit_info(config):
    return saved.commit()


@pytest.hookimpl(trylast=True)
def pytest_benchmark_update_json(config, benchmarks, output_json):
    saved.make_private(output_json)


def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    benchmarks = [b for b in getattr(session, "benchmarks", []) if b and not b.has_error and b.extra_info]
    if benchmarks:
        rows = saved.merged(saved.Row.of(b.as_dict(include_data=True)) for b in benchmarks).values()
        terminalreporter.section("throughput")
        table.show(rows, terminalreporter, saved.ceilings(config.stash[PROBES]))
        for name, probes in config.stash[PROBES].items():
            for flag in flags(identity.state(probes)):
                terminalreporter.write_line(f"{name}: {flag}")
        if config.option.benchmark_json:
            terminalreporter.write_line(f"raw samples: {config.option.benchmark_json}")
