"""`pytest -p bench.meta.unchecked`: the main job with a made-up conformance record and no ceiling, to test the rest."""

from bench import ceiling
from bench.training import score
from reports.schema import Conformance


def _conform(job, console):
    console.print("the conformance run is left out")
    return Conformance(versions=job.backend.versions(), passed=1, failed=0, skipped=0, inconclusive=0, rows=())


score.conform = _conform
ceiling.in_a_child = lambda backend, machine: None  # it would take twenty seconds
