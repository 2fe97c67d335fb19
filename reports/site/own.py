"""The page of one run as a single file beside its report, with how it stands; no site is needed to read it.

Test with `pytest -m fast -k site`.
"""

import os
from pathlib import Path

from reports import collection, neighbours
from reports.check import check
from reports.record import ReportError, content_hash, load
from reports.site import report

COMMITTED = Path(__file__).parents[1] / "data"


def write(path: Path, committed: Path = COMMITTED) -> tuple[Path, str]:
    """(the page, a sentence on how the run stands). Raises ReportError where the page cannot be written."""
    record, verdict = load(path), check(path)
    stands = neighbours.of(record, collection.read(committed))
    text = report.page(
        record,
        content_hash(record),
        verdict.name,
        [finding.reason for finding in verdict.findings],
        alone=True,
        standing=stands,
    )
    page = path.with_suffix(".html")
    temporary = page.with_name(f".{page.name}.{os.getpid()}")
    try:
        temporary.write_text(text, "utf-8", newline="\n")
        os.replace(temporary, page)
    except OSError as error:
        raise ReportError(f"{page}: the page was not written ({error.strerror}); free space") from None
    finally:
        temporary.unlink(missing_ok=True)
    return page, stands.line
