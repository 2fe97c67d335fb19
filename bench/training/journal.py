"""A run's own live file: one JSON line at a time, appended beside the reports, readable whatever ends the run.

`bench.watch` reads it from another process. Test with `pytest -m meta bench/meta/test_journal.py`.
"""

import math
import os
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from bench.training.loop import Run
from impl.flops import flop_per_token
from impl.spec.optimizer import count as parameters
from reports.chips import Peak
from reports.privacy import private_strings, redact
from reports.record import Record, chip_slug, rounded
from reports.schema import Backend, Eval, Hashes
from reports.section import Count, Fraction, Positive, Precision, Second, Seconds, Section, Size

SUFFIX = ".live.jsonl"
EVERY_S = 1.0  # a line costs some 0.2 ms between two steps, whose caches it finds full
DIGITS = 6
LONGEST = 1000  # characters of text, as in a report


class Line(Section):
    """What every line has: seconds since the run's first one."""

    at_s: Seconds


class Header(Line):
    """What is run. `data` is the last part of a path: folders above it may name a person."""

    kind: Literal["header"] = "header"
    started_utc: Second
    chip: str
    backend: Backend
    policy: Precision
    recipe: str
    preset: str
    division: str
    settings: dict[str, str]
    hashes: Hashes
    data: str
    seed: Count
    budget_s: Seconds
    replayed_steps: Positive | None
    depth: Positive
    parameters: Positive
    total_batch: Positive  # tokens in a step
    flop_per_token: Positive


class Phase(Line):
    """What the run does now, where that is not training."""

    kind: Literal["phase"] = "phase"
    doing: str


class Start(Line):
    """The first trained step comes next. MFU is a share of `flop_per_s`, where a peak is known."""

    kind: Literal["start"] = "start"
    nats: Size
    bytes: Positive
    tokens: Positive
    peak: str | None
    flop_per_s: Annotated[float, Field(gt=0, le=1e30)] | None


class Step(Line):
    """After `step` steps; loss and seconds are means over those since the line before, null where not finite."""

    kind: Literal["step"] = "step"
    step: Positive
    timed_s: Seconds
    share: Fraction
    loss: Size | None
    step_s: Annotated[float, Field(gt=0, le=1e8)]
    slowest_s: Annotated[float, Field(gt=0, le=1e8)]
    lr: Size
    grad_norm: Size | None
    epoch: Count
    memory_bytes: Positive | None
    throttled: str | None  # as a report's state has it, up to the last probe


class Scored(Line):
    """The validation text, after `step` steps."""

    kind: Literal["scored"] = "scored"
    step: Count
    nats: Size
    bytes: Positive


class Probed(Line):
    """The fixed product, which tells heat from work."""

    kind: Literal["probed"] = "probed"
    flop_per_s: Annotated[float, Field(gt=0, le=1e30)]


class End(Line):
    """The last line of a run that ended by itself: its report's name, or why there is none, or why it has no score."""

    kind: Literal["end"] = "end"
    report: str | None
    failure: str | None


AnyLine = Annotated[Header | Phase | Start | Step | Scored | Probed | End, Field(discriminator="kind")]
_LINES = TypeAdapter(AnyLine)


def parsed(line: bytes) -> Line | None:
    """The line, or None for one that no journal wrote."""
    try:
        return _LINES.validate_json(line)
    except ValidationError:
        return None


