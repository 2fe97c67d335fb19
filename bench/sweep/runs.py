"""The runs of a sweep one after another, each the main job in a process of its own; what has a report is not run again.

Test with `pytest -m meta bench/meta/test_sweep.py`.
"""

import fcntl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.sweep.plan import Cell, finished
from reports import derived
from reports.record import Record

LOCK = ".sweep.lock"


def run(cells: Sequence[Cell], folder: Path, tell: Callable[[str], None]) -> tuple[list[Record | None], list[str]]:
    """(the report of each cell or None where its run left none, what went wrong in one line each)."""
    faults = []
    with _alone(folder, lambda: tell(f"waiting for a run that an earlier sweep started in {folder}")) as lock:
        for i, cell in enumerate(cells, start=1):
            of = " ".join(filter(None, [Path(cell.data).name, cell.config, f"seed {cell.order.seed}"]))
            name, known = f"{i} of {len(cells)}, {of}", finished(folder).get(cell.key)
            if known:
                told = f"{_outcome(known)}, already there"
            else:
                tell(f"{name}: running")
                output = _trained(cell, folder, lock)
                known = finished(folder).get(cell.key)
                told = _outcome(known) if known else f"no report; {_reason(output)}"
            tell(f"{name}: {told}")
            if not (known and known.result):
                faults.append(f"{name}: {told}")
        reports = finished(folder)
    return [reports.get(cell.key) for cell in cells], faults


def _trained(cell: Cell, folder: Path, lock: int) -> str:
    """What the run printed. It holds the lock too, so that a run which outlives its sweep is waited for."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "bench/training", "-m", "slow"]
    with tempfile.TemporaryFile("w+") as output:
        try:
            subprocess.run(
                [*command, *cell.words, f"--report={folder}"], stdout=output, stderr=output, pass_fds=(lock,)
            )
        finally:
            output.seek(0)
            printed = output.read()
    return printed


@contextmanager
def _alone(folder: Path, on_wait: Callable[[], None]) -> Iterator[int]:
    """Hold the folder; freed by the system when this process and the run that it started have ended."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _outcome(found: Record) -> str:
    if found.run.failure:
        return found.run.failure.message
    checked = found.conformance is not None and not found.conformance.failed
    return f"val_bpb {derived.bits_per_byte(found):.4f}{'' if checked else ', correctness checks failed'}"


def _reason(output: str) -> str:
    """The line that says why: pytest's last summary, or else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return (told or lines or ["it printed nothing"])[-1][:500]
