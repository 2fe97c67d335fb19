"""A live file read while it grows, is cut short, replaced or gone: what a run has said so far.

Test with `pytest -m meta bench/meta/test_watch.py`.
"""

import os
import time
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from statistics import fmean

from bench.training import journal
from reports.flags import slow_stretches

KEPT = 10_000  # steps' lines; beyond, every other one goes
LONGEST_LINE = 2**20  # bytes
SILENT_S = 30.0  # beside ten steps, and twice as long as scoring the start took: steps stop for a score
SMOOTHED = 5  # lines


@dataclass
class View:
    """The lines of one file by their kind; None where there is none yet."""

    header: journal.Header | None = None
    start: journal.Start | None = None
    phase: journal.Phase | None = None  # None again while training
    end: journal.End | None = None
    steps: list[journal.Step] = field(default_factory=list)
    scores: list[journal.Scored] = field(default_factory=list)
    probes: list[journal.Probed] = field(default_factory=list)
    scoring_s: float = 0.0
    unreadable: int = 0  # lines
    silent_s: float = 0.0

    def add(self, line: journal.Line | None) -> None:
        match line:
            case None:
                self.unreadable += 1
            case journal.Step():
                self.steps.append(line)
                self.phase = None
                if len(self.steps) > KEPT:
                    del self.steps[1::2]
            case journal.Scored():
                self.scores.append(line)
            case journal.Probed():
                self.probes.append(line)
            case journal.Header() | journal.Start() | journal.Phase() | journal.End():
                if isinstance(line, journal.Start) and self.phase:
                    self.scoring_s = max(0.0, line.at_s - self.phase.at_s)
                setattr(self, line.kind, line)

    @property
    def lost(self) -> bool:
        """Whether a run that was training has said nothing for too long."""
        training = self.end is None and self.phase is None and self.steps
        return bool(training) and self.silent_s > SILENT_S + 10 * self.steps[-1].slowest_s + 2 * self.scoring_s

    @property
    def share(self) -> float:
        return self.steps[-1].share if self.steps else 0.0

    @property
    def remaining_s(self) -> float | None:
        return self.steps[-1].timed_s * (1 / self.share - 1) if self.share else None

    @property
    def losses(self) -> list[tuple[float, float]]:
        """(timed seconds, loss) wherever the loss was finite."""
        return [(step.timed_s, step.loss) for step in self.steps if step.loss is not None]

    @property
    def loss(self) -> float | None:
        """The mean of the last few lines, each a mean of its steps."""
        last = [loss for _, loss in self.losses[-SMOOTHED:]]
        return fmean(last) if last else None

    @property
    def bits_per_nat(self) -> float | None:
        """What turns a token's loss into bits per byte, by the validation text's tokens and bytes."""
        return self.start and self.start.tokens / self.start.bytes / log(2)

    @property
    def tokens_per_s(self) -> float | None:
        return self.header.total_batch / self.steps[-1].step_s if self.header and self.steps else None

    @property
    def mfu(self) -> float | None:
        if not (self.header and self.start and self.start.flop_per_s and self.tokens_per_s):
            return None
        return self.tokens_per_s * self.header.flop_per_token / self.start.flop_per_s

    @property
    def disturbed(self) -> str | None:
        """What held the run back so far; None where nothing did that can be seen."""
        told = []
        slow = slow_stretches([step.step_s for step in self.steps])
        if slow:
            worst = max(slow, key=lambda stretch: stretch.ratio)
            last = self.steps[min(worst.stop, len(self.steps)) - 1]
            told.append(f"{worst.ratio:.2f}x slower from {self.steps[worst.start].timed_s:.0f} to {last.timed_s:.0f} s")
        if len(self.probes) > 1:
            ratio = max(probe.flop_per_s for probe in self.probes) / self.probes[-1].flop_per_s
            told += [f"the probe product takes {ratio:.2f}x its best"] if ratio > 1.1 else []
        if self.steps and self.steps[-1].throttled:
            told.append(f"throttled: {self.steps[-1].throttled}")
        return "; ".join(told) or None


class Follower:
    """Call `poll` as often as a new look is wanted."""

    def __init__(self, path: Path):
        self.path = path
        self._restart(None)

    def poll(self) -> View:
        """All that was said until now. A file that shrank or was replaced is read from its beginning again."""
        try:
            found = os.stat(self.path)
            if found.st_ino != self._inode or found.st_size < self._offset:
                self._restart(found.st_ino)
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                content = file.read()
            self.view.silent_s = max(0.0, time.time() - found.st_mtime)
        except OSError:
            return self.view
        self._offset += len(content)
        *whole, self._rest = (self._rest + content).split(b"\n")  # the last one is cut short, or empty
        for line in whole:
            self.view.add(journal.parsed(line))
        if len(self._rest) > LONGEST_LINE:
            self._rest = b""
            self.view.unreadable += 1
        return self.view

    def _restart(self, inode: int | None) -> None:
        self._inode, self._offset, self._rest, self.view = inode, 0, b"", View()


def newest(folder: Path) -> Path | None:
    """The live file written last."""
    return max(files(folder, journal.SUFFIX), key=modified, default=None)


def files(folder: Path, suffix: str) -> list[Path]:
    """In `folder`, in a chip's folder below it, and in a sweep's below that; no deeper, for it is done every while."""
    return [path for depth in ("", "*/", "*/*/") for path in folder.glob(f"{depth}[!.]*{suffix}") if path.is_file()]


def modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # it has just gone
        return 0.0
