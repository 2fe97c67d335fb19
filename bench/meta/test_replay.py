"""A run along another run's progress takes as many steps and, on a CPU, gives the same losses to the last bit.

`pytest -m meta bench/meta/test_replay.py`
"""

import pytest

from bench.meta.command import TRAIN, only_line, run
from reports.check import REJECTED, check
from reports.record import load

pytestmark = pytest.mark.meta


def trained(tmp_path, backend, *options):
    """The report of a short run."""
    status, output = run(*TRAIN, f"--backend={backend}", f"--report={tmp_path}", "--budget-s=0.5", *options)
    path = only_line(output, "report:").split()[-1]
    assert status == 0 or "no better than the frequencies" in output, (
        output
    )  # half a second teaches slow machines little
    return path, load(path)


def test_replay_separates_numerics_from_timing(tmp_path, backend):
    if not backend.endswith("-cpu"):
        pytest.skip("only CPU backends are bit-equal from run to run")
    path, first = trained(tmp_path, backend)
    again_path, again = trained(tmp_path, backend, f"--replay={path}")
    assert again.run.mode == "fixed-tokens" and again.run.steps.progress == first.run.steps.progress
    assert again.run.steps.step_s != first.run.steps.step_s
    assert again.run.steps.loss == first.run.steps.loss and again.result.nats == first.result.nats
    assert check(again_path).name != REJECTED, check(again_path)


def test_a_report_of_another_recipe_is_refused(tmp_path, backend):
    path, _ = trained(tmp_path, backend)
    status, output = run(*TRAIN, f"--backend={backend}", "--budget-s=0.7", f"--replay={path}")
    assert status == 4
    line = only_line(output, "ERROR: --replay")
    assert line.endswith("its recipe is not the one asked for; try --preset tiny --budget-s 0.5")
