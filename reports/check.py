"""Does a report hold together? Whatever follows from it is computed again: schema, arithmetic, plausibility.

Test with `pytest -m fast -k check`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from impl.flops import flop_per_token
from impl.spec import PRESETS, Recipe, Schedule
from impl.spec.optimizer import count
from reports import derived, peaks
from reports.chips import known_cpu
from reports.record import Record, ReportError, file_name, load
from reports.schema import Probe

ACCEPTED, PENDING, REJECTED = "accepted", "pending", "rejected"
OVERDRAW = 1.2  # boards exceed their limit for moments; the energy counter is within a few percent
COLUMN_TOLERANCE = 1e-6  # columns are stored to nine digits, and the sum of thousands of step times is rounded too

# The validation bytes behind an eval hash: a score over other bytes is another score.
PINNED_BYTES = {
    "de6c1d96f72105aad6fe1df0ccde1b24c1e43abdf2b4a1edf39d6dbce281e1af": 999_144,  # sotu-v1, every byte once
}


@dataclass(frozen=True)
class Finding:
    """`part` is schema, arithmetic or plausibility; `verdict` what this alone would make of the report."""

    part: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """A report's findings; accepted without any, pending where a person must look, else rejected."""

    file: str
    findings: tuple[Finding, ...]

    @property
    def name(self) -> str:
        found = {finding.verdict for finding in self.findings}
        return REJECTED if REJECTED in found else PENDING if PENDING in found else ACCEPTED


def check(path: str | Path) -> Verdict:
    """The verdict on one file; never raises for what the file holds."""
    try:
        record = load(path)
    except ReportError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return Verdict(str(path), (Finding("schema", REJECTED, reason),))
    findings = list(check_record(record))
    name, due = Path(path).name, file_name(record)
    if name != due:
        findings.insert(0, _wrong(f"file name {name!a} does not fit the content, which gives {due}"))
    return Verdict(str(path), tuple(findings))


def check_record(record: Record) -> Iterator[Finding]:
    """What is wrong with a record, apart from its file's name."""
    yield from _recipe(record)
    yield from _timing(record)
    yield from _epochs(record)
    yield from _scores(record)
    yield from _chip(record)
    yield from _energy(record)
    yield from _conformance(record)


def _wrong(reason: str) -> Finding:
    return Finding("arithmetic", REJECTED, reason)


def _implausible(reason: str, verdict: str = REJECTED) -> Finding:
    return Finding("plausibility", verdict, reason)


def _recipe(record: Record) -> Iterator[Finding]:
    """Hashes, sizes and the schedule against this checkout's recipe of that name."""
    identity, run = record.identity, record.run
    if identity.division != "open" and identity.settings:
        yield _wrong(f"division {identity.division!r} with settings {sorted(identity.settings)}; it must be 'open'")
    if identity.division == "fixed" and identity.preset != "fixed":
        yield _wrong(f"division 'fixed' with preset {identity.preset!r}; it must be 'fixed'")
    if identity.division == "tier" and not (identity.preset in PRESETS and PRESETS[identity.preset].ranked):
        yield _wrong(f"division 'tier' with preset {identity.preset!r}, which is not a chip tier's")
    try:
        recipe = derived.recipe(record)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:  # settings are a stranger's text
        yield _implausible(f"this checkout cannot rebuild the recipe: {error}", PENDING)
        return
    known = {which: recipe.hash(which) == getattr(identity.hashes, which) for which in ("recipe", "config")}
    for which in (which for which in known if not known[which]):
        yield _implausible(f"hashes.{which} is not that of this checkout's recipe {identity.recipe!r}", PENDING)
    if known["config"]:
        yield from _sizes(record, recipe)
    if known["recipe"]:
        for step, (lr, progress) in enumerate(zip(run.steps.lr, run.steps.progress, strict=True)):
            if not math.isclose(lr, recipe.schedule.lr(progress), rel_tol=0, abs_tol=_slope(recipe.schedule)):
                due = recipe.schedule.lr(progress)
                yield _wrong(f"steps.lr[{step}]={lr}, but the schedule gives {due:.9g} at progress {progress}")
                break


