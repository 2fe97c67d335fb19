"""Hundreds of steps on real text, over seeds: the end of a run is float64's, as far as seeds let anyone tell.

`pytest -m deep bench/conformance/test_equivalence.py`
"""

from functools import lru_cache

import numpy as np
import pytest

from bench.equivalence import Answer, compare
from bench.mutants import MUTANTS
from bench.strategies import recipe_of
from bench.subject import load
from impl.data.batches import batches
from impl.data.evaluation import windows
from impl.data.prepared import Prepared
from impl.init import init
from impl.spec import Model

pytestmark = [pytest.mark.deep]

SEEDS, STEPS, ROWS, WINDOWS = 32, 200, 4, 100
MODEL = Model(sequence_len=32, vocab_size=300, depth=2, width=32, heads=2, kv_heads=2, gate_channels=16)


@lru_cache(maxsize=4)
def final_losses(subject, policy: str, prepared: Prepared, seeds: int = SEEDS):  # -> (seeds,)
    """Nats a token of the validation text's beginning after each seed's run; whoever trained, float64 scores."""
    recipe = recipe_of(MODEL, rows=ROWS)
    drawn = batches(prepared, "train", ROWS, MODEL.sequence_len, recipe.data)
    steps = [[next(drawn)[:2]] for _ in range(STEPS)]
    progress = np.linspace(0, 1 - 1 / STEPS, STEPS).tolist()
    text = windows(prepared, MODEL.sequence_len)
    inputs, targets = text.inputs[:WINDOWS], text.targets[:WINDOWS]
    losses = []
    for seed in range(seeds):
        params = subject.train(recipe, init(MODEL, seed), steps, progress, policy).params
        nats = load("oracle").nats(recipe, params, inputs, targets, "float64")
        losses.append(float(np.sum(nats)) / int(np.sum(targets >= 0)))
    return np.array(losses)


@lru_cache(maxsize=1)
def truth_of(prepared: Prepared):
    """Float64's, trained once for all backends."""
    return final_losses(load("oracle"), "float64", prepared)


def answer(subject, policy: str, prepared: Prepared, seeds: int = SEEDS) -> Answer:
    """Of `subject` against float64."""
    return compare(final_losses(subject, policy, prepared, seeds), truth_of(prepared)[:seeds])


def test_runs_end_where_float64_ends(subject, policy, sotu):
    found = answer(subject, policy, sotu)
    print(f"{subject.name} at {policy}: {found}")
    assert found.name != "different", f"{subject.name} at {policy}: {found}"


def test_a_mistake_that_costs_loss_is_different(sotu):
    """It cost 0.14 nats, seven seed SDs. "no Nesterov" and "schedule never reaches Muon" came out equivalent."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == "no aspect or width scaling of lr")
    found = answer(mutant.subject(), "float32", sotu, seeds=12)
    assert found.name == "different" and found.difference > 0, found
