"""From options to a score: data, warm-up, timed training, evaluation, and the record of all of it.

`pytest -m slow`
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from bench import ceiling, fingerprint, hardware, identity, memory, sensors
from bench.evaluation import evaluate
from bench.measure import probe_gemm, warm_up
from bench.meter import Meter
from bench.ours import Ours
from bench.profiles import PROFILES, Restated, restate
from bench.training.correctness import conform
from bench.training.display import Display, forecast
from bench.training.journal import Journal
from bench.training.loop import Pace, Run, scored, train
from bench.training.order import Order
from impl import backend as backends
from impl.data import progress as preparation
from impl.data.batches import Batches, batches
from impl.data.evaluation import unigram_bpb, windows
from impl.data.prepare import prepare
from impl.data.prepared import Prepared
from impl.flops import flop_per_token
from impl.spec import PRESETS, Recipe
from impl.spec.optimizer import count
from reports import peaks, schema
from reports.record import Record, column, load, require_room


class Unscorable(ValueError):
    """The untrained model has no finite score, so that there is nothing to compare with."""


@dataclass(frozen=True)
class Job:
    """An order resolved against this machine."""

    order: Order
    backend: backends.Backend
    machine: schema.Hardware
    preset: str
    why: str
    recipe: Recipe
    policy: str
    pace: Pace

    @classmethod
    def of(cls, order: Order) -> "Job":
        """Raises BackendError or ValueError, in one line, for what cannot be had."""
        backend = backends.load(order.backend)
        machine = hardware.detect(backend.name)
        name, why = (order.preset, "as asked") if order.preset else hardware.suggest_preset(machine, backend.name)
        recipe = order.build(name)
        policy = order.precision or PRESETS[name].precision
        policy = backend.default_policy() if policy == "auto" else policy
        if "device_batch" not in order.settings:
            recipe, why = memory.chosen(recipe, why, backend.name, policy, machine)
        for profile in order.profiles:
            PROFILES[profile].rows(recipe)  # what it cannot score is told before the training
        return cls(order, backend, machine, name, why, recipe, policy, _pace(order, recipe))

    @property
    def division(self) -> str:
        if self.order.settings or not PRESETS[self.preset].ranked:
            return "open"
        return "fixed" if self.preset == "fixed" else "tier"


def _pace(order: Order, recipe: Recipe) -> Pace:
    """By the clock, or along the report that --replay names. Raises ValueError where it is of another recipe."""
    if order.replay is None:
        return Pace(recipe.schedule.budget_s)
    recorded = load(order.replay)
    for which in ("recipe", "config"):
        if getattr(recorded.identity.hashes, which) != recipe.hash(which):
            told = f"--preset {recorded.identity.preset} --budget-s {recorded.run.budget_s:g}"
            told += "".join(f" --set {key}={value}" for key, value in recorded.identity.settings.items())
            raise ValueError(f"--replay {order.replay}: its {which} is not the one asked for; try {told}")
    if not recorded.run.steps:
        raise ValueError(f"--replay {order.replay}: it holds no step; name the report of a run that trained")
    return Pace(recipe.schedule.budget_s, recorded.run.steps.progress)


def run(job: Job, console: Console, journal: Journal | None = None) -> tuple[Record, Callable[[], list[Restated]]]:
    """Do the whole job: its record, and what scores it by the profiles asked for, which may take longer than the job.

    Raises ReportError, before the training, where its steps would be more than a report holds.
    The record of a failed run has no result but every step until then.
    """
    start_s = time.monotonic()
    recipe, order, journal = job.recipe, job.order, journal or Journal()
    with preparation.shown() as report:
        prepared = prepare(order.data, recipe.model.vocab_size, recipe.data, progress=report)
    journal.begin(job, identity.of_run(order, job, prepared))
    journal.phase("checking against the oracle")
    conformance = conform(job, console)
    console.print("looking for what this machine does at best")
    journal.phase("looking for what this machine does at best")
    found = ceiling.in_a_child(job.backend, job.machine)
    subject = Ours(job.backend)
    trainer = subject.trainer(recipe, subject.init(recipe, order.seed), job.policy, compiled=True)
    scoring = windows(prepared, recipe.model.sequence_len)
    precision = seen(subject, job.policy, console)
    console.print(f"warming up: {job.backend.name}, preset {job.preset} ({job.why}), {job.policy}")
    journal.phase("warming up")
    warmup, compile_s = warm(trainer, recipe)
    step_s = (warmup.seconds - compile_s) / warmup.steps
    if job.pace.replay is None:
        require_room(step_s, job.pace.budget_s)
    probes = [probed(job, "before", 0.0)]

    def nats(inputs, targets):
        return job.backend.numpy(trainer.nats(inputs, targets))

    def score():
        return evaluate(trainer.nats, scoring, recipe.data.device_batch, job.backend.numpy)

    console.print(f"warm after {warmup.seconds:.1f} s ({compile_s:.1f} s of compiling); scoring the start")
    if often := forecast(recipe, job.pace, step_s, prepared.tokens("train")):
        console.print(often, soft_wrap=True)
    journal.phase("scoring the start")
    initial = scored(Run(), score)
    if initial is None:
        raise Unscorable(f"the untrained model's score is not finite with --set {order.settings}; take values back")
    job.backend.reset_peak_memory()
    source = batches(prepared, "train", recipe.data.device_batch, recipe.model.sequence_len, recipe.data)
    tokens_per_byte = initial.tokens / initial.bytes
    published = peaks.published(job.machine, job.backend.name, precision)
    peak = peaks.denominator(published, peaks.measured(found, probes, job.policy))
    meter = Meter(lambda: sensors.read(job.backend.name))
    journal.start(initial, peak)

    def told(so_far: Run) -> None:
        show(so_far)
        throttled = meter.throttled if so_far.probes else None  # nothing was read before the first
        journal.step(so_far, job.pace.share(so_far), job.backend.peak_memory_bytes, throttled)

    with (
        Display(recipe, job.pace, tokens_per_byte, peak, console) as show,
        closing(subject.prefetch(source, recipe.accumulation())) as ahead,
    ):
        measured = train(
            trainer,
            recipe,
            ahead,
            pace=job.pace,
            show=told,
            evaluate=score,
            eval_every=order.eval_every,
            probe=lambda at_s: probed(job, "during", at_s),
            meter=meter,
        )
    journal.phase("scoring the end")
    probes += [*measured.probes, probed(job, "after", measured.timed_s)]
    final = None if measured.failure else scored(measured, score)
    result = final and schema.Result(
        nats=final.nats,
        bytes=final.bytes,
        tokens=final.tokens,
        initial_nats=initial.nats,
        unigram_nats=unigram_bpb(prepared) * float(np.log(2)) * final.bytes,
        eval_s=final.seconds,
        total_s=time.monotonic() - start_s,
        peak_memory_bytes=job.backend.peak_memory_bytes(),
        peak_memory_method=job.backend.memory_method,
        joules=measured.joules or None,
        joules_method=meter.method,
    )
    record = Record(
        identity=identity.of_run(order, job, prepared),
        hardware=job.machine,
        software=identity.software(job.backend, trainer.compiled),
        state=identity.state(
            probes, ceiling=found, background=meter.background, throttled=meter.throttled, thermal=meter.thermal
        ),
        run=_run_section(job, precision, measured, warmup, compile_s, prepared, source),
        result=result,
        conformance=conformance,
        consent=schema.Consent(),
    )
    asked = [PROFILES[name] for name in order.profiles if final]
    return record, lambda: restate(nats, prepared, recipe, measured.step_s, job.machine, asked)


def warm(trainer, recipe: Recipe) -> tuple[schema.Warmup, float]:
    """Steps on random tokens until they stop getting faster; afterwards the trainer is as it was."""
    before = trainer.state()
    rng = np.random.default_rng(0)
    shape = (recipe.accumulation(), 2, recipe.data.device_batch, recipe.model.sequence_len)
    dummy = [tuple(micro) for micro in rng.integers(0, recipe.model.vocab_size, shape)]
    measured = warm_up(lambda: trainer.step(dummy, recipe.schedule.at(0, 0.0)))
    trainer.load(before)
    return measured


def probed(job: Job, when: str, at_s: float) -> schema.Probe:
    """The fixed product after `at_s` seconds of training, and what the sensors say right behind it."""
    probe, reading = probe_gemm(job.backend, job.policy, when), sensors.read(job.backend.name)
    said = {name: getattr(reading, name) for name in ("temperature_c", "clock_mhz", "power_w")}
    known = {name: float(value) for name, value in said.items() if value is not None}
    return schema.Probe(**{**probe.model_dump(), **known, "at_s": at_s})


def seen(subject: Any, policy: str, console: Console) -> str:
    """The class that products are computed in; says so where any part of a step is not in what was asked for."""
    classes = fingerprint.observed(subject, policy)
    if set(classes.values()) != {policy}:
        console.print(f"asked for {policy}, but seen: " + ", ".join(f"{k} {v}" for k, v in classes.items()))
    return classes["gemm"]


def _run_section(
    job: Job, precision: str, run: Run, warmup, compile_s: float, prepared: Prepared, source: Batches
) -> schema.Run:
    recipe, packed = job.recipe, source.packed
    train_tokens = prepared.tokens("train")
    return schema.Run.model_validate(
        {
            "seed": job.order.seed,
            "policy": job.policy,
            "precision_observed": precision,
            "mode": "fixed-budget" if job.pace.replay is None else "fixed-tokens",
            "budget_s": recipe.schedule.budget_s,
            "device_batch": recipe.data.device_batch,
            "total_batch": recipe.data.total_batch,
            "sequence_len": recipe.model.sequence_len,
            "depth": recipe.model.depth,
            "parameters": count(recipe.model),
            "flop_per_token": flop_per_token(recipe.model),
            "warmup": warmup,
            "compile_s": compile_s,
            "excluded_steps": 0,
            "steps": {name: column(getattr(run, name)) for name in schema.Steps.model_fields},
            "evals": tuple(run.evals),
            "epochs": (packed.emitted + packed.discarded) / train_tokens,
            "train_tokens": train_tokens,
            "discarded": packed.discarded_fraction,
            "failure": run.failure,
        }
    )
