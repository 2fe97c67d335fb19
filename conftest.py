"""Options, fixtures, markers, session header and terminal summary of the suite."""

import os
from dataclasses import asdict, replace

import pytest

from bench import check, examples, fingerprint, summary, trajectory
from bench.subject import load
from bench.training.order import Order
from impl import backend as backends

pytest_plugins = ["bench.throughput.plugin"]
UNASKED = ("slow", "bench", "deep")  # never started unless -m names them

examples.register()  # --hypothesis-profile=deep for more of them


def pytest_addoption(parser):
    group = parser.getgroup("nanomark")
    group.addoption("--backend", action="append", default=[], metavar="NAME", help="run on this one; repeatable")
    group.addoption("--recipe", default="autoresearch", metavar="NAME", help="what to compute (autoresearch)")
    group.addoption("--preset", metavar="NAME", help="sizes: fixed, cpu, tiny, base, pro, max, ultra, h100 (by chip)")
    group.addoption("--set", action="append", default=[], metavar="KEY=VALUE", help="override one field; repeatable")
    group.addoption("--precision", metavar="NAME", help="float32 or bfloat16 (the preset's)")
    group.addoption("--budget-s", type=float, metavar="SECONDS", help="timed training seconds (300)")
    group.addoption("--profile", action="append", default=[], metavar="NAME", help="score by its rules too; repeatable")
    group.addoption("--eval-every", type=int, metavar="STEPS", help="evaluate in between, outside the budget")
    group.addoption("--seed", type=int, default=42, metavar="N", help="of the initial parameters (42)")
    # Before this file is read, pytest takes the word after an unknown option for a path and, where that exists outside
    # the checkout, looks for its settings there: hence `=`.
    group.addoption("--data", default="sotu-v1", metavar="NAME", help="a set, or as --data=DIR your own (sotu-v1)")
    group.addoption("--report", metavar="DIR", default="runs", help="as --report=DIR: where the report goes (runs)")
    group.addoption("--replay", metavar="FILE", help="follow a report's progress step by step instead of the clock")
    group.addoption(
        "--recheck", action="store_true", help="run the correctness suite before a score even if nothing changed"
    )
    group.addoption("--rows-to", metavar="FILE", help="write the conformance rows of this session as JSON")


def pytest_configure(config):
    asked = config.option.markexpr
    clauses = [f"({asked})"] if asked else []
    clauses += [f"not {marker}" for marker in UNASKED if marker not in asked]
    config.option.markexpr = " and ".join(clauses)
    try:
        config.order = Order.of(config.option)
        config.backends = _chosen(config.getoption("backend"))
    except (backends.BackendError, ValueError) as error:
        raise pytest.UsageError(str(error)) from None


def _chosen(asked: list[str]) -> list[str]:
    """The backends asked for, each of which must be there; otherwise all that were found."""
    variable = os.environ.get(backends.VARIABLE) or "auto"
    if not asked and variable != "auto":
        asked = [variable]
    if asked:
        return list(dict.fromkeys(backends.resolve(name) for name in asked))
    return [name for name, state in backends.discover().items() if isinstance(state, backends.Found)]


def pytest_generate_tests(metafunc):
    if "subject" in metafunc.fixturenames:
        metafunc.parametrize("subject", metafunc.config.backends, indirect=True, scope="session")
    if "policy" in metafunc.fixturenames:
        metafunc.parametrize("policy", ["float32", "bfloat16"])


def pytest_itemcollected(item):
    if "subject" in getattr(item, "fixturenames", ()):
        item.add_marker("conformance")


def pytest_collection_finish(session):
    needed = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    config = session.config
    if needed & {"subject", "job"} and not config.backends:
        raise pytest.UsageError("no backend is here; " + "; ".join(summary.missing_backends()))
    if "job" in needed and not config.option.collectonly:
        config.job = _job(config)


def _job(config):
    """What is to be trained; five minutes are not begun for what cannot be had or saved."""
    from bench.training.score import Job
    from reports.record import require_folder

    try:
        require_folder(config.getoption("report"))
        return Job.of(replace(config.order, backend=config.backends[0]))
    except (backends.BackendError, ValueError) as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def subject(request):
    """Our implementation on each backend in turn."""
    return load(request.param)


@pytest.fixture(scope="session")
def job(request):
    """What is to be trained, on the first backend asked for or else the best found."""
    return request.config.job


def pytest_report_header(config):
    return summary.header(config.backends)


def pytest_terminal_summary(terminalreporter, config):
    rows = [row for row in check.ROWS if row.subject in config.backends]  # not the mutants'
    onsets = [onset for onset in trajectory.ONSETS if onset.subject in config.backends]
    summary.print_rows(rows, terminalreporter)
    summary.print_onsets(onsets, terminalreporter)
    summary.print_mutants(terminalreporter)
    if config.getoption("rows_to"):
        outcomes = ("passed", "failed", "skipped", "xfailed")
        counts = {outcome: len(terminalreporter.stats.get(outcome, ())) for outcome in outcomes}
        counts["failed"] += len(terminalreporter.stats.get("error", ()))  # a fixture that raised, a file not imported
        facts = {name: fingerprint.facts(load(name)) for name in config.backends}
        sections = {"rows": summary.aggregate(rows), "onsets": [asdict(run) for run in onsets], "fingerprint": facts}
        summary.write_rows(config.getoption("rows_to"), **counts, **sections)