def _slope(schedule: Schedule) -> float:
    """How far lr may be off where progress is off by COLUMN_TOLERANCE."""
    return COLUMN_TOLERANCE * (1 + max((1 / part for part in (schedule.warmup, schedule.warmdown) if part), default=0))


def _sizes(record: Record, recipe: Recipe) -> Iterator[Finding]:
    run, model = record.run, recipe.model
    if run.depth != model.depth:  # first, because counting parameters walks over every layer
        yield _wrong(f"run.depth={run.depth}, but the recipe's sizes give {model.depth}")
        return
    expected = {
        "total_batch": recipe.data.total_batch,
        "sequence_len": model.sequence_len,
        "parameters": count(model),
        "flop_per_token": flop_per_token(model),
    }
    for name, value in expected.items():
        if getattr(run, name) != value:
            yield _wrong(f"run.{name}={getattr(run, name)}, but the recipe's sizes give {value}")
    if run.total_batch % (run.device_batch * run.sequence_len):
        yield _wrong(f"total_batch={run.total_batch} is no multiple of device_batch x sequence_len")


def _timing(record: Record) -> Iterator[Finding]:
    """The budget, the progress that follows from it, and the seconds around it."""
    run = record.run
    columns, free, spent = run.steps, run.excluded_steps, derived.training_s(record)
    if run.mode == "fixed-budget":
        before = [0.0, *accumulate(0.0 if i < free else s for i, s in enumerate(columns.step_s))]
        last = before[len(columns) - 1] if len(columns) else 0.0
        if last >= run.budget_s * (1 + COLUMN_TOLERANCE):
            yield _wrong(f"training went on after {last:.3f} s of a budget of {run.budget_s} s")
        if run.failure is None and spent < run.budget_s * (1 - COLUMN_TOLERANCE):
            yield _wrong(f"steps.step_s sum to {spent:.3f} s, less than the budget of {run.budget_s} s")
        for step, (noted, seconds) in enumerate(zip(columns.progress, before, strict=False)):
            due = min(seconds / run.budget_s, 1.0)
            if abs(noted - due) > COLUMN_TOLERANCE:
                yield _wrong(f"steps.progress[{step}]={noted}, but the steps before it give {due:.9g}")
                break
    elif any(after < before for before, after in pairwise(columns.progress)):
        yield _wrong("steps.progress falls")
    if run.failure is None and not len(columns):
        yield _wrong("a finished run without a step")
    if run.failure is not None and run.failure.step > len(columns):
        yield _wrong(f"failure.step={run.failure.step}, but only {len(columns)} steps are there")
    if record.result is not None:
        least = math.fsum(columns.step_s) + record.result.eval_s
        if record.result.total_s < least * (1 - COLUMN_TOLERANCE):
            yield _wrong(f"result.total_s={record.result.total_s} is less than training and evaluation, {least:.3f} s")


def _epochs(record: Record) -> Iterator[Finding]:
    """Tokens trained = steps x batch; they cannot exceed the passes begun over the text."""
    run = record.run
    if run.train_tokens is None:
        return
    available = math.ceil(run.epochs) * run.train_tokens * (1 - (run.discarded or 0.0))
    if derived.tokens(record) > available * 1.01:
        yield _wrong(
            f"{len(run.steps)} steps x {run.total_batch} tokens exceed {math.ceil(run.epochs)} passes over "
            f"{run.train_tokens} tokens"
        )


