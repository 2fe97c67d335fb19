"""The front page: who ranks where, which chips nobody has measured, and what others published.

Test with `pytest -m fast -k site`.
"""

from collections.abc import Sequence

from reports.collection import Collection
from reports.coverage import CPU, CUDA, METAL, TIERS, Matrix
from reports.published import PUBLISHED
from reports.ranking import DIVISIONS, Board
from reports.site import board, curves
from reports.site.page import render

WAITING = 200  # files listed by name
DIVISION_WORDS = {
    "fixed": "one configuration on every chip",
    "tier": "the preset of the chip's tier",
    "open": "anything, by --set",
}


def page(collection: Collection, boards: Sequence[Board], matrix: Matrix, documents: Sequence[tuple[str, str]]) -> str:
    """HTML; `documents` are (title, file name) of findings and release tables."""
    shown = [(one, board.tables(one), curves.scatter(one)) for one in boards]
    backends = sorted({row.configuration.backend for one in boards for row in one.rows})
    waiting = (*collection.rejected, *collection.duplicates)
    return render(
        "front",
        boards=shown,
        divisions=[(name, DIVISION_WORDS[name]) for name in DIVISIONS],
        present={one.division for one in boards},
        backends=backends,
        chips=sorted({e.record.hardware.chip for e in (*collection.accepted, *collection.pending) if e.record}),
        counts=_counts(collection),
        matrix=matrix,
        tiers=TIERS,
        metal=METAL,
        published=PUBLISHED,
        documents=documents,
        waiting=waiting[:WAITING],
        unlisted=max(0, len(waiting) - WAITING),
        other_backends=CUDA + CPU,
    )


def _counts(collection: Collection) -> dict[str, int]:
    return {
        "accepted": len(collection.accepted),
        "pending": len(collection.pending),
        "rejected": len(collection.rejected),
        "duplicate": len(collection.duplicates),
    }
