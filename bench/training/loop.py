"""Train for a budget of timed seconds, or along a recorded run. Every trained step is timed; nothing else counts.

`pytest -m slow --preset tiny --budget-s 10`
"""

import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.meter import Meter
from bench.subject import BitsPerByte
from impl.spec import Recipe
from reports.record import rounded
from reports.schema import Eval, Failure, Probe

LOSS_LIMIT = 100.0  # upstream's: beyond it a run never comes back
COLLECT_EVERY_STEPS = 5000  # Python's garbage collector stalls steps, so it runs only then
PROBE_EVERY_S = 60.0


@dataclass
class Run:
    """One list entry a step; `timed_s` is their sum so far."""

    step_s: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    grad_norm: list[float] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)
    evals: list[Eval] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    timed_s: float = 0.0
    joules: float | None = None  # until now, None where no counter is read
    epoch: int = 1
    failure: Failure | None = None


@dataclass(frozen=True)
class Pace:
    """The schedule's progress at each step: by the clock, or as another run had it, so that timing plays no part."""

    budget_s: float
    replay: tuple[float, ...] | None = None

    def share(self, run: Run) -> float:
        """How much of the run is done, in [0, 1]."""
        if self.replay is None:
            return min(run.timed_s / self.budget_s, 1.0)
        return len(run.step_s) / len(self.replay)

    def steps(self, step_s: float) -> float:
        """How many steps the run will have, where each takes so long."""
        return self.budget_s / step_s if self.replay is None else len(self.replay)

    def progress(self, run: Run) -> float:
        """What the schedules of the coming step follow, to the digits that a report keeps: a replay follows the same.

        Unrounded, a float32 rate differs from the replay's in its last bit every few steps.
        """
        return rounded(self.share(run)) if self.replay is None else self.replay[len(run.step_s)]


def train(
    trainer,
    recipe: Recipe,
    batches: Iterator,
    *,
    pace: Pace,
    show: Callable[[Run], None],
    evaluate: Callable[[], BitsPerByte],
    eval_every: int | None,
    probe: Callable[[float], Probe],
    meter: Meter,
) -> Run:
    """Step until `pace` says that the run is done. `batches` yields (inputs, targets, epoch) on the device.

    `evaluate`, and `probe` of the seconds timed so far, run between steps, outside the budget, the meter standing
    still. A loss that is not finite or above 100, or a score that is not finite, ends the run with a failure; its steps
    are kept.
    """
    run, probe_at_s = Run(), PROBE_EVERY_S
    with _without_garbage_collection() as collect, meter:
        while pace.share(run) < 1 and run.failure is None:
            _step(run, trainer, recipe, batches, pace.progress(run))
            show(run)
            collect(len(run.step_s))
            if run.timed_s >= probe_at_s and pace.share(run) < 1:
                with meter.paused():
                    run.probes.append(probe(run.timed_s))
                probe_at_s += PROBE_EVERY_S
            if eval_every and len(run.step_s) % eval_every == 0 and run.failure is None:
                with meter.paused():
                    run.joules = meter.joules
                    run.evals += filter(None, [scored(run, evaluate)])
    run.joules = meter.joules
    return run


def _step(run: Run, trainer, recipe: Recipe, batches: Iterator, progress: float) -> None:
    step = len(run.step_s)
    hyper = recipe.schedule.at(step, progress)
    start_ns = time.perf_counter_ns()
    drawn = [next(batches) for _ in range(recipe.accumulation())]
    loss, grad_norm = trainer.step([(inputs, targets) for inputs, targets, _ in drawn], hyper)
    step_s = (time.perf_counter_ns() - start_ns) / 1e9
    run.timed_s += step_s
    run.epoch = drawn[-1][2]
    row = {"step_s": step_s, "loss": loss, "lr": hyper.lr, "grad_norm": grad_norm, "progress": progress}
    for name, value in row.items():
        getattr(run, name).append(value)
    run.failure = lost(loss, step)


def lost(loss: float, step: int) -> Failure | None:
    """Why a run must end at this loss, or None. Every comparison with NaN is false: it needs asking for by itself."""
    if not math.isfinite(loss):
        return Failure(kind="loss-not-finite", step=step, message=f"loss is {loss} at step {step}")
    if loss > LOSS_LIMIT:
        return Failure(kind="loss-too-high", step=step, message=f"loss {loss:.4g} exceeds {LOSS_LIMIT:g}")
    return None


def scored(run: Run, evaluate: Callable[[], BitsPerByte]) -> Eval | None:
    """The whole validation text after the run's steps; None, and the run a failure, where the score is not finite."""
    step, start_ns = len(run.step_s), time.perf_counter_ns()
    score = evaluate()
    elapsed_s = (time.perf_counter_ns() - start_ns) / 1e9
    if not math.isfinite(score.nats):
        message = f"the validation text scores {score.nats} nats after {step} steps"
        run.failure = Failure(kind="loss-not-finite", step=step, message=message)
        return None
    return Eval(
        step=step, nats=score.nats, bytes=score.bytes, tokens=score.tokens, seconds=elapsed_s, joules=run.joules or None
    )


class _without_garbage_collection:
    """Freeze what is alive, collect only when told; put everything back at the end."""

    def __enter__(self):
        gc.collect()
        gc.freeze()
        gc.disable()
        return lambda step: gc.collect() if step % COLLECT_EVERY_STEPS == 0 else None

    def __exit__(self, *_):
        gc.enable()
        gc.unfreeze()
