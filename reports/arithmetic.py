"""What follows from a report's own numbers, computed again: hashes, sizes, schedule, budget, tokens, bytes.

Test with `pytest -m fast -k check`.
"""

import math
from collections.abc import Iterator
from itertools import accumulate, pairwise

from impl.flops import flop_per_token
from impl.spec import PRESETS, Recipe, Schedule
from impl.spec.optimizer import count
from reports import derived
from reports.record import Record
from reports.verdict import PENDING, Finding, implausible, wrong

COLUMN_TOLERANCE = 1e-6  # columns are stored to nine digits, and the sum of thousands of step times is rounded too

# The validation bytes behind an eval hash: a score over other bytes is another score.
PINNED_BYTES = {
    "de6c1d96f72105aad6fe1df0ccde1b24c1e43abdf2b4a1edf39d6dbce281e1af": 999_144,  # sotu-v1, every byte once
}


def findings(record: Record) -> Iterator[Finding]:
    """Where the record contradicts itself, or this checkout's recipe of its name."""
    yield from _recipe(record)
    yield from _timing(record)
    yield from _epochs(record)
    yield from _bytes(record)
    yield from _joules(record)
    yield from _conformance(record)


def _recipe(record: Record) -> Iterator[Finding]:
    """Hashes, sizes and the schedule against this checkout's recipe of that name."""
    identity, run = record.identity, record.run
    if identity.division != "open" and identity.settings:
        yield wrong(f"division {identity.division!r} with settings {sorted(identity.settings)}; it must be 'open'")
    if identity.division == "fixed" and identity.preset != "fixed":
        yield wrong(f"division 'fixed' with preset {identity.preset!r}; it must be 'fixed'")
    if identity.division == "tier" and not (identity.preset in PRESETS and PRESETS[identity.preset].ranked):
        yield wrong(f"division 'tier' with preset {identity.preset!r}, which is not a chip tier's")
    try:
        recipe = derived.recipe(record)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:  # settings are a stranger's text
        yield implausible(f"this checkout cannot rebuild the recipe: {error}", PENDING)
        return
    others = derived.other_hashes(record, recipe)
    for which in others:
        yield implausible(f"hashes.{which} is not that of this checkout's recipe {identity.recipe!r}", PENDING)
    if "config" not in others:
        yield from _sizes(record, recipe)
    if "recipe" not in others:
        slack = _slope(recipe.schedule)
        for step, (lr, progress) in enumerate(zip(run.steps.lr, run.steps.progress, strict=True)):
            if not math.isclose(lr, recipe.schedule.lr(progress), rel_tol=0, abs_tol=slack):
                due = recipe.schedule.lr(progress)
                yield wrong(f"steps.lr[{step}]={lr}, but the schedule gives {due:.9g} at progress {progress}")
                break


def _slope(schedule: Schedule) -> float:
    """How far lr may be off where progress is off by COLUMN_TOLERANCE."""
    return COLUMN_TOLERANCE * (1 + max((1 / part for part in (schedule.warmup, schedule.warmdown) if part), default=0))


def _sizes(record: Record, recipe: Recipe) -> Iterator[Finding]:
    run, model = record.run, recipe.model
    if run.depth != model.depth:  # first, because counting parameters walks over every layer
        yield wrong(f"run.depth={run.depth}, but the recipe's sizes give {model.depth}")
        return
    expected = {
        "total_batch": recipe.data.total_batch,
        "sequence_len": model.sequence_len,
        "parameters": count(model),
        "flop_per_token": flop_per_token(model),
    }
    for name, value in expected.items():
        if getattr(run, name) != value:
            yield wrong(f"run.{name}={getattr(run, name)}, but the recipe's sizes give {value}")
    if run.total_batch % (run.device_batch * run.sequence_len):
        yield wrong(f"total_batch={run.total_batch} is no multiple of device_batch x sequence_len")


