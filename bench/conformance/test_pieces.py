"""What is worked on in pieces gives what it gives in one: the loss in chunks, a CPU's kernels in blocks.

The models of the other tests are so small that one piece holds them. `pytest -m fast -k pieces`
"""

from dataclasses import replace
from functools import partial
from importlib import import_module

import numpy as np
import pytest

from bench.check import agree
from bench.conformance.test_gpt import ask_grads, ask_loss, ask_model, inputs_of
from bench.strategies import recipe_of
from impl.spec import AdamW, Model

pytestmark = pytest.mark.fast

MODEL = Model(sequence_len=13, vocab_size=37, depth=1, width=16, heads=2, kv_heads=1, gate_channels=6)
ROWS = 4  # of logits a chunk: 26 rows make six of them and a short one
QUESTIONS = {"nats": partial(ask_model, method="nats"), "loss": ask_loss, "grads": ask_grads}


@pytest.fixture
def chunked(subject, monkeypatch):
    """Limits that hold ROWS rows of float32 logits in a chunk, and half of them in a block where there are blocks."""
    row_bytes = 4 * MODEL.vocab_size
    for name, rows in (("CHUNK_BYTES", ROWS), ("BLOCK_BYTES", ROWS // 2)):
        if hasattr(subject.loss, name):
            monkeypatch.setattr(subject.loss, name, dict.fromkeys(getattr(subject.loss, name), rows * row_bytes))
    return subject


@pytest.mark.parametrize("quantity", QUESTIONS)
def test_chunks_of_the_loss_match_oracle(chunked, policy, quantity):
    recipe = recipe_of(MODEL)
    agree(chunked, quantity, policy, inputs_of(MODEL, 5), QUESTIONS[quantity](recipe), key=(recipe,))


@pytest.mark.parametrize("window", [6, 1])
def test_blocks_of_queries_match_oracle(subject, policy, monkeypatch, window):
    """A window of 6 has blocks of 3 whose keys overlap, and a short one; one of 1 has blocks wider than itself."""
    if not hasattr(subject.gpt, "BLOCK"):
        pytest.skip(f"{subject.name} has no blocks of queries")
    monkeypatch.setattr(subject.gpt, "BLOCK", 3)
    model = replace(MODEL, sequence_len=2 * window + 1, depth=2, window_pattern="S")
    assert model.windows()[0] == window
    recipe = recipe_of(model)
    agree(subject, "grads", policy, inputs_of(model, 5), ask_grads(recipe), key=(recipe,))


def test_blocks_change_nothing(subject, monkeypatch):
    """Rows and elements do not see each other: equal to the last bit."""
    if subject.name != "torch-cpu":
        pytest.skip(f"{subject.name} has no kernels in blocks")
    cpu, array = import_module("impl.torch.cpu"), subject.backend.array
    rng = np.random.default_rng(0)
    param, grad, first = rng.standard_normal((3, 7, 30), np.float32)
    second, rates = np.abs(first), array(np.array([0.99, 0.1, 1.5], np.float32))

    def answers():
        x = array(param).requires_grad_()
        y = cpu.rms_norm(x, 1e-6)
        y.backward(array(grad))
        arrays = [array(a) for a in (param, grad, first, second)]
        stepped = cpu.adamw_step(*arrays, rates, AdamW(), "bfloat16")
        return [subject.backend.numpy(a) for a in (y, x.grad, *stepped)]

    whole = answers()
    monkeypatch.setattr(cpu, "BLOCK", 60)  # two rows of seven
    for one, other in zip(whole, answers(), strict=True):
        np.testing.assert_array_equal(one, other)
