"""How a run stands beside the committed reports: those of its chip, or of the nearest that may be compared with it.

One run never tells whether two programs differ: this gives differences, `python -m reports compare` gives verdicts.
Test with `pytest -m fast -k neighbours`.
"""

from dataclasses import dataclass, replace

from reports import derived, ranking, standing
from reports.collection import Collection
from reports.ranking import LIMITED, PROVISIONAL, RANKED, Row
from reports.record import Record

SHOWN = 12  # rows
SCORED = (RANKED, PROVISIONAL, LIMITED)


@dataclass(frozen=True)
class Neighbours:
    """`rows` are comparable ones, the nearest first; `line` says in a sentence how the run stands to the first."""

    line: str
    rows: tuple[Row, ...]


def of(record: Record, committed: Collection) -> Neighbours:
    """The same chip before others, the same configuration before others; the run itself, if committed, left out."""
    if reasons := standing.unranked(record):
        return Neighbours(f"held against no committed report: {'; '.join(reasons)}", ())
    others = replace(committed, entries=tuple(e for e in committed.entries if not _same_run(e.record, record)))
    comparable = ranking.hashes(record), record.identity.division
    found = [
        row
        for board in ranking.boards(others)
        if (board.hashes, board.division) == comparable
        for row in board.of(*SCORED)
    ]
    limited = derived.memory_limited(record)
    rows = [row for row in found if (row.place == LIMITED) == limited]  # memory is not learning
    if not rows:
        of_one_pass = "this run is memory-limited, and they are not" if limited else "they are memory-limited"
        return Neighbours(f"held against no committed report: {of_one_pass}" if found else _none(record, others), ())
    configuration = ranking.configuration(record)

    def distance(row: Row) -> tuple[bool, bool, bool, float]:
        of, score = row.configuration, derived.bits_per_byte(record)
        apart = abs((row.bits_per_byte or 0.0) - score) if score is not None else 0.0
        return of.chip != configuration.chip, of != configuration, of.backend != configuration.backend, apart

    rows.sort(key=distance)
    return Neighbours(_line(record, rows[0]), tuple(rows[:SHOWN]))


def _same_run(one: Record | None, other: Record) -> bool:
    return one is not None and (one.run, one.result) == (other.run, other.result)


def _line(record: Record, row: Row) -> str:
    of, score, speed = row.configuration, derived.bits_per_byte(record), derived.tokens_per_s(record)
    chip = "this chip" if of.chip == record.hardware.chip else f"the nearest, {of.chip}; this chip has no report yet"
    runs = f"{row.runs} run{'s' * (row.runs != 1)}"
    whose = (
        f"{of.backend} {of.release or ''}".strip() + f", {of.preset or 'no preset'}, {of.precision}, {runs} on {chip}"
    )
    if score is None or row.bits_per_byte is None:
        return f"no score to hold against {whose}"
    times = f", {speed / row.tokens_per_s:.2f} times the tokens/s" if speed and row.tokens_per_s else ""
    return f"{score - row.bits_per_byte:+.4f} bpb{times}, beside {whose}; one run cannot tell whether it differs"


def _none(record: Record, others: Collection) -> str:
    """Why nothing is comparable, by the first report of this chip that could have been."""
    for entry in others.accepted:
        if entry.record and entry.record.hardware.chip == record.hardware.chip:
            differing = standing.differing(record, entry.record)
            reason = f"other {', '.join(differing)}" if differing else f"division {entry.record.identity.division}"
            return f"no committed report may be compared with it: those of this chip have {reason}"
    return "no committed report has its recipe, data, eval and division; share it, and it is the first"
