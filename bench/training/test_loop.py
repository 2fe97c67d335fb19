"""The loop against a clock that goes as it is told: what is timed, what schedules follow, what ends a run.

`pytest -m fast bench/training/test_loop.py`
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from bench.meter import Meter
from bench.sensors import Counter, Reading
from bench.subject import BitsPerByte
from bench.training import loop
from impl.spec import preset

pytestmark = pytest.mark.fast

RECIPE = preset("tiny")
WATTS = 10.0


class Clock:
    """Stands still between the things that take time."""

    now_s = 0.0

    def passes(self, seconds: float) -> None:
        self.now_s += seconds

    def perf_counter_ns(self) -> int:
        return round(self.now_s * 1e9)


class Told:
    """A trainer whose steps take the seconds, and have the losses, that they are told; keeps what it was asked."""

    def __init__(self, clock: Clock, seconds, losses):
        self.clock = clock
        # A loop that does not end when it should ends soon after, and is seen to have gone on.
        self.seconds, self.losses = chain(seconds, repeat(300.0)), chain(losses, repeat(5.0))
        self.hypers, self.batches = [], []

    def step(self, batches, hyper):
        self.clock.passes(next(self.seconds))
        self.hypers.append(hyper)
        self.batches.append(batches)
        return next(self.losses), 1.0


@contextmanager
def told(seconds, losses=(5.0,) * 99, between_s: float = 0.0, nats: float = 1.0) -> Iterator[tuple]:
    """(trainer, function that runs the loop); scores and probes take `between_s`."""
    clock = Clock()
    trainer = Told(clock, seconds, losses)

    def evaluate():
        clock.passes(between_s)
        return BitsPerByte(nats=nats, bytes=1, tokens=1)

    def run(recipe=RECIPE, pace=None, eval_every=None):
        drawn = ((f"inputs {i}", f"targets {i}", i) for i in range(999))
        return loop.train(
            trainer,
            recipe,
            drawn,
            pace=pace or loop.Pace(300.0),
            show=lambda run: None,
            evaluate=evaluate,
            eval_every=eval_every,
            probe=lambda at_s: clock.passes(between_s),
            meter=Meter(lambda: Reading(at_s=clock.now_s, energy={"GPU": Counter(WATTS * clock.now_s)})),
        )

    with patch.object(loop, "time", clock):
        yield trainer, run


def test_schedules_follow_the_share_of_the_budget_timed_before_each_step():
    with told([30.0, 60.0, 90.0, 60.0, 60.0, 99.0]) as (trainer, run):
        done = run()
    before = [0.0, 0.1, 0.3, 0.6, 0.8]
    assert done.progress == before
    assert trainer.hypers == [RECIPE.schedule.at(step, progress) for step, progress in enumerate(before)]
    assert done.lr == pytest.approx([1, 1, 1, 0.8, 0.4])
    assert [hyper.weight_decay for hyper in trainer.hypers] == pytest.approx([1, 0.9, 0.7, 0.4, 0.2])
    assert [hyper.momentum for hyper in trainer.hypers] == pytest.approx([0.85 + 0.1 * step / 300 for step in range(5)])


def test_every_step_is_timed_and_nothing_else():
    """The first among them, though it compiles; scores and probes in between are not."""
    seconds = [50.0, 10.0, 20.0, 40.0, 180.0]
    with told([*seconds, 99.0], between_s=1000.0) as (_, run):
        done = run(eval_every=2)
    assert (done.step_s, done.timed_s) == (seconds, 300.0)
    assert [evaluated.step for evaluated in done.evals] == [2, 4] and len(done.probes) == 2


def test_energy_is_of_training_alone_and_stands_beside_each_score():
    """A hundred seconds of scores and probes in between cost nothing."""
    with told([60.0] * 5, between_s=100.0) as (_, run):
        done = run(eval_every=2)
    assert [evaluated.joules for evaluated in done.evals] == [WATTS * 120, WATTS * 240]
    assert done.joules == WATTS * done.timed_s == WATTS * 300


def test_a_run_ends_with_the_first_step_that_fills_the_budget():
    with told([200.0, 200.0, 200.0]) as (_, run):
        assert run().timed_s == 400.0


def test_a_step_draws_its_micro_batches_and_has_the_epoch_of_the_last():
    recipe = SimpleNamespace(schedule=RECIPE.schedule, accumulation=lambda: 3)
    with told([150.0, 150.0]) as (trainer, run):
        done = run(recipe)
    assert trainer.batches == [[(f"inputs {i}", f"targets {i}") for i in some] for some in ((0, 1, 2), (3, 4, 5))]
    assert done.epoch == 5


def test_a_replay_follows_the_recorded_progress_whatever_the_clock():
    recorded = (0.0, 0.25, 0.5, 0.75)
    with told([999.0, 1.0, 999.0, 1.0, 1.0]) as (trainer, run):
        done = run(pace=loop.Pace(300.0, recorded))
    assert tuple(done.progress) == recorded
    assert trainer.hypers == [RECIPE.schedule.at(step, progress) for step, progress in enumerate(recorded)]


@pytest.mark.parametrize(
    ("last", "kind", "message"),
    [
        (math.nan, "loss-not-finite", "loss is nan at step 3"),
        (math.inf, "loss-not-finite", "loss is inf at step 3"),
        (100.5, "loss-too-high", "loss 100.5 exceeds 100"),
    ],
    ids=str,
)
def test_a_run_stops_at_the_step_that_lost_it(last, kind, message):
    with told([1.0] * 9, [5.0, 99.0, 100.0, last, 4.0]) as (_, run):
        done = run(eval_every=2)
    assert done.failure is not None
    assert (done.failure.kind, done.failure.step, done.failure.message) == (kind, 3, message)
    assert len(done.step_s) == len(done.loss) == 4 and len(done.evals) == 1


def test_a_score_that_is_not_finite_is_a_failure_too():
    with told([1.0] * 9, nats=math.nan) as (_, run):
        done = run(eval_every=2)
    assert done.failure.message == "the validation text scores nan nats after 2 steps" and not done.evals