def _scores(record: Record) -> Iterator[Finding]:
    """Every evaluation over the pinned bytes; the final one better than no training at all."""
    pinned = PINNED_BYTES.get(record.identity.hashes.eval)
    result = record.result
    scored = [(f"run.evals[{i}]", e.bytes) for i, e in enumerate(record.run.evals)]
    scored += [("result", result.bytes)] if result else []
    for name, bytes_ in scored:
        if pinned and bytes_ != pinned:
            yield _wrong(f"{name}.bytes={bytes_}, but the text of hashes.eval has {pinned}")
        elif result and bytes_ != result.bytes:
            yield _wrong(f"{name}.bytes={bytes_}, but result.bytes={result.bytes}")
    steps = [e.step for e in record.run.evals]
    if steps != sorted(set(steps)) or any(step > len(record.run.steps) for step in steps):
        yield _wrong(f"run.evals at steps {steps[:5]}... do not rise within the {len(record.run.steps)} steps")
    if result is None:
        return
    score = derived.bits(result.nats, result.bytes)
    if not 0.2 < score < 8:
        yield _implausible(f"{score:.4g} bits per byte; five minutes give between 0.2 and 8")
    if result.nats >= result.initial_nats:
        initial = derived.bits(result.initial_nats, result.bytes)
        yield _implausible(f"{score:.4f} bits per byte is not below the {initial:.4f} of step 0")
    elif result.nats >= result.unigram_nats:
        unigram = derived.bits(result.unigram_nats, result.bytes)
        yield _implausible(f"{score:.4f} bits per byte is not below a unigram model's {unigram:.4f}", PENDING)


def _chip(record: Record) -> Iterator[Finding]:
    """Known chips only are accepted unseen; nothing runs faster than its peak."""
    name, cores = record.hardware.chip, record.hardware.gpu_cores
    if record.software.backend.endswith("-cpu"):
        if not known_cpu(name):
            yield _implausible(f"unknown CPU maker in hardware.chip={name!a}", PENDING)
    elif derived.chip(record) is None:
        yield _implausible(f"unknown chip {name!a} with gpu_cores={cores}; add a row to reports/chips.py", PENDING)
    flop_per_s = (derived.tokens_per_s(record) or 0.0) * record.run.flop_per_token
    speeds = [("training", flop_per_s, derived.peak(record))]
    speeds += [("a probe", p.flop / p.seconds, derived.peak(record, _seen(record, p))) for p in record.state.probes]
    for what, speed, peak in speeds:
        if peak and speed > peak.flop_per_s:
            reason = f"{what} ran at {speed / peak.flop_per_s:.3g} times the chip's {peak.name} peak"
            yield _implausible(reason, REJECTED if peak.certain else PENDING)
    if record.state.ceiling:
        for reason, certain in peaks.impossible(record.state.ceiling, record.hardware, record.software.backend):
            yield _implausible(reason, REJECTED if certain else PENDING)
    share = derived.measured_mfu(record)
    if share and share > 1:
        yield _implausible(f"training ran at {share:.3g} times the best product measured on this machine", PENDING)


def _energy(record: Record) -> Iterator[Finding]:
    """Joules that rise from score to score, at a power that the board may draw."""
    result, scored = record.result, [e for e in record.run.evals if e.joules is not None]
    spent = [e.joules for e in scored if e.joules is not None]
    spent += [result.joules] if result and result.joules else []
    if any(after < before for before, after in pairwise(spent)):
        yield _wrong("joules fall from one score to a later one")
    limit_w, seconds = record.hardware.power_limit_w, math.fsum(record.run.steps.step_s)
    if result and result.joules and limit_w and seconds and record.software.backend.endswith("-cuda"):
        drawn_w = result.joules / seconds
        if drawn_w > OVERDRAW * limit_w:
            yield _implausible(f"training drew {drawn_w:.0f} W, more than the board's limit of {limit_w:.0f} W")


def _seen(record: Record, probe: Probe) -> str:
    """The class of a probe: asked for like the run's own products, it was computed like them."""
    asked = probe.precision
    return record.run.precision_observed or asked if asked == record.run.policy else asked


def _conformance(record: Record) -> Iterator[Finding]:
    """A score counts beside a passing correctness suite of the same versions."""
    found = record.conformance
    if found is None:
        yield _implausible("no conformance record; a score is ranked with a passing one", PENDING)
        return
    if found.failed or not found.passed:
        reason = f"{found.failed} conformance checks failed" if found.failed else "no conformance check passed"
        yield _implausible(f"{reason}; a score is ranked with a passing one", PENDING)
    if found.versions != record.software.frameworks:
        differing = sorted(name for name, _ in found.versions.items() ^ record.software.frameworks.items())
        yield _wrong(f"conformance.versions and software.frameworks differ in {differing[0]!a}")
    if not found.failed and not all(row.passed for row in found.rows):
        yield _wrong("conformance.failed=0, but a row did not pass")
