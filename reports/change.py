"""Release over release: what a newer framework changed on one chip, and whether the runs can tell.

The statistics are those of `reports.effect`, over seeds; no score is held against a memory-limited one. Test with
`pytest -m fast -k change`.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log

from packaging.version import InvalidVersion, Version

from reports import derived
from reports.compare import MARGIN_BPB, MARGIN_SPEED
from reports.effect import Effect, effect
from reports.ranking import LIMITED, PROVISIONAL, RANKED, Board, Configuration, Row, by_seed

COMPARED = (RANKED, PROVISIONAL, LIMITED)


@dataclass(frozen=True)
class Change:
    """From one release to the next that has reports. `score` is new - old val_bpb, `speed` the same of log seconds a
    token, which `reports.compare.ratio` makes a ratio of speeds; None where a side has no number, or one not alike.
    """

    before: Row
    after: Row
    score: Effect | None
    speed: Effect | None


@dataclass(frozen=True)
class History:
    """One configuration through the releases, oldest first. `of` has no release."""

    board: Board
    of: Configuration
    rows: tuple[Row, ...]
    changes: tuple[Change, ...]


def histories(boards: tuple[Board, ...]) -> tuple[History, ...]:
    """Those with at least two releases; never from one board to another."""
    return tuple(history for board in boards for history in _on(board))


def _on(board: Board) -> Iterator[History]:
    groups: dict[Configuration, list[Row]] = defaultdict(list)
    for row in board.of(*COMPARED):
        if row.configuration.release is not None:
            groups[replace(row.configuration, release=None)].append(row)
    for of, rows in groups.items():
        if len(rows) > 1:
            rows.sort(key=lambda row: _order(row.configuration.release or ""))
            yield History(board, of, tuple(rows), tuple(change(a, b) for a, b in pairwise(rows)))


def change(before: Row, after: Row) -> Change:
    """Of two rows of one configuration but for the release."""
    alike = (before.place == LIMITED) == (after.place == LIMITED)
    old, new = (by_seed(row.entries, derived.bits_per_byte) for row in (before, after))
    score = effect(old, new, MARGIN_BPB) if alike and old and new else None
    old, new = ([-log(v) for v in by_seed(row.entries, derived.tokens_per_s)] for row in (before, after))
    return Change(before, after, score, effect(old, new, log(1 + MARGIN_SPEED)) if old and new else None)


def _order(release: str) -> tuple[bool, Version, str]:
    """Versions in their own order; what is none comes first, by its text."""
    try:
        return True, Version(release), release
    except InvalidVersion:
        return False, Version("0"), release
