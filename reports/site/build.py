"""The whole site from a folder of reports, written into a new folder, which then takes the old one's name.

Equal reports give equal bytes. Test with `pytest -m fast -k site`.
"""

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from reports import change, collection, coverage, ranking
from reports.collection import Collection, Entry
from reports.record import ReportError
from reports.site import chip, document, front, report
from reports.site.page import chip_page, report_page
from reports.verdict import REJECTED

INDEX = "index.html"
MARK = ".nanomark-site"  # a folder that holds it is ours to replace
REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = (REPOSITORY / "findings", REPOSITORY / "releases")


def build(data: Path, out: Path) -> int:
    """Write the site and return its number of pages. Raises ReportError where `out` is not ours to replace."""
    out = out.resolve()
    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ReportError(f"{out} holds something that is no site of ours; name an empty or a new folder")
    count = 0
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            (made / MARK).touch()
            made.chmod(0o755)
            for name, text in pages(collection.read(data)):
                (made / name).write_text(text, "utf-8", newline="\n")
                count += 1
            _replace(out, made)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise ReportError(f"{out}: the site was not written ({error.strerror}); free space or name another") from None
    return count


def pages(found: Collection) -> Iterator[tuple[str, str]]:
    """(file name, HTML) of every page; what is rejected has none, and is named on the front page with its reasons."""
    boards = ranking.boards(found)
    histories = change.histories(boards)
    documents = []
    for folder in DOCUMENTS:
        for file in sorted(folder.glob("*.md")):
            title, text = document.page(file)
            name = f"{folder.name}-{file.stem}.html"
            documents.append((title, name))
            yield name, text
    by_chip: dict[str, list[Entry]] = defaultdict(list)
    for entry in found.entries:
        if entry.record and entry.digest and entry.verdict.name != REJECTED:
            by_chip[entry.record.hardware.chip].append(entry)
            text = report.page(entry.record, entry.digest, entry.verdict.name, entry.reasons)
            yield report_page(entry.digest), text
    for name, entries in by_chip.items():
        yield chip_page(name), chip.page(name, entries, boards, histories)
    yield INDEX, front.page(found, boards, coverage.matrix(found, boards), documents)


def _replace(out: Path, made: Path) -> None:
    """`out` is the old site or the new one, but for the moment between two renames."""
    if not out.exists():
        made.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    os.replace(out, old)
    try:
        made.rename(out)
    except OSError:
        os.replace(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)
