"""The main job: train for the budget on the best backend, print the score, leave a report.

`pytest -m slow [--backend NAME] [--preset NAME] [--budget-s 300] [--seed 42]`
"""

import math
import time

import pytest
from rich.console import Console

from bench.training import score, summary
from impl.backend import BackendError
from impl.data.errors import DataError
from reports import check, record


@pytest.fixture
def order(pytestconfig, slow_backend):
    """What the options ask for."""
    option = pytestconfig.getoption
    return score.Order(
        backend=slow_backend,
        recipe=option("recipe"),
        preset=option("preset"),
        settings=dict(pair.partition("=")[::2] for pair in option("set")),
        precision=option("precision"),
        budget_s=option("budget_s"),
        eval_every=option("eval_every"),
        seed=option("seed"),
        data=option("data"),
    )


@pytest.mark.slow
def test_training_learns_real_text(order, pytestconfig):
    """val_bpb is finite, below step 0 and below a unigram model on the same bytes; the report is accepted."""
    measured, path = _run(order, pytestconfig)
    if measured.run.failure:
        pytest.fail(f"{measured.run.failure.message}; what happened until then is in {path}", pytrace=False)
    result = measured.result
    assert math.isfinite(result.nats)
    assert result.nats < result.initial_nats, "no better than at step 0"
    assert result.nats < result.unigram_nats, "no better than the frequencies of tokens"
    verdict = check.check(path)
    assert verdict.verdict != "rejected", verdict
    assert not measured.conformance.failed, "the correctness suite failed on this backend: `pytest -m fast` says where"


def _run(order, pytestconfig):
    """The job with its output past pytest's capture: progress is for whoever waits."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print()
        console, start_s = Console(), time.monotonic()
        try:
            measured = score.run(score.Job.of(order), console)
        except (BackendError, DataError, ValueError) as error:
            pytest.fail(str(error), pytrace=False)
        path = record.save(measured, pytestconfig.getoption("report"))
        summary.print_summary(measured, path, time.monotonic() - start_s, console)
    return measured, path
