"""The main job: train for the budget on the best backend, print the score, leave a report.

`pytest -m slow [--backend NAME] [--preset NAME] [--budget-s 300] [--seed 42]`
"""

import time
from contextlib import contextmanager

import pytest
from rich.console import Console

from bench import measure
from bench.training import score, summary
from bench.training.journal import Journal
from impl.backend import out_of_memory
from impl.data.errors import DataError
from reports import check, derived, peaks, plausibility, record


@pytest.mark.slow
@pytest.mark.filterwarnings(*measure.WARNINGS)  # no warning is worth five minutes
def test_training_learns_real_text(job, pytestconfig):
    """val_bpb is below step 0 and below a unigram model on the same bytes, or the text was learned by heart; the report
    is accepted.
    """
    measured, path = _run(job, pytestconfig)
    if reason := _reason(measured, path, job.backend.name):
        pytest.fail(reason, pytrace=False)


def _reason(measured, path, backend):
    """Why the run is no success, in one line; None where it is one."""
    if measured.run.failure:
        return f"{measured.run.failure.message}; what happened until then is in {path}"
    if finding := plausibility.unlearned(measured):
        return f"{finding.reason}; the steps are in {path}"
    verdict = check.check(path)
    if verdict.name == check.REJECTED:
        return f"{'; '.join(finding.reason for finding in verdict.findings)}; the report is {path}"
    if measured.conformance.failed:
        return f"`pytest -m fast --backend {backend}` says which checks of correctness fail"
    return None


def _run(job, pytestconfig):
    """The job with its output past pytest's capture: progress is for whoever waits."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    folder = pytestconfig.getoption("report")
    with _told_in_one_line(job), capture.global_and_fixture_disabled(), Journal(folder) as journal:
        print()
        console, start_s = Console(), time.monotonic()
        measured, restated = score.run(job, console, journal)
        summary.print_summary(measured, time.monotonic() - start_s, console)  # first: no full disk takes the score
        path = record.save(measured, folder)
        journal.end(measured, path)
        summary.print_row("report", str(path), console)
        summary.print_page(path, console)
        if measured.result and job.order.profiles:
            console.print(f"scoring by {', '.join(job.order.profiles)} too; an evaluation of theirs may take minutes")
            summary.print_restated(restated(), derived.bits_per_byte(measured), job.order.data, console)
    return measured, path


@contextmanager
def _told_in_one_line(job):
    """What a user can mend fails without a traceback; an interrupt ends the session."""
    try:
        yield
        return
    except KeyboardInterrupt:
        pytest.exit("interrupted: this run leaves no report; earlier ones, and prepared data, are whole", 130)
    except (DataError, record.ReportError, score.Unscorable, peaks.ImpossibleRate) as error:
        reason = str(error)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        rows, first = job.recipe.data.device_batch, str(error).strip().splitlines()[0]
        reason = f"out of memory with device_batch={rows} ({first}); try --set device_batch={max(1, rows // 2)}"
    raise pytest.fail.Exception(reason, pytrace=False) from None
