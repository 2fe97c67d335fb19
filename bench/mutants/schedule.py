"""Mistakes in the schedules and the loop: what rates follow, what is timed, what ends a run.

`pytest -m meta bench/meta/test_data_mutants.py`
"""

import math
from collections.abc import Callable
from dataclasses import replace

from bench.mutants.checked import mutant
from bench.mutants.packing import CONSTANTS, with_default
from bench.mutants.subject import instead
from bench.training import loop
from bench.training.loop import Pace
from impl.spec import AdamW, Muon, Schedule
from reports import derived


def without_warm_up(lr):
    return lambda self, progress: 1.0 if progress < self.warmup else lr(self, progress)


def cosine(lr):
    def falling(self, progress):
        linear = lr(self, progress)
        return (1 - math.cos(math.pi * linear)) / 2 if progress > self.warmup else linear

    return falling


def down_from_the_start(lr):
    return lambda self, progress: (1 - progress) * lr(self, min(progress, 1 - self.warmdown))


def to_zero(lr):
    return lambda self, progress: lr(replace(self, final_lr=0.0), progress)


def hyper(change: Callable) -> Callable:
    """A patch of `Schedule.at`: `change(schedule, step, progress, what it was)` gives what differs."""

    def wrap(at):
        def changed(self, step, progress):
            was = at(self, step, progress)
            return replace(was, **change(self, step, progress, was))

        return changed

    return wrap


def momentum_by_progress(schedule, step, progress, was):
    return {"momentum": schedule.momentum(round(progress * schedule.momentum_steps))}


def momentum_of_the_next(schedule, step, progress, was):
    return {"momentum": schedule.momentum(step + 1)}


def decay_constant(schedule, step, progress, was):
    return {"weight_decay": 1.0}


def decay_by_rate(schedule, step, progress, was):
    return {"weight_decay": was.lr}


def after_the_step(share):
    """As if the step to come had been timed, at the last one's length."""

    def ahead(self, run):
        return min(share(self, run) + (run.step_s[-1] / self.budget_s if run.step_s else 0), 1.0)

    return ahead


def untimed(steps: int) -> Callable:
    """The first steps count against no budget, as upstream's eleven and a port's one."""

    def wrap(step):
        def taken(run, *rest):
            before = run.timed_s
            step(run, *rest)
            run.timed_s = before if len(run.step_s) <= steps else run.timed_s

        return taken

    return wrap


def score_timed(scored):
    def timed(run, evaluate):
        found = scored(run, evaluate)
        run.timed_s += found.seconds if found else 0
        return found

    return timed


def by_the_clock(progress):
    return lambda self, run: progress(replace(self, replay=None), run)


FALLS = "test_spec.test_upstreams_rate_is_flat_then_falls_to_zero"
FLOOR = "test_spec.test_warm_up_and_a_floor"
MOMENTUM = "test_spec.test_momentum_follows_steps_and_weight_decay_progress"
SHARE = "test_loop.test_schedules_follow_the_share_of_the_budget_timed_before_each_step"
TIMED = "test_loop.test_every_step_is_timed_and_nothing_else"
REPLAY = "test_loop.test_a_replay_follows_the_recorded_progress_whatever_the_clock"
LOST = "test_loop.test_a_run_stops_at_the_step_that_lost_it"
DERIVED = "test_chips.test_derived_numbers"

SCHEDULE_MUTANTS = (
    mutant("no warm-up", FLOOR, Schedule, "lr", without_warm_up),
    mutant("cosine warm-down", FALLS, Schedule, "lr", cosine),
    mutant("rate falls from the start", FALLS, Schedule, "lr", down_from_the_start),
    mutant("no floor of the rate", FLOOR, Schedule, "lr", to_zero),
    mutant("momentum by progress", MOMENTUM, Schedule, "at", hyper(momentum_by_progress)),
    mutant("momentum of the next step", SHARE, Schedule, "momentum", lambda of: lambda self, step: of(self, step + 1)),
    mutant("decay constant", MOMENTUM, Schedule, "at", hyper(decay_constant)),
    mutant("decay follows the rate", MOMENTUM, Schedule, "at", hyper(decay_by_rate)),
    mutant("weight decay 0.1", CONSTANTS, Muon.__init__, "__kwdefaults__", with_default(weight_decay=0.1)),
    mutant("AdamW eps 1e-8", CONSTANTS, AdamW.__init__, "__kwdefaults__", with_default(eps=1e-8)),
    mutant("budget of 600 s", CONSTANTS, Schedule.__init__, "__kwdefaults__", with_default(budget_s=600.0)),
)
LOOP_MUTANTS = (
    mutant("progress after the step", SHARE, Pace, "share", after_the_step),
    mutant("first step untimed", TIMED, loop, "_step", untimed(1)),
    mutant("eleven steps untimed", TIMED, loop, "_step", untimed(11)),
    mutant("scores timed", TIMED, loop, "scored", score_timed),
    mutant("replay by the clock", REPLAY, Pace, "progress", by_the_clock),
    mutant("NaN goes on", LOST, loop, "lost", lambda of: lambda loss, step: None if loss != loss else of(loss, step)),
    mutant("any finite loss goes on", LOST, loop, "LOSS_LIMIT", instead(math.inf)),
    mutant("a loss of 99 stops", LOST, loop, "LOSS_LIMIT", instead(98.0)),
    mutant("nats for bits", DERIVED, derived, "log", instead(lambda x: 1.0)),
    mutant("per bit, not per byte", DERIVED, derived, "bits", lambda of: lambda nats, bytes_: of(nats, 8 * bytes_)),
)
