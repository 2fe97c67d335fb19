"""How far a report stands from the others of its chip, in robust standard deviations: a person looks at the far ones.

Test with `pytest -m fast -k "bad_reports or references"`.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from statistics import median

from reports import derived, standing
from reports.flags import MAD_TO_SIGMA
from reports.record import Record, ReportError, chip_slug
from reports.references import References
from reports.verdict import PENDING, Finding, implausible

# Of correct reports, against ten others, 0.15 % are further away where the spread is normal, 0.4 % where it is
# Student's with five degrees of freedom (100,000 draws each).
SIGMAS = 8.0
LEAST = 10  # others; of five, 3 % of correct reports would be outliers


def findings(record: Record, references: References) -> Iterator[Finding]:
    """Nothing is claimed of few reports, or where half of them are equal."""
    yield from _folder(record, references)
    alike = references.of_chip(record)
    yield from _outlier("tokens/s", record, alike, derived.tokens_per_s)
    comparable = [other for other in alike if not standing.differing(other, record)]
    yield from _outlier("val_bpb", record, comparable, derived.bits_per_byte)


def _folder(record: Record, references: References) -> Iterator[Finding]:
    chip = record.hardware.chip
    with suppress(ReportError):  # a name without letters has no folder, and is none of ours
        known = references.folders.get(chip_slug(chip), chip)
        if known != chip:
            yield implausible(f"chip {chip!a} has the folder of {known!a}; two names of one chip?", PENDING)


def _outlier(
    name: str, record: Record, others: list[Record], of: Callable[[Record], float | None]
) -> Iterator[Finding]:
    value, known = of(record), [math.log(found) for other in others if (found := of(other))]
    if not value or len(known) < LEAST:
        return
    middle = median(known)
    sigma = MAD_TO_SIGMA * median(abs(x - middle) for x in known)
    if sigma and abs(math.log(value) - middle) > SIGMAS * sigma:
        away = (math.log(value) - middle) / sigma
        yield implausible(
            f"{name} {value:.5g} is {away:+.1f} robust standard deviations from the median {math.exp(middle):.5g} of "
            f"{len(known)} reports of this chip",
            PENDING,
        )
