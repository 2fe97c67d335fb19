"""What must hold of the model whatever its numbers: who sees whom to the last bit, and two ways to one answer.

`pytest -m fast bench/conformance/test_properties.py`
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.conformance.test_gpt import ask_grads, ask_model, inputs_of
from bench.conformance.test_ops import ask_op, normal
from bench.relation import same
from bench.strategies import SEEDS, models, params_of, recipe_of, tokens_of
from impl.spec import Model

pytestmark = pytest.mark.fast


def differs(one, other):  # 2 x (B, T, ...) -> (B, T) bool
    """Which tokens' answers are not equal to the last bit."""
    return np.any(one != other, axis=tuple(range(2, one.ndim)))


def other_token(tokens, vocab_size: int, seed: int):
    """Another token at every place."""
    return (tokens + np.random.default_rng(seed).integers(1, vocab_size, tokens.shape)) % vocab_size


def reach(tokens: int, window: int):  # -> (T, T) bool: the key's place, the query's
    """W + 1 keys: a query sees its own place and `window` earlier ones."""
    distance = np.arange(tokens)[None, :] - np.arange(tokens)[:, None]
    return (distance >= 0) & (distance <= window)


@given(model=models(), seed=SEEDS)
def test_future_tokens_change_nothing(subject, policy, model, seed):
    """Row r keeps its first r tokens and gets others from there on: bits before r stay, those at r do not."""
    places = np.arange(model.sequence_len)
    before = np.tile(tokens_of(model, seed)[0][:1], (model.sequence_len, 1))
    after = np.where(places[None, :] < places[:, None], before, other_token(before, model.vocab_size, seed))
    recipe, params = recipe_of(model), params_of(model, seed)
    one, other = (subject.logits(recipe, params, tokens, policy) for tokens in (before, after))
    changed = differs(one, other)
    assert not np.any(changed & (places[None, :] < places[:, None])), "the past depends on the future"
    assert np.all(np.diagonal(changed)), "a token's logits do not depend on it"


