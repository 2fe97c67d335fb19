"""Initial parameters: each tensor from its own distribution, its own stream, and the same on every machine.

`pytest -m fast -k init`
"""

from dataclasses import replace

import numpy as np
import pytest

from impl.init import init
from impl.spec import Model

pytestmark = [pytest.mark.fast, pytest.mark.smoke]

MODEL = Model(sequence_len=128, vocab_size=512, depth=4, width=192, heads=6, kv_heads=2)
LIMIT = (3 / 192) ** 0.5
UNIFORM = ("c_q.weight", "c_k.weight", "c_v.weight", "c_fc.weight")
ZERO = ("c_proj.weight", "ve_gate.weight")


@pytest.fixture(scope="module")
def params():
    return init(MODEL, 7)


def ending(params, *names):
    chosen = {name: x for name, x in params.items() if name.endswith(names) or name.startswith(names)}
    assert chosen
    return chosen


def test_every_parameter_has_its_shape_in_float32(params):
    assert {name: x.shape for name, x in params.items()} == MODEL.shapes()
    assert all(x.dtype == np.float32 for x in params.values())


@pytest.mark.parametrize(("name", "std"), [("transformer.wte.weight", 1.0), ("lm_head.weight", 0.001)])
def test_the_tables_are_normal(params, name, std):
    x = params[name].astype(np.float64).ravel() / std
    sigma = len(x) ** -0.5  # of the mean of normal numbers; of their squares' mean it is sqrt(2) as much
    assert abs(x.mean()) < 5 * sigma and abs((x**2).mean() - 1) < 5 * 2**0.5 * sigma
    assert abs((np.abs(x) < 1).mean() - 0.682689) < 5 * 0.4654 * sigma, "two moments alone would fit a uniform"
    assert np.abs(x).max() > 3.5


def test_projections_and_value_embeddings_are_uniform_up_to_the_root_of_three_over_width(params):
    for x in ending(params, *UNIFORM, "value_embeds.").values():
        scaled = x.astype(np.float64).ravel() / LIMIT
        sigma = len(scaled) ** -0.5
        assert 1 - 20 / len(scaled) < np.abs(scaled).max() <= 1 + 1e-6
        assert abs(scaled.mean()) < 5 * 3**-0.5 * sigma and abs((scaled**2).mean() - 1 / 3) < 5 * 0.2982 * sigma


def test_what_must_not_speak_at_first_is_zero(params):
    zero = ending(params, *ZERO)
    assert len(zero) == 2 * 4 + 2 and not any(np.any(x) for x in zero.values())


def test_residual_scalars_are_constants_of_the_model(params):
    assert np.all(params["resid_lambdas"] == 1) and np.all(params["x0_lambdas"] == np.float32(0.1))
    other = init(replace(MODEL, resid_init=0.5, x0_init=0.25, wte_std=2.0), 7)
    assert np.all(other["resid_lambdas"] == 0.5) and np.all(other["x0_lambdas"] == 0.25)
    np.testing.assert_array_equal(other["transformer.wte.weight"], 2 * params["transformer.wte.weight"])


def random(params):
    return {name: x for name, x in params.items() if not name.endswith((*ZERO, "lambdas"))}


def test_a_seed_says_everything_and_another_changes_every_random_tensor(params):
    again, other = init(MODEL, 7), init(MODEL, 8)
    assert all(np.array_equal(x, again[name]) for name, x in params.items())
    assert not any(np.mean(x == other[name]) > 0.01 for name, x in random(params).items())


def test_no_two_tensors_share_a_stream(params):
    heads = [x.ravel()[:64] / np.abs(x).max() for x in random(params).values()]
    correlation = np.corrcoef(heads) - np.eye(len(heads))
    assert np.abs(correlation).max() < 0.7


def test_another_layer_moves_no_tensor(params):
    deeper = init(replace(MODEL, depth=6), 7)  # of equal parity, so that the value embeddings stay where they are
    common = set(params) & set(deeper)
    assert len(common) == len(params)
    for name in common - {"resid_lambdas", "x0_lambdas"}:
        np.testing.assert_array_equal(params[name], deeper[name])


def test_seed_7_is_what_it_always_was(params):
    """NumPy promises no eternal streams: a release that changes them starts every run elsewhere, and fails here."""
    wte, c_q = params["transformer.wte.weight"], params["transformer.h.0.attn.c_q.weight"]
    np.testing.assert_allclose(wte[0, :3], [0.59910691, -2.49243736, -0.76798826], rtol=1e-6)
    np.testing.assert_allclose(c_q[0, :3], [0.06360674, -0.00691899, -0.04826592], rtol=1e-6)
