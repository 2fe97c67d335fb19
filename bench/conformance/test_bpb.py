"""The score of a prepared text: bytes and tokens exactly, nats against float64, whatever the vocabulary.

`pytest -m fast bench/conformance/test_bpb.py`
"""

import numpy as np
import pytest

from bench.check import agree
from bench.strategies import params_of, recipe_of
from impl.spec import Model

pytestmark = pytest.mark.fast


def ask_score(recipe, data):
    """The question "what does the whole validation text score", for `agree`."""

    def ask(subject, inputs, policy):
        return {"": np.float64(subject.bits_per_byte(recipe, inputs, data, policy).nats)}

    return ask


def test_the_whole_text_is_scored(subject, policy, small):
    """The number of windows is no multiple of the rows at a time, and the last window is short."""
    vocab_size = small.tokenizer.vocab_size
    model = Model(sequence_len=48, vocab_size=vocab_size, depth=2, width=16, heads=4, kv_heads=2, gate_channels=4)
    recipe, params = recipe_of(model, rows=13), params_of(model, 3)
    score = subject.bits_per_byte(recipe, params, small, policy)
    lengths = [len(tokens) for tokens in small.tokenizer.encode(list(small.documents("val")))]
    assert score.bytes == small.val_bytes
    assert score.tokens == sum(lengths) - len(lengths)  # every token but BOS
    assert -(-(sum(lengths) - 1) // model.sequence_len) % 13 and (sum(lengths) - 1) % model.sequence_len
    agree(subject, "val_nats", policy, params, ask_score(recipe, small), key=(recipe, small.eval_hash, vocab_size))
