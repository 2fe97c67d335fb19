"""A chip's page: its rows on every board, its reports, and what newer releases changed.

Test with `pytest -m fast -k site`.
"""

from collections.abc import Sequence
from typing import Any

from reports import derived
from reports.change import History
from reports.collection import Entry
from reports.compare import ratio
from reports.effect import Effect
from reports.ranking import Board
from reports.record import Record
from reports.site import board, curves
from reports.site.page import render, report_page


def page(chip: str, entries: Sequence[Entry], boards: Sequence[Board], histories: Sequence[History]) -> str:
    """HTML of one chip; `entries` are those of its reports that can be read."""
    readable = [(entry, entry.record, entry.digest) for entry in entries if entry.record and entry.digest]
    readable.sort(key=lambda found: (found[1].identity.created_utc, found[2]), reverse=True)
    return render(
        "chip",
        chip=chip,
        boards=[(one, found, curves.scatter(one, chip)) for one in boards if (found := board.tables(one, chip))],
        peaks=_peaks([record for _, record, _ in readable]),
        histories=[_shown(history) for history in histories if history.of.chip == chip],
        reports=[
            (entry, record, report_page(digest), derived.bits_per_byte(record), derived.tokens_per_s(record))
            for entry, record, digest in readable
        ],
    )


def _shown(history: History) -> dict[str, Any]:
    """Its changes with both effects as the page words them: a difference of scores, a ratio of speeds."""
    return {
        "of": history.of,
        "division": history.board.division,
        "changes": [
            (
                change,
                change.score and _effect(change.score, (change.score.difference, change.score.low, change.score.high)),
                change.speed and _effect(change.speed, ratio(change.speed)),
            )
            for change in history.changes
        ],
    }


def _effect(found: Effect, values: tuple[float, float | None, float | None]) -> dict[str, Any]:
    return {"verdict": found.verdict, **dict(zip(("value", "low", "high"), values, strict=True))}


def _peaks(records: Sequence[Record]) -> list[tuple[str, float, str]]:
    """(name, FLOP/s, source) of what is published for the chip."""
    rows = {row.gpu_cores: row for record in records if (row := derived.chip(record))}
    found = {
        (peak.name + (f", {cores} GPU cores" if cores else ""), peak.flop_per_s, peak.source)
        for cores, row in rows.items()
        for peak in row.peaks.values()
    }
    return sorted(found)
