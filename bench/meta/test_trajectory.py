"""Every known mistake leaves the band of a whole run, the oracle does not, and the message says where to look.

`pytest -m meta bench/meta/test_trajectory.py`
"""

import numpy as np
import pytest

from bench import trajectory
from bench.check import Disagreement
from bench.conformance.test_trajectory import STEPS, calm
from bench.mutants import MUTANTS, Zeros
from bench.subject import load
from bench.trajectory import envelope, follow, held, hold, nudged

pytestmark = pytest.mark.meta

BLIND = {
    "RoPE from position 1": "scores depend on distances only",
    "query heads tiled over key heads": "the course has one key head",
    "products accumulate in bfloat16": "only where bfloat16 is asked",
    "decay spares what has no update": "every element has one",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_leaves_the_band(mutant):
    if mutant.name in BLIND:
        hold(mutant.subject(), calm(), "float32", "calm course")
    else:
        with pytest.raises(Disagreement, match=r"leaves calm course at step \d+ of 40: .* allowed .*; look at"):
            hold(mutant.subject(), calm(), "float32", "calm course")


def test_zeros_leave_at_once(policy):
    with pytest.raises(Disagreement, match=r"at step 0 of 40: loss is 0.* look at the forward pass"):
        hold(Zeros(), calm(), policy, "calm course")


@pytest.mark.parametrize("seed", range(4))
def test_oracle_stays(seed, policy):
    """From starts an ULP away that the envelope does not hold."""
    course = calm()
    band = envelope(course, policy)
    start = nudged(course.recipe, course.params, policy, 1000 + seed)
    held(follow(load("oracle"), course, policy, start), band, "oracle", "calm course")


def test_the_course_is_calm():
    """Eight times the nudge, eight times the distance: no sign changes. A change alone is some 200 bands."""
    course = calm()
    band = envelope(course, "float32")
    for seed in range(4):
        start = nudged(course.recipe, course.params, "float32", 2000 + seed, ulps=8)
        ratios = band.ratios(follow(load("oracle"), course, "float32", start))
        assert max(x.max() for x in ratios.values()) < 40


def test_onset_is_the_first_step_outside():
    band = envelope(calm(), "float32")
    series = {"loss": np.array(band.truth["loss"]), "grad_norm": np.array(band.truth["grad_norm"])}
    series["grad_norm"][17:] *= 1.01
    series["loss"][20:] *= 1.01
    found = trajectory.judge(series, band, "x", "calm course")
    assert (found.onset, found.quantity, found.steps) == (17, "grad_norm", STEPS) and found.worst > 1
    series["loss"][5] = np.nan
    assert trajectory.judge(series, band, "x", "calm course").onset == 5


def test_a_nudge_is_one_ulp():
    course = calm()
    for policy, ulp in (("float32", 2.0**-23), ("bfloat16", 2.0**-7)):
        name = "transformer.wte.weight"
        kept = nudged(course.recipe, course.params, policy, 0, ulps=0)[name]
        moved = nudged(course.recipe, course.params, policy, 0)[name]
        share = np.abs(moved - kept) / np.abs(kept)
        assert np.all((share >= ulp / 2 * 0.999) & (share <= ulp * 1.001))
