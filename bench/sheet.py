"""One file of measurements: what ran them, and rows by key, whole after every row and taken up again where it ended.

Test with `pytest -m fast -k newton_schulz`.
"""

import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import hardware, identity
from impl.data import atomic
from reports.privacy import redact

FORMAT = 1
SAME = ("format", "what", "backend", "chip", "versions", "blas")  # in every row of a file


def origin(backend, what: str) -> dict[str, Any]:
    """What made the numbers: chip, versions, BLAS, switches; nothing that names a machine or a person."""
    machine = hardware.detect(backend.name)
    return {
        "format": FORMAT,
        "what": what,
        "suite": identity.suite_version(),
        "backend": backend.name,
        "chip": machine.chip,
        "cpu": machine.cpu,
        "cpu_cores": machine.cpu_cores,
        "versions": {**backend.versions(), "numpy": np.__version__, "python": platform.python_version()},
        "blas": redact(backend.blas() or "") or None,
        "environment": hardware.environment(),
    }


@dataclass
class Sheet:
    """Rows of measurements, each under the key that says what was measured."""

    path: Path
    origin: dict[str, Any]
    digits: int = 5
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, origin: dict[str, Any], also: Iterable[str] = (), digits: int = 5) -> "Sheet":
        """Rows of an earlier, interrupted run are kept; `digits` is what a number means.

        Raises ValueError where another backend or release wrote it, or where one of the entries `also` differs.
        """
        sheet = cls(path, origin, digits)
        if path.exists():
            known = json.loads(path.read_text())
            for name in (*SAME, *also):
                if known.get(name) != origin[name]:
                    raise ValueError(
                        f"{path}: {name} {known.get(name)!r} is not {origin[name]!r}; name another file with --out"
                    )
            sheet.rows = {row["key"]: row for row in known["rows"]}
        return sheet

    def add(self, key: str, row: dict[str, Any]) -> None:
        """Keep one row and write the file anew, whole."""
        self.rows[key] = {"key": key, **row}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(self.path) as temporary:
            temporary.write_text(self.text())

    def text(self) -> str:
        """JSON, one row a line; what is not finite is null, which JSON can hold."""
        head = json.dumps(self.origin, indent=1, sort_keys=True)[:-2]
        rows = ",\n".join(json.dumps(_plain(row, self.digits), allow_nan=False) for row in self.rows.values())
        return f'{head},\n "rows": [\n{rows}\n]}}\n'


def load(path: Path) -> dict[str, Any]:
    """A file that a sheet wrote. Raises ValueError for one that is of another format."""
    known = json.loads(path.read_text())
    if known.get("format") != FORMAT:
        raise ValueError(f"{path}: format {known.get('format')!r} is not {FORMAT}; measure again")
    return known


def _plain(value: Any, digits: int) -> Any:
    """Numbers rounded to so many digits."""
    if isinstance(value, dict):
        return {name: _plain(entry, digits) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, digits) for entry in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{digits}g}") if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