@st.composite
def mask_cases(draw):
    tokens = draw(st.sampled_from([1, 2, 5, 16, 33]))
    window = draw(st.sampled_from(sorted({0, 1, 2, tokens // 2, max(0, tokens - 2), tokens - 1, tokens})))
    return tokens, window, draw(st.sampled_from([(1, 1), (2, 2), (4, 2)])), draw(st.sampled_from([8, 16]))


@given(seed=SEEDS, case=mask_cases())
def test_a_query_sees_its_own_key_and_a_window_of_earlier_ones(subject, policy, seed, case):
    """The whole mask, read from outside."""
    tokens, window, (heads, kv_heads), size = case
    q, k, v = (normal(seed + i, 1, tokens, n, size) for i, n in enumerate((heads, kv_heads, kv_heads)))
    seen = mask(subject, policy, q, k, v, window, np.arange(tokens))
    assert np.array_equal(seen, reach(tokens, window))


def mask(subject, policy, q, k, v, window: int, places):  # 3 x (1, T, H, D), (P,) -> (P, T) bool
    """Whose answer changes with the key and value at each of `places`: a batch of rows, each with one of them new."""
    q, k, v = (np.tile(x, (len(places), 1, 1, 1)) for x in (q, k, v))
    here = (np.arange(k.shape[1]) == places[:, None])[:, :, None, None]
    other = q, np.where(here, -k, k), np.where(here, v + np.float32(64), v)
    attrs = {"window": window}
    return differs(*(subject.op("attention", arrays, attrs, policy) for arrays in ((q, k, v), other)))


SMALL_BLOCKS = [(130, window) for window in (1, 2, 64, 129, 130)]
LARGE_BLOCKS = [(tokens, w) for tokens in (257, 513) for w in (1, 2, 63, 64, 128, tokens // 2, tokens - 1)]


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize(
    ("tokens", "window"), [*SMALL_BLOCKS, *(pytest.param(*case, marks=pytest.mark.deep) for case in LARGE_BLOCKS)]
)
def test_windows_hold_where_kernels_work_in_blocks(subject, policy, size, tokens, window):
    """Keys at both ends and on both sides of the blocks of 32, 64 and 128 that fused kernels skip or mask whole."""
    places = np.array([0, 1, 31, 32, 63, 64, 65, 127, 128, tokens - 2, tokens - 1])
    q, k, v = (normal(i, 1, tokens, heads, size) for i, heads in enumerate((2, 1, 1)))
    seen = mask(subject, policy, q / 8, k, v, window, places)  # so that no weight is too small to show
    assert np.array_equal(seen, reach(tokens, window)[places])


@given(
    length=st.sampled_from([2, 3, 4, 5, 8, 14]),
    pattern=st.sampled_from(["SSL", "SL", "L"]),
    layer=st.integers(0, 2),
    seed=SEEDS,
)
def test_each_layer_reaches_its_window(subject, policy, length, pattern, layer, seed):
    """Other layers attend to nothing, and this one to all it sees alike: any token within reach shows."""
    model = Model(
        sequence_len=length,
        vocab_size=37,
        depth=3,
        width=32,
        heads=4,
        kv_heads=2,
        gate_channels=6,
        window_pattern=pattern,
    )
    params = params_of(model, seed)
    for i in range(model.depth):
        name = "c_q" if i == layer else "c_proj"
        params[f"transformer.h.{i}.attn.{name}.weight"] *= 0
    before = np.tile(tokens_of(model, seed)[0][:1], (length, 1))
    after = np.where(np.eye(length, dtype=bool), other_token(before, model.vocab_size, seed), before)
    recipe = recipe_of(model)
    one, other = (subject.activations(recipe, params, t, policy)[f"h.{layer}.attn"] for t in (before, after))
    assert np.array_equal(differs(one, other), reach(length, model.windows()[layer]))


@given(seed=SEEDS, tokens=st.sampled_from([5, 33]), heads=st.sampled_from([(4, 2), (4, 1), (6, 2)]))
def test_shared_keys_are_repeated_keys(subject, policy, seed, tokens, heads):
    heads, kv_heads = heads
    shapes = {"q": heads, "k": kv_heads, "v": kv_heads}
    inputs = {name: normal(seed + i, 2, tokens, n, 8) for i, (name, n) in enumerate(shapes.items())}
    grouped = ask_op("attention", window=tokens // 2)

    def repeated(subject, inputs, policy):
        k, v = (np.repeat(inputs[name], heads // kv_heads, axis=2) for name in "kv")
        return grouped(subject, {"q": inputs["q"], "k": k, "v": v}, policy)

    same(subject, "attention", policy, inputs, grouped, repeated, key=(tokens // 2,))


@given(model=models().filter(lambda model: model.heads > model.kv_heads), seed=SEEDS)
def test_a_model_of_shared_heads_is_one_of_repeated_heads(subject, policy, model, seed):
    """Keys, values, gates and value embeddings of every key head, written out for each query head."""
    recipe, share = recipe_of(model), model.heads // model.kv_heads
    whole = replace(model, kv_heads=model.heads)

    def repeated(subject, inputs, policy):
        params = {name: _repeated(name, inputs[name], share, model.head_dim) for name in model.shapes()}
        assert {name: x.shape for name, x in params.items()} == whole.shapes()
        return {"": subject.logits(recipe_of(whole), params, inputs["tokens"], policy)}

    same(subject, "logits", policy, inputs_of(model, seed), ask_model(recipe, "logits"), repeated, key=(recipe,))


def _repeated(name: str, x, share: int, head_dim: int):
    """A parameter with each key head's part `share` times in a row; others as they are."""
    kind = name.removesuffix(".weight").split(".")
    if kind[-1] in ("c_k", "c_v"):
        return np.repeat(x.reshape(-1, head_dim, x.shape[1]), share, axis=0).reshape(-1, x.shape[1])
    if kind[0] == "value_embeds":
        return np.repeat(x.reshape(len(x), -1, head_dim), share, axis=1).reshape(len(x), -1)
    return np.repeat(x, share, axis=0) if kind[-1] == "ve_gate" else x


@given(model=models(), seed=SEEDS, rows=st.integers(2, 5))
def test_rows_do_not_see_each_other(subject, policy, model, seed, rows):
    """In another order they have the same logits in that order, and alone the same as in company."""
    recipe, order = recipe_of(model), np.random.default_rng(seed).permutation(rows)
    inputs = {**params_of(model, seed), "tokens": tokens_of(model, seed, rows)[0]}
    plain = ask_model(recipe, "logits")

    def permuted(subject, inputs, policy):
        answer = plain(subject, {**inputs, "tokens": inputs["tokens"][order]}, policy)[""]
        return {"": answer[np.argsort(order)]}

    def alone(subject, inputs, policy):
        one_by_one = [plain(subject, {**inputs, "tokens": row[None]}, policy)[""] for row in inputs["tokens"]]
        return {"": np.concatenate(one_by_one)}

    for other in (permuted, alone):
        same(subject, "logits", policy, inputs, plain, other, key=(recipe,))


@given(model=models(), seed=SEEDS, parts=st.sampled_from([2, 4]))
def test_the_gradient_of_a_batch_is_the_mean_over_its_parts(subject, policy, model, seed, parts):
    recipe = recipe_of(model)

    def mean(subject, inputs, policy):
        split = zip(*(np.split(inputs[name], parts) for name in ("tokens", "targets")), strict=True)
        of_parts = [whole(subject, {**inputs, "tokens": x, "targets": y}, policy) for x, y in split]
        return {name: np.mean([grads[name] for grads in of_parts], axis=0, dtype=np.float64) for name in of_parts[0]}

    whole = ask_grads(recipe)
    same(subject, "grads", policy, all_scored(model, seed, 4), whole, mean, key=(recipe,))


def all_scored(model: Model, seed: int, rows: int) -> dict[str, np.ndarray]:
    """Every part of a batch scores as many targets, so that their mean is the batch's."""
    tokens, targets = tokens_of(model, seed, rows)
    return {**params_of(model, seed), "tokens": tokens, "targets": np.maximum(targets, 0)}


@pytest.mark.parametrize("micro_batches", [2, 4])
def test_accumulated_micro_batches_are_one_batch(subject, policy, micro_batches):
    """Loss, gradient norm and every parameter after a step of the shipped, compiled trainer."""
    model = Model(sequence_len=12, vocab_size=64, depth=2, width=32, heads=4, kv_heads=2, gate_channels=8)
    one, many = recipe_of(model, 1, rows=4), recipe_of(model, micro_batches, rows=4 // micro_batches)
    inputs = all_scored(model, 11, 4)
    same(subject, "trajectory", policy, inputs, ask_step(one), ask_step(many), key=(one,))


def ask_step(recipe):
    """The question "what does one late step, where rates are low, leave", for `same`."""

    def ask(subject, inputs, policy):
        params, parts = {name: inputs[name] for name in recipe.model.shapes()}, recipe.accumulation()
        step = list(zip(*(np.split(inputs[name], parts) for name in ("tokens", "targets")), strict=True))
        run = subject.train(recipe, params, [step], [0.9], policy)
        return {"losses": run.losses, "grad_norms": run.grad_norms, **dict(run.params)}

    return ask
