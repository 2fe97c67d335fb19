"""How a leaderboard's row and the place that it stands in are shown: words, links and what the filter looks for.

Test with `pytest -m fast -k site`.
"""

from dataclasses import dataclass

from reports.ranking import FAILED, LIMITED, PENDING, PROVISIONAL, RANKED, UNRANKED, Board, Row
from reports.site.page import report_page

LINKS = 6  # to single reports from one row; the chip's page has all
PLACES = (
    ("Ranked, and provisional below three seeds", (RANKED, PROVISIONAL)),
    ("Memory-limited: more than one pass over the text", (LIMITED,)),
    ("Pending: a person must look", (PENDING,)),
    ("Not ranked", (UNRANKED,)),
    ("Failed", (FAILED,)),
)


@dataclass(frozen=True)
class Shown:
    """One row, and beside it what the page needs. `links` are (label, file name)."""

    row: Row
    division: str
    links: tuple[tuple[str, str], ...]
    more: int  # reports without a link

    @property
    def words(self) -> str:
        """Lower-case text that the filter searches."""
        of = self.row.configuration
        parts = (of.chip, of.backend, of.release, of.preset, of.precision, self.row.place, self.division)
        return " ".join(part.lower() for part in parts if part)

    @property
    def half(self) -> float | None:
        """Half of the interval's width."""
        row = self.row
        return None if row.low is None or row.high is None else (row.high - row.low) / 2


@dataclass(frozen=True)
class Table:
    """The rows of one place, or of two that share a table."""

    title: str
    main: bool
    rows: tuple[Shown, ...]


def tables(board: Board, chip: str | None = None) -> list[Table]:
    """Those places that have rows, of all chips or of one."""
    made = []
    for title, places in PLACES:
        rows = [row for row in board.of(*places) if chip in (None, row.configuration.chip)]
        if rows:
            made.append(Table(title, RANKED in places, tuple(shown(row, board.division) for row in rows)))
    return made


def shown(row: Row, division: str) -> Shown:
    """A row with links to its reports, by seed."""
    found = [(entry.record, entry.digest) for entry in row.entries if entry.record and entry.digest]
    found.sort(key=lambda one: (one[0].run.seed, one[0].identity.created_utc, one[1]))
    links = tuple((f"seed {record.run.seed}", report_page(digest)) for record, digest in found)
    return Shown(row, division, links[:LINKS], max(0, len(links) - LINKS))
