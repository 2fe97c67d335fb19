"""The page of one run as a single file beside its report, with how it stands; no site is needed to read it.

Test with `pytest -m fast -k site`.
"""

from pathlib import Path

from reports import collection, neighbours
from reports.check import check
from reports.file import replacing
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
    try:
        with replacing(page) as temporary:
            temporary.write_text(text, "utf-8", newline="\n")
    except OSError as error:
        raise ReportError(f"{page}: the page was not written ({error.strerror}); free space") from None
    return page, stands.line
