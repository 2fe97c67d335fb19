"""The leaderboard as Markdown: the top rows of every board, for the place in README that its two markers hold.

A stranger's text stands in code spans, where no markup, link or column can begin. Test with `pytest -m fast -k table`.
"""

from collections.abc import Iterable, Iterator, Sequence

from reports.collection import Collection
from reports.ranking import LEAST_SEEDS, LIMITED, PROVISIONAL, RANKED, Board, Row
from reports.record import ReportError
from reports.standing import SHOWN

BEGIN, END = "<!-- python -m reports table -->", "<!-- end of the table -->"
LEGEND = "MFU is of the data sheet, beside it that of the best product measured there; ? is unknown."
TOP = 10  # rows of a list
WIDEST = 40  # characters of a stranger's text
GIB = 2**30
COLUMNS = ("rank", "chip", "backend", "release", "preset", "precision", "val_bpb", "95 %", "seeds", "runs", "passes",
           "tokens/s", "MFU", "of measured", "memory", "J/token")  # fmt: skip
LEFT = 6  # columns of text; numbers stand right


def markdown(boards: Sequence[Board], collection: Collection) -> str:
    """What stands between the markers, without a newline around it."""
    lists = [lines for board in boards for lines in _board(board)]
    counts = {"accepted": collection.accepted, "pending": collection.pending, "rejected": collection.rejected}
    closing = ", ".join(f"{len(found)} {name}" for name, found in counts.items() if found) or "none yet"
    notes = f"Reports: {closing}. Rows whose intervals overlap share a rank; it takes {LEAST_SEEDS} seeds. {LEGEND}"
    return "\n\n".join([*lists, notes])


def current(readme: str) -> str:
    """What stands between the markers now. Raises ReportError where they are not there, once each and in order."""
    begin, end = readme.find(BEGIN), readme.find(END)
    if begin < 0 or end < begin or readme.count(BEGIN) > 1 or readme.count(END) > 1:
        raise ReportError(f"no place for the table; put a line {BEGIN} and below it a line {END}, once each")
    return readme[begin + len(BEGIN) : end]


def replaced(readme: str, markdown: str) -> str:
    """`readme` with this between its markers."""
    return readme.replace(BEGIN + current(readme) + END, f"{BEGIN}\n\n{markdown}\n\n{END}")


def code(text: str | None) -> str:
    """A stranger's text as a code span of plain ASCII, cut to WIDEST; "?" where unknown."""
    if not text:
        return "?"
    shown = ascii(text)[1:-1]
    for end in "`|<":  # of the span, of the cell, and the beginning of the table's end
        shown = shown.replace(end, rf"\x{ord(end):x}")
    return f"`{shown if len(shown) <= WIDEST else shown[: WIDEST - 3] + '...'}`"


def _board(board: Board) -> Iterator[str]:
    """Its main list and the memory-limited one, where they have rows."""
    text = f"{code(board.text)}, " if board.text else ""
    of = f"{text}data `{board.hashes.data[:SHOWN]}`, eval `{board.hashes.eval[:SHOWN]}`"
    heading = f"**Division {board.division}**, {code(board.recipe)}, {of}"
    for what, rows in (("", board.of(RANKED, PROVISIONAL)), (", memory-limited", board.of(LIMITED))):
        if rows:
            left = f" ({len(rows) - TOP} more)" if len(rows) > TOP else ""
            yield f"{heading}{what}{left}:\n\n{_table(rows[:TOP])}"


def _table(rows: Iterable[Row]) -> str:
    rule = [":--" if i < LEFT else "--:" for i in range(len(COLUMNS))]
    lines = [COLUMNS, rule, *(_cells(row) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Row) -> list[str]:
    of = row.configuration
    cores = f", {of.cores} cores" if of.cores else ""
    failed = f" + {row.failed} failed" if row.failed else ""
    flagged = f", {row.flagged} flagged" if row.flagged else ""
    return [
        str(row.rank) if row.rank else "provisional",
        f"{code(of.chip)}{cores}",
        of.backend,
        code(of.release),
        code(of.preset),
        code(of.precision),
        _number(row.bits_per_byte, ".4f"),
        f"{row.low:.4f} to {row.high:.4f}" if row.low is not None and row.high is not None else "?",
        str(row.seeds),
        f"{row.runs}{failed}{flagged}",
        _number(row.epochs, ".3g"),
        _number(row.tokens_per_s, ",.0f"),
        _number(row.mfu, ".1%"),
        _number(row.measured_mfu, ".1%"),
        "?" if row.peak_bytes is None else f"{row.peak_bytes / GIB:.1f} GiB",
        _number(row.joules_per_token, ".3g"),
    ]


def _number(value: float | None, form: str) -> str:
    return "?" if value is None else format(value, form)