class Journal:
    """A context around a run; what leaves it by an exception is the run's end. Without a folder it writes nothing.

    No full disk or lost folder ends the run: the journal falls silent instead.
    """

    def __init__(self, folder: str | Path | None = None):
        self.folder, self._file, self._ended = folder, None, False
        self._private: tuple[str, ...] = ()
        self._start_s, self._due_s = time.monotonic(), 0.0
        self._written = {"step": 0, "evals": 0, "probes": 0}

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, _, error: BaseException | None, __) -> None:
        if error is not None and not self._ended:
            reason = str(error).strip() or "no reason given"
            self._write(End, report=None, failure=f"{type(error).__name__}: {reason.splitlines()[0]}")
        if self._file is not None:
            self._file.close()
            self._file = None

    def begin(self, job, identity) -> None:
        """Open the file and say what `job` (see bench.training.score) is, known by its report's `identity`."""
        if self.folder is None:
            return
        self._private = private_strings()
        started = identity.created_utc
        name = f"{started[:10]}-{started[11:19].replace(':', '')}-{job.backend.name}-seed{job.order.seed}"
        self._file = _opened(Path(self.folder) / chip_slug(job.machine.chip), name)
        recipe, replay = job.recipe, job.pace.replay
        self._write(
            Header,
            started_utc=started,
            chip=job.machine.chip,
            backend=job.backend.name,
            policy=job.policy,
            recipe=identity.recipe,
            preset=job.preset,
            division=identity.division,
            settings=identity.settings,
            hashes=identity.hashes,
            data=Path(job.order.data).name,
            seed=job.order.seed,
            budget_s=recipe.schedule.budget_s,
            replayed_steps=len(replay) if replay else None,
            depth=recipe.model.depth,
            parameters=parameters(recipe.model),
            total_batch=recipe.data.total_batch,
            flop_per_token=flop_per_token(recipe.model),
        )

    def phase(self, doing: str) -> None:
        self._write(Phase, doing=doing)

    def start(self, initial: Eval, peak: Peak | None) -> None:
        """`initial` is the untrained model's score."""
        told = {"peak": peak and peak.name, "flop_per_s": peak and peak.flop_per_s}
        self._write(Start, nats=initial.nats, bytes=initial.bytes, tokens=initial.tokens, **told)

    def step(self, run: Run, share: float, memory: Callable[[], int | None], throttled: str | None) -> None:
        """Called after each step, outside its time; writes every second, whatever a step takes, and at the end.

        `share` is how much of the run is done. `memory` is read only where a line is written.
        """
        done = share >= 1 or run.failure is not None
        if self._file is None or (time.monotonic() < self._due_s and not done):
            return
        self._due_s = time.monotonic() + EVERY_S
        first, self._written["step"] = self._written["step"], len(run.step_s)
        loss, step_s = run.loss[first:], run.step_s[first:]
        self._write(
            Step,
            step=len(run.step_s),
            timed_s=run.timed_s,
            share=rounded(share, DIGITS),
            loss=_finite(math.fsum(loss) / len(loss)),
            step_s=rounded(math.fsum(step_s) / len(step_s), DIGITS),
            slowest_s=rounded(max(step_s), DIGITS),
            lr=rounded(run.lr[-1], DIGITS),
            grad_norm=_finite(run.grad_norm[-1]),
            epoch=run.epoch,
            memory_bytes=memory(),
            throttled=throttled,
        )
        for found in self._new(run, "evals"):
            self._write(Scored, step=found.step, nats=found.nats, bytes=found.bytes)
        for found in self._new(run, "probes"):
            self._write(Probed, flop_per_s=rounded(found.flop / found.seconds, DIGITS))

    def end(self, record: Record, report: Path) -> None:
        """The run has left `report`."""
        result, failure = record.result, record.run.failure
        if result:
            self._write(Scored, step=len(record.run.steps), nats=result.nats, bytes=result.bytes)
        self._write(End, report=report.name, failure=failure and failure.message)
        self._ended = True

    def _new(self, run: Run, name: str) -> list:
        found = getattr(run, name)[self._written[name] :]
        self._written[name] += len(found)
        return found

    def _write(self, kind: type[Line], **values) -> None:
        """One line by one call, unbuffered: a kill leaves it whole or, at worst, cut short."""
        if self._file is None:
            return
        values = {name: self._public(value) for name, value in values.items()}
        line = kind(at_s=rounded(time.monotonic() - self._start_s, DIGITS), **values)
        content = line.model_dump_json().encode() + b"\n"
        try:
            whole = self._file.write(content) == len(content)
        except OSError:
            whole = False
        if not whole:
            self._file.close()
            self._file = None

    def _public(self, value):
        """Text without what is private to this machine."""
        if isinstance(value, str):
            return redact(value, self._private)[:LONGEST]
        return {key: self._public(text) for key, text in value.items()} if isinstance(value, dict) else value


def _opened(folder: Path, name: str):
    """A new file; None where none can be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            path = folder / f"{name}{f'-{number}' if number > 1 else ''}{SUFFIX}"
            try:
                return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644), "wb", 0)
            except FileExistsError:  # of another run that started within the same second
                continue
    except OSError:
        return None


def _finite(value: float) -> float | None:
    return rounded(value, DIGITS) if math.isfinite(value) and value < 1e38 else None
