"""Whole runs of the shipped step against float64, inside the band that an ULP at the start opens; and replayed runs.

`pytest -m fast bench/conformance/test_trajectory.py`, longer with `-m deep`
"""

from types import SimpleNamespace

import numpy as np
import pytest

from bench import trajectory
from bench.check import Disagreement
from bench.meter import Meter
from bench.sensors import Reading
from bench.strategies import params_of, recipe_of
from bench.subject import load
from bench.training import loop
from bench.training.loop import Pace, Run
from bench.trajectory import Course
from impl.init import init
from impl.spec import Model

STEPS, REPLAYED_STEPS, LONG_STEPS = 40, 24, 200
MODEL = Model(sequence_len=24, vocab_size=48, depth=2, width=16, heads=2, kv_heads=1, gate_channels=6)
# Cautious decay asks for signs. Where one hangs on an ULP, runs part by a jump that few of the envelope's runs share:
# of 26 seeds of a model twice as wide, a correct float32 run was up to 1200 bands away. In this course no sign does:
# eight times the nudge moves it eight times as far, see `test_the_course_is_calm`.
CALM = 29
CLOCK = 14  # likewise of the durations below


def text(model: Model, seed: int, rows: int = 2):  # 2 x (rows, T)
    """Tokens that follow a rule with one coin toss each, so that there is something to learn; a few targets are -1."""
    rng = np.random.default_rng(seed)
    x = np.empty((rows, model.sequence_len + 1), np.int64)
    x[:, 0] = rng.integers(0, model.vocab_size, rows)
    for t in range(model.sequence_len):
        x[:, t + 1] = (5 * x[:, t] + 3 + rng.integers(0, 2, rows)) % model.vocab_size
    targets = x[:, 1:].copy()
    targets[rng.random(targets.shape) < 0.1] = -1
    targets[0, 0] = 1  # at least one is scored
    return x[:, :-1], targets


def course(model: Model, seed: int, params, progress, accumulation: int = 2, rows: int = 2) -> Course:
    """The default recipe at this size along `progress`."""
    steps = [
        [text(model, 10_000 * seed + accumulation * i + j, rows) for j in range(accumulation)]
        for i in range(len(progress))
    ]
    return Course(recipe_of(model, accumulation, rows), params, steps, tuple(progress))


def calm() -> Course:
    """From parameters as after some training, over the whole schedule."""
    return course(MODEL, CALM, params_of(MODEL, CALM), np.linspace(0, 0.99, STEPS).tolist())


@pytest.mark.fast
def test_training_stays_in_the_band(subject, policy):
    trajectory.hold(subject, calm(), policy, "calm course")


def irregular() -> SimpleNamespace:
    """A clock that reads one second after about REPLAYED_STEPS steps of uneven length, one of them a stall."""
    durations = np.random.default_rng(CLOCK).lognormal(0, 0.3, REPLAYED_STEPS)
    durations[REPLAYED_STEPS // 4] *= 4
    ends_ns = (1.05e9 * np.cumsum(durations) / durations.sum()).astype(int).tolist()
    readings = iter([reading for start, end in zip([0, *ends_ns], ends_ns, strict=False) for reading in (start, end)])
    return SimpleNamespace(perf_counter_ns=lambda: next(readings))


def looped(trainer, pace: Pace) -> Run:
    """The benchmark's own loop over the calm course's batches."""
    drawn = iter([(*micro_batch, 1) for step in calm().steps for micro_batch in step])
    recipe = calm().recipe
    return loop.train(
        trainer,
        recipe,
        drawn,
        pace=pace,
        show=lambda run: None,
        evaluate=None,
        eval_every=None,
        probe=None,
        meter=Meter(lambda: Reading(at_s=0.0)),
    )


def curves(run: Run) -> trajectory.Series:
    return {"loss": np.array(run.loss), "grad_norm": np.array(run.grad_norm)}


@pytest.mark.fast
def test_a_replay_separates_arithmetic_from_timing(subject, policy, monkeypatch):
    """A run by an uneven clock: whoever follows its progress stays with it, whoever is a step off does not."""
    recipe, params = calm().recipe, calm().params
    with monkeypatch.context() as patched:
        patched.setattr(loop, "time", irregular())
        recorded = looped(subject.trainer(recipe, params, policy, compiled=True), Pace(1.0))
    progress = recorded.progress
    assert len(progress) > REPLAYED_STEPS / 2 and np.ptp(np.diff(progress)) > 0.5 / REPLAYED_STEPS, "the clock was even"
    band = trajectory.envelope(Course(recipe, params, calm().steps[: len(progress)], tuple(progress)), policy)
    trajectory.held(curves(recorded), band, subject.name, "recorded run")
    again = looped(load("oracle").trainer(recipe, params, policy), Pace(1.0, tuple(progress)))
    assert again.progress == progress
    trajectory.held(curves(again), band, "oracle", "its replay")
    shifted = looped(subject.trainer(recipe, params, policy, compiled=True), Pace(1.0, (*progress[1:], 1.0)))
    if policy == "float32":  # in bfloat16 the noise is as large as a step's change of the rates
        with pytest.raises(Disagreement, match="leaves"):
            trajectory.held(curves(shifted), band, f"{subject.name} a step ahead", "its replay")


@pytest.mark.deep
@pytest.mark.parametrize("start", ["trained", "fresh"])
def test_long_training_stays_in_the_band(subject, policy, start):
    """Two hundred steps of a wider model. Signs change in every run, so that the envelope's have them all.

    Fresh parameters know no direction: the second step already orthogonalises noise, and matrices part at once.
    """
    model = Model(sequence_len=32, vocab_size=96, depth=3, width=64, heads=4, kv_heads=2, gate_channels=16)
    params = params_of(model, 1) if start == "trained" else init(model, 1)
    progress = np.linspace(0, 0.99, LONG_STEPS).tolist()
    trajectory.hold(subject, course(model, 1, params, progress, rows=4), policy, f"long course, {start}")