def _timing(record: Record) -> Iterator[Finding]:
    """The budget, the progress that follows from it, and the seconds around it."""
    run = record.run
    columns, free, spent = run.steps, run.excluded_steps, derived.training_s(record)
    if run.mode == "fixed-budget":
        before = [0.0, *accumulate(0.0 if i < free else s for i, s in enumerate(columns.step_s))]
        last = before[len(columns) - 1] if len(columns) else 0.0
        if last >= run.budget_s * (1 + COLUMN_TOLERANCE):
            yield wrong(f"training went on after {last:.3f} s of a budget of {run.budget_s} s")
        if run.failure is None and spent < run.budget_s * (1 - COLUMN_TOLERANCE):
            yield wrong(f"steps.step_s sum to {spent:.3f} s, less than the budget of {run.budget_s} s")
        for step, (noted, seconds) in enumerate(zip(columns.progress, before, strict=False)):
            due = min(seconds / run.budget_s, 1.0)
            if abs(noted - due) > COLUMN_TOLERANCE:
                yield wrong(f"steps.progress[{step}]={noted}, but the steps before it give {due:.9g}")
                break
    elif any(after < before for before, after in pairwise(columns.progress)):
        yield wrong("steps.progress falls")
    if run.failure is None and not len(columns):
        yield wrong("a finished run without a step")
    if run.failure is not None and run.failure.step > len(columns):
        yield wrong(f"failure.step={run.failure.step}, but only {len(columns)} steps are there")
    if record.result is not None:
        least = math.fsum(columns.step_s) + record.result.eval_s
        if record.result.total_s < least * (1 - COLUMN_TOLERANCE):
            yield wrong(f"result.total_s={record.result.total_s} is less than training and evaluation, {least:.3f} s")


def _epochs(record: Record) -> Iterator[Finding]:
    """Tokens trained = steps x batch; they cannot exceed the passes begun over the text."""
    run = record.run
    if run.train_tokens is None:
        return
    available = math.ceil(run.epochs) * run.train_tokens * (1 - (run.discarded or 0.0))
    if derived.tokens(record) > available * 1.01:
        yield wrong(
            f"{len(run.steps)} steps x {run.total_batch} tokens exceed {math.ceil(run.epochs)} passes over "
            f"{run.train_tokens} tokens"
        )


def _bytes(record: Record) -> Iterator[Finding]:
    """Every evaluation over the pinned bytes, all cut into as many tokens."""
    pinned = PINNED_BYTES.get(record.identity.hashes.eval)
    result = record.result
    scored = [(f"run.evals[{i}]", e.bytes, e.tokens) for i, e in enumerate(record.run.evals)]
    scored += [("result", result.bytes, result.tokens)] if result else []
    for name, bytes_, tokens in scored:
        if pinned and bytes_ != pinned:
            yield wrong(f"{name}.bytes={bytes_}, but the text of hashes.eval has {pinned}")
        elif result and bytes_ != result.bytes:
            yield wrong(f"{name}.bytes={bytes_}, but result.bytes={result.bytes}")
        if result and tokens != result.tokens:
            yield wrong(f"{name}.tokens={tokens}, but result.tokens={result.tokens}")
    steps = [e.step for e in record.run.evals]
    if steps != sorted(set(steps)) or any(step > len(record.run.steps) for step in steps):
        yield wrong(f"run.evals at steps {steps[:5]}... do not rise within the {len(record.run.steps)} steps")


def _joules(record: Record) -> Iterator[Finding]:
    """Joules rise from score to score."""
    result = record.result
    spent = [e.joules for e in record.run.evals if e.joules is not None]
    spent += [result.joules] if result and result.joules else []
    if any(after < before for before, after in pairwise(spent)):
        yield wrong("joules fall from one score to a later one")


def _conformance(record: Record) -> Iterator[Finding]:
    """The correctness suite of the same versions, whose counts fit its rows."""
    found = record.conformance
    if found is None:
        return
    if found.versions != record.software.frameworks:
        differing = sorted(name for name, _ in found.versions.items() ^ record.software.frameworks.items())
        yield wrong(f"conformance.versions and software.frameworks differ in {differing[0]!a}")
    if not found.failed and not all(row.passed for row in found.rows):
        yield wrong("conformance.failed=0, but a row did not pass")
