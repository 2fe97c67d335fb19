"""The whole model against float64: activations after every block, logits, row sums of nats, loss and every gradient.

`pytest -m fast bench/conformance/test_gpt.py`
"""

import numpy as np
import pytest
from hypothesis import given

from bench.check import agree
from bench.strategies import SEEDS, models, params_of, recipe_of, tokens_of
from impl.spec import Model
from impl.spec.model import ACTIVATIONS

pytestmark = pytest.mark.fast


def inputs_of(model, seed):
    """Parameters, tokens and targets in one dict, as `agree` takes them."""
    tokens, targets = tokens_of(model, seed)
    return {**params_of(model, seed), "tokens": tokens, "targets": targets}


def ask_model(recipe, method: str):
    """The question "what does `method` of the model give", for `agree`."""

    def ask(subject, inputs, policy):
        params = {name: inputs[name] for name in recipe.model.shapes()}
        if method in ("activations", "logits"):
            answer = getattr(subject, method)(recipe, params, inputs["tokens"], policy)
        else:
            answer = getattr(subject, method)(recipe, params, inputs["tokens"], inputs["targets"], policy)
        return answer if isinstance(answer, dict) else {"": answer}

    return ask


def ask_grads(recipe):
    def ask(subject, inputs, policy):
        params = {name: inputs[name] for name in recipe.model.shapes()}
        return subject.loss_and_grads(recipe, params, inputs["tokens"], inputs["targets"], policy)[1]

    return ask


def ask_loss(recipe):
    def ask(subject, inputs, policy):
        params = {name: inputs[name] for name in recipe.model.shapes()}
        return {"": np.float64(subject.loss_and_grads(recipe, params, inputs["tokens"], inputs["targets"], policy)[0])}

    return ask


@given(model=models(), seed=SEEDS)
def test_activations_match_oracle(subject, policy, model, seed):
    recipe = recipe_of(model)
    agree(subject, "activations", policy, inputs_of(model, seed), ask_model(recipe, "activations"), key=(recipe,))


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != Model().activation])
def test_other_activations_match_oracle(subject, policy, activation):
    model = Model(
        sequence_len=12, vocab_size=40, depth=2, width=16, heads=2, kv_heads=1, gate_channels=4, activation=activation
    )
    recipe, inputs = recipe_of(model), inputs_of(model, 3)
    agree(subject, "activations", policy, inputs, ask_model(recipe, "activations"), key=(recipe,))
    agree(subject, "grads", policy, inputs, ask_grads(recipe), key=(recipe,))


@given(model=models(), seed=SEEDS)
def test_logits_match_oracle(subject, policy, model, seed):
    recipe = recipe_of(model)
    agree(subject, "logits", policy, inputs_of(model, seed), ask_model(recipe, "logits"), key=(recipe,))


@given(model=models(), seed=SEEDS)
def test_row_nats_match_oracle(subject, policy, model, seed):
    recipe = recipe_of(model)
    agree(subject, "nats", policy, inputs_of(model, seed), ask_model(recipe, "nats"), key=(recipe,))


@pytest.mark.smoke
@given(model=models(), seed=SEEDS)
def test_loss_and_gradients_match_oracle(subject, policy, model, seed):
    recipe, inputs = recipe_of(model), inputs_of(model, seed)
    agree(subject, "loss", policy, inputs, ask_loss(recipe), key=(recipe,))
    agree(subject, "grads", policy, inputs, ask_grads(recipe), key=(recipe,))
