"""What must hold of a score whatever the text, the window and the batch: every byte once, and scores known beforehand.

`pytest -m fast bench/conformance/test_properties_score.py`
"""

from math import log, log2

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench import evaluation as scoring
from bench.check import FLOOR_ULPS
from bench.conformance.test_bpb import ask_score
from bench.relation import same
from bench.strategies import params_of, recipe_of
from impl.data import evaluation, shards
from impl.data.prepare import prepare
from impl.data.prepared import Prepared
from impl.spec import Data, Model

pytestmark = pytest.mark.fast

VOCABULARY = 300
ROUNDING = 2.0**-24  # of one float32 operation, relative
TEXTS = st.lists(st.text(max_size=40), min_size=1, max_size=8)


def model_of(sequence_len: int) -> Model:
    """The same parameters whatever the length."""
    return Model(
        sequence_len=sequence_len, vocab_size=VOCABULARY, depth=2, width=16, heads=2, kv_heads=1, gate_channels=4
    )


def seen_alone(params: dict) -> dict:
    """No token hears of another: logits depend on the current one only."""
    return {name: 0 * x if name.endswith("attn.c_proj.weight") else x for name, x in params.items()}


@pytest.fixture(scope="session")
def ordered(folder, tmp_path_factory) -> dict[str, Prepared]:
    """Six validation documents as they stand, and in another order."""
    documents = [document[:300] for document in shards.documents([folder / "c.parquet"])][:6]
    made = {}
    for name, order in (("as they stand", (0, 1, 2, 3, 4, 5)), ("in another order", (4, 1, 5, 0, 3, 2))):
        root = tmp_path_factory.mktemp("texts")
        (root / "a.parquet").symlink_to(folder / "a.parquet")
        shards.write(root / "val.parquet", [documents[i] for i in order])
        made[name] = prepare(root, VOCABULARY, Data(), root / "cache")
    return made


@pytest.mark.parametrize(
    ("order", "sequence_len", "rows"),
    [("in another order", 32, 4), ("as they stand", 13, 4), ("as they stand", 32, 7), ("in another order", 96, 1)],
)
def test_the_score_of_what_sees_no_context_depends_on_the_text_alone(
    subject, policy, ordered, order, sequence_len, rows
):
    text, other_text = ordered["as they stand"], ordered[order]
    recipe, other_recipe = recipe_of(model_of(32), rows=4), recipe_of(model_of(sequence_len), rows=rows)
    params = seen_alone(params_of(model_of(32), 2))
    score, other = (
        subject.bits_per_byte(asked, params, data, policy)
        for asked, data in ((recipe, text), (other_recipe, other_text))
    )
    assert (score.bytes, score.tokens) == (other.bytes, other.tokens)
    asks = ask_score(recipe, text), ask_score(other_recipe, other_text)
    same(subject, "val_nats", policy, params, *asks, key=(recipe, text.eval_hash))


@pytest.mark.parametrize("sequence_len", [1, 8, 96])
def test_a_uniform_model_scores_the_logarithm_of_the_vocabulary(subject, policy, ordered, sequence_len):
    """Every token costs the same, ln V as float32 has it.

    Where T is 1 nothing but float64 adds, and the score is tokens x that cost to the last bit; else float32 adds T.
    """
    text, recipe = ordered["as they stand"], recipe_of(model_of(sequence_len), rows=32)
    params = params_of(recipe.model, 2)
    params["lm_head.weight"] *= 0
    one = np.array([[5]]), np.array([[7]])
    cost = float(subject.nats(recipe_of(model_of(1), rows=1), params, *one, policy)[0])
    score = subject.bits_per_byte(recipe, params, text, policy)
    assert abs(cost - log(VOCABULARY)) <= FLOOR_ULPS * float(np.spacing(np.float32(log(VOCABULARY))))
    slack = (sequence_len - 1) * ROUNDING * score.tokens * cost  # of adding T positive numbers in any order
    assert abs(score.nats - score.tokens * cost) <= slack
    bits_per_byte, known = score.nats / (log(2) * score.bytes), score.tokens * log2(VOCABULARY) / score.bytes
    assert bits_per_byte == pytest.approx(known, rel=(sequence_len + 2 * FLOOR_ULPS) * ROUNDING, abs=0)


@given(texts=TEXTS, sequence_len=st.integers(1, 40))
@example(["a"], 1).via("one byte, one window")
@example(["", "é", "", "\U0001f469\u200d\U0001f680"], 3).via("empty documents; characters that windows cut")
def test_every_byte_of_any_text_is_scored_once(tmp_path_factory, texts, sequence_len):
    root = tmp_path_factory.mktemp("any")
    if not any(texts):
        texts = [*texts, "a"]  # a text of no byte is refused
    shards.write(root / "a.parquet", ["to train on"])
    shards.write(root / "val.parquet", texts, group_documents=3)
    prepared = prepare(root, 260, Data(), root / "cache")
    inputs, targets, total_bytes = evaluation.windows(prepared, sequence_len)
    tokens, scored = prepared.tokenizer.tokens, targets.ravel()[targets.ravel() >= 0]
    assert b"".join(tokens[token] for token in scored) == "".join(texts).encode()
    assert total_bytes == len("".join(texts).encode())
    stream, following = inputs.ravel(), targets.ravel()
    places = np.flatnonzero(following >= 0)[:-1]
    assert np.array_equal(stream[places + 1], following[places]), "what is scored is what comes next"


@given(rows=st.integers(1, 9), windows=st.integers(1, 20), tokens=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_a_score_adds_up_every_window_once_in_float64(rows, windows, tokens, seed):
    """Costs of 24 bits, so that float64 adds them exactly and float32 does not."""
    rng = np.random.default_rng(seed)
    inputs, targets = rng.integers(0, 50, (2, windows, tokens))
    targets[rng.random(targets.shape) < 0.3] = -1
    costs, shapes = rng.integers(2**23, 2**24, 50), []

    def nats(inputs, targets):
        shapes.append(inputs.shape)
        return np.where(targets >= 0, costs[targets] + inputs, 0).sum(axis=1).astype(np.float64)

    score = scoring.evaluate(nats, evaluation.Windows(inputs, targets, 123), rows)
    assert score.nats == np.sum((costs[targets] + inputs)[targets >= 0])
    assert (score.bytes, score.tokens) == (123, np.sum(targets >= 0))
    assert set(shapes) == {(rows, tokens)}, "one shape, hence one compilation"


@pytest.mark.parametrize("windows", [0, 1, 2, 5, 6])
def test_a_group_is_read_once_the_next_is_under_way(windows):
    """So a device works on the next one, while the host looks at what it has."""
    told = []

    def nats(inputs, targets):
        told.append(("begun", int(inputs[0, 0])))
        return inputs[:, 0]

    def numpy(x):
        told.append(("read", int(x[0])))
        return x

    ones = np.ones((windows, 3), np.int64)
    inputs = np.arange(windows)[:, None] * ones
    assert scoring.evaluate(nats, evaluation.Windows(inputs, ones, 9), 2, numpy).nats == sum(range(windows))
    begun = [("begun", start) for start in range(0, windows, 2)]
    read = [("read", start) for start in range(0, windows, 2)]
    assert told == [*begun[:1], *(x for pair in zip(begun[1:], read, strict=False) for x in pair), *read[-1:]]
