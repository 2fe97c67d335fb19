"""`pytest -p bench.meta.unchecked`: the main job with a made-up conformance record, to test what follows it."""

from bench.training import score
from reports.schema import Conformance


def _conform(job, console):
    console.print("the conformance run is left out")
    return Conformance(versions=job.backend.versions(), passed=1, failed=0, skipped=0, inconclusive=0, rows=())


score.conform = _conform
