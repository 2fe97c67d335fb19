"""What a training program printed at its end: the seeds' summary block, ours, or parameter-golf's last lines.

Test with `pytest -m meta bench/meta/test_judge.py`.
"""

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from reports import derived
from reports.judge.attempt import Attempt
from reports.record import Record, load
from reports.standing import EQUAL_BUDGET, SHOWN

READ = 4 * 2**20  # bytes at the end of a log
TAIL = 12  # lines shown after a crash
LARGEST = 1e18  # of any number printed
NO_SCORE = 100  # bits per byte: random guesses among a million tokens are 20
SUMMARY = re.compile(
    r"(val_bpb|peak_vram_mb|mfu_percent|total_tokens_M|training_seconds|num_steps|tokens_per_s|avg_watts"
    r"|joules_per_token|total_energy_j|total_energy_joules):\s*(\S+)"
)
ROUNDTRIP = re.compile(r"final_[\w+]*roundtrip(?:_exact)? .*\bval_bpb:(\S+)")  # quantised, as parameter-golf is scored
GOLF_MEMORY = re.compile(r"peak memory allocated: (\d+) MiB")
GOLF_STEP = re.compile(r"step:(\d+)/\d+ .*\btrain_time:(\d+)ms")
RULES = re.compile(r"compare_with:\s+scores of equal recipe (\w+), data (\w+), eval (\w+)")
CHIP = re.compile(r"(?:chip|gpu_name):\s+(\S.*)")
NO_MEMORY = re.compile(
    r"out of memory|outofmemory|memoryerror|cannot allocate memory|insufficient memory", re.IGNORECASE
)


@dataclass(frozen=True)
class Outcome:
    """One run: `crash` says why it has no score. Every other number is None where it was not printed."""

    seed: int | None
    crash: str | None
    val_bpb: float | None = None
    memory_mb: float | None = None
    tokens_per_s: float | None = None
    mfu_percent: float | None = None
    steps: int | None = None
    watts: float | None = None
    joules_per_token: float | None = None
    joules: float | None = None
    chip: str | None = None
    rules: tuple[str, ...] | None = None  # our own summary names the hashes of recipe, data and eval
    tail: tuple[str, ...] = ()


def of_attempt(done: Attempt) -> Outcome:
    """What a run of the command came to."""
    lines = _lines(done.log)
    found = of_lines(lines, done.seed)
    text = "\n".join(lines[-200:])
    reason = found.crash
    if done.killed:
        reason = f"killed after {done.wall_s:.0f} s"
    elif done.status != 0:
        reason = "out of memory" if NO_MEMORY.search(text) else _ended(done.status)
    return found if reason is None else Outcome(done.seed, reason, chip=found.chip, tail=tuple(lines[-TAIL:]))


def of_file(path: Path) -> Outcome:
    """A run that is already there: a report, or a log. Raises ReportError for a .json that is no report."""
    return of_record(load(path)) if path.suffix == ".json" else of_lines(_lines(path), None)


def of_lines(lines: list[str], seed: int | None) -> Outcome:
    """The last of each key counts: evaluations in between print them too."""
    values: dict[str, float | None] = {}
    rules = chip = None
    for line in lines:
        if found := SUMMARY.match(line):
            values[found[1]] = _number(found[2])
        elif found := ROUNDTRIP.match(line):
            values["val_bpb"] = _number(found[1])
        elif found := GOLF_MEMORY.match(line):
            values["peak_vram_mb"] = float(found[1])
        elif found := GOLF_STEP.match(line):
            values["num_steps"], values["training_seconds"] = float(found[1]), float(found[2]) / 1000
        elif found := RULES.match(line):
            rules = found.groups()
        elif found := CHIP.match(line):
            chip = found[1].strip()
    score = values.get("val_bpb")
    if "val_bpb" not in values:
        return Outcome(seed, "no val_bpb was printed", chip=chip, tail=tuple(lines[-TAIL:]))
    if score is None or not 0 < score < NO_SCORE:  # false of nan, too
        return Outcome(seed, f"val_bpb={score} is no score", chip=chip, tail=tuple(lines[-TAIL:]))
    known = {name: value for name, value in values.items() if value is not None and 0 <= value < LARGEST}
    steps, tokens, seconds = (known.get(name) for name in ("num_steps", "total_tokens_M", "training_seconds"))
    return Outcome(
        seed,
        None,
        val_bpb=score,
        memory_mb=known.get("peak_vram_mb"),
        tokens_per_s=known.get("tokens_per_s", 1e6 * tokens / seconds if tokens and seconds else None),
        mfu_percent=known.get("mfu_percent"),
        steps=None if steps is None else int(steps),
        watts=known.get("avg_watts"),
        joules_per_token=known.get("joules_per_token"),
        joules=known.get("total_energy_j", known.get("total_energy_joules")),
        chip=chip,
        rules=rules,
    )


def of_record(record: Record) -> Outcome:
    """The same of a report."""
    run, result = record.run, record.result
    if run.failure or result is None:
        return Outcome(run.seed, run.failure.kind if run.failure else "no result")
    share = derived.mfu(record)
    return Outcome(
        run.seed,
        None,
        val_bpb=derived.bits_per_byte(record),
        memory_mb=result.peak_memory_bytes and result.peak_memory_bytes / 2**20,
        tokens_per_s=derived.tokens_per_s(record),
        mfu_percent=None if share is None else 100 * share,
        steps=len(run.steps),
        joules_per_token=derived.joules_per_token(record),
        joules=result.joules,
        chip=record.hardware.chip,
        rules=tuple(getattr(record.identity.hashes, name)[:SHOWN] for name in EQUAL_BUDGET),
    )


def _lines(path: Path) -> list[str]:
    """Of the log's end; a carriage return ends a line, as progress bars use it. Control characters are escaped."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - READ))
        text = file.read(READ).decode("utf-8", "replace")
    lines = re.split(r"[\r\n]+", text)
    return ["".join(c if c.isprintable() else ascii(c)[1:-1] for c in line[:2000]) for line in lines if line.strip()]


def _number(text: str) -> float | None:
    """None for "n/a"; what is not a number, such as nan, stays what it says."""
    try:
        return float(text.rstrip("%,"))
    except ValueError:
        return None


def _ended(status: int) -> str:
    if status > 0:
        return f"exit status {status}"
    with_name = signal.Signals(-status).name if -status in signal.valid_signals() else str(-status)
    return f"ended by {with_name}{', as where memory runs out' if -status == signal.SIGKILL else ''}"
