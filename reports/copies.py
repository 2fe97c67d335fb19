"""One run handed in twice, under whatever name: no two runs have the same step times or, by the clock, equal losses.

Test with `pytest -m fast -k "bad_reports or references"`.
"""

from collections.abc import Iterator

from reports.record import Record
from reports.references import References
from reports.schema import Consent
from reports.verdict import PENDING, REJECTED, Finding, implausible

LEAST = 8  # steps: shorter runs, or none, may be equal by chance


def findings(record: Record, references: References) -> Iterator[Finding]:
    """Against every reference, whatever its chip or hashes."""
    if len(record.run.steps) < LEAST:
        return
    for name, other in references.of_column(record, "step_s"):
        if _without_consent(record) == _without_consent(other):
            yield implausible(f"the same run as {name}; one of the two counts", PENDING)
        else:
            yield implausible(f"steps.step_s are those of {name}: one run under two descriptions", REJECTED)
        return
    for name, other in references.of_column(record, "loss"):
        seeds = record.run.seed, other.run.seed
        if seeds[0] != seeds[1]:
            yield implausible(f"steps.loss are those of {name}, whose seed is {seeds[1]}, not {seeds[0]}", REJECTED)
            return
        if record.run.mode == "fixed-budget" and other.run.mode == "fixed-budget" and min(record.run.steps.lr) < 1:
            yield implausible(f"steps.loss are those of {name}, though progress followed the clock", REJECTED)
            return


def _without_consent(record: Record) -> Record:
    return record.model_copy(update={"consent": Consent()})
