"""The optimizers against float64: the orthogonaliser over spectra and shapes, then Muon and AdamW over several steps.

`pytest -m fast bench/conformance/test_optim.py`
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.check import agree
from bench.oracle import Oracle
from bench.strategies import SEEDS, SHAPES, SPECTRA, matrix_of, models, params_of, recipe_of
from bench.yardstick import rescaled
from impl.oracle.muon import State
from impl.spec import NS5, POLAR_EXPRESS

pytestmark = pytest.mark.fast

STEPS = 3
FRAGILE = 1e-3  # updates agree to about 1e-5 of their RMS in float32; excludes about 0.1 % of elements a step
ORTHOGONALIZERS = {"polar express": POLAR_EXPRESS, "ns5": NS5}


def ask_orthogonalize(orthogonalizer):
    def ask(subject, inputs, policy):
        return {"": subject.orthogonalize(inputs["matrix"], orthogonalizer, policy)}

    return ask


@pytest.mark.parametrize("orthogonalizer", ORTHOGONALIZERS)
@given(seed=SEEDS, shape=st.sampled_from(SHAPES), spectrum=st.sampled_from(SPECTRA))
def test_orthogonalizer_matches_oracle(subject, policy, orthogonalizer, seed, shape, spectrum):
    """Against the same polynomial in float64, not against the polar factor, from which it is 12 % away by design."""
    chosen = ORTHOGONALIZERS[orthogonalizer]
    inputs = {"matrix": matrix_of(shape, spectrum, seed)}
    agree(subject, "orthogonalize", policy, inputs, ask_orthogonalize(chosen), key=(orthogonalizer,), redraw=rescaled)


def undecided(recipe, progress):
    """Masks of what hangs on a sign that float32 cannot know: an update below FRAGILE of its matrix's RMS."""

    def masks(inputs):
        names = recipe.model.shapes()
        session = Oracle().optimizer(recipe, {name: inputs[name] for name in names}, "float64")
        found = {name: np.zeros(shape, bool) for name, shape in names.items()}
        for i, done in enumerate(progress):
            session.step({name: inputs[f"{i} {name}"] for name in names}, recipe.schedule.at(i, done))
            for name, state in session.trainer.states.items():
                if isinstance(state, State):
                    found[name] |= np.abs(state.update) < FRAGILE * np.sqrt(np.mean(state.update**2))
        return found

    return masks


def ask_optimizer(recipe, progress, answer):
    """The question "what is there after these gradients", for `agree`: `answer(session, inputs, params)` says what."""

    def ask(subject, inputs, policy):
        names = recipe.model.shapes()
        session = subject.optimizer(recipe, {name: inputs[name] for name in names}, policy)
        for i, done in enumerate(progress):
            grads = {name: inputs[f"{i} {name}"] for name in names}
            params = session.step(grads, recipe.schedule.at(i, done))
        return answer(session, inputs, params)

    return ask


def moved(session, inputs, params):
    """What the optimizer adds is the claim; beside large parameters a wrong update would hide in their rounding."""
    return {name: np.asarray(param, np.float64) - inputs[name] for name, param in params.items()}


def moments(session, inputs, params):
    return session.state()


def optimizer_inputs(model, seed, still):
    """Parameters and gradients of unequal rows, so that NorMuon matters; with `still`, one matrix has none at all."""
    rng = np.random.default_rng(seed)
    inputs = dict(params_of(model, seed))
    for i in range(STEPS):
        for name, shape in model.shapes().items():
            rows = np.exp(rng.standard_normal((shape[0],) + (1,) * (len(shape) - 1)))
            gradient = (rng.standard_normal(shape) * rows * 1e-3).astype(np.float32)
            inputs[f"{i} {name}"] = 0 * gradient if still and "h.0.attn.c_q" in name else gradient
    return inputs


@settings(max_examples=settings.default.max_examples * 2 // 3)  # one example runs the oracle 32 times
@given(model=models(), seed=SEEDS, still=st.booleans())
def test_optimizer_steps_match_oracle(subject, policy, model, seed, still):
    """Muon and AdamW over every group, schedules moving: how far the parameters went, and the moments left behind."""
    recipe, inputs = recipe_of(model), optimizer_inputs(model, seed, still)
    recipe = replace(recipe, schedule=replace(recipe.schedule, momentum_steps=STEPS))
    progress = np.linspace(0, 0.9, STEPS).tolist()
    key = (recipe, tuple(progress))
    ask, masks = ask_optimizer(recipe, progress, moved), undecided(recipe, progress)
    agree(subject, "optimizer", policy, inputs, ask, key=key, undecided=masks)
    if still:  # every other example: the oracle's runs over again cost more than everything else here
        agree(subject, "optimizer_state", policy, inputs, ask_optimizer(recipe, progress, moments), key=key)
