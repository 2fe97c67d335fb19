"""The oracle against calculus: its hand-written backward is the derivative of its forward, in float64.

`pytest -m meta bench/meta/test_oracle.py`
"""

import numpy as np
import pytest

from impl.oracle import muon, ops
from impl.oracle.gpt import GPT
from impl.oracle.precision import FLOAT64, PRECISIONS, precision, to_tf32
from impl.spec import NS5, POLAR_EXPRESS, Model, Muon
from impl.spec.model import ACTIVATIONS

pytestmark = [pytest.mark.fast, pytest.mark.meta]

STEP = 1e-6  # of a central difference: larger steps truncate, smaller ones cancel (measured at 1e-4 ... 1e-6)
LIMIT = 1e-5  # relative to the gradient's norm; measured at most 1.0e-6 over 20 seeds and every parameter
MODEL = Model(
    sequence_len=10, vocab_size=23, depth=3, width=24, heads=4, kv_heads=2, gate_channels=5, window_pattern="SL"
)


def random_params(model, rng):
    """No tensor at a special point: the recipe's zero projections would hide every mistake behind them."""
    scale = {"wte": 1.0, "value_embeds": 1.0, "lambdas": 1.0}
    return {
        name: rng.normal(size=shape) * next((s for key, s in scale.items() if key in name), shape[-1] ** -0.5)
        for name, shape in model.shapes().items()
    }


def slope(f, x, direction):
    return (f(x + STEP * direction) - f(x - STEP * direction)) / (2 * STEP)


@pytest.mark.parametrize("name", MODEL.shapes())
def test_gpt_gradient_is_the_derivative(name):
    rng = np.random.default_rng(1)
    params = random_params(MODEL, rng)
    tokens, targets = rng.integers(0, 23, (2, 2, 9))
    targets[0, 3] = -1
    direction = rng.normal(size=params[name].shape)

    def loss(value):
        return GPT(MODEL, params | {name: value}, FLOAT64).loss_and_grads(tokens, targets)[0]

    _, grads = GPT(MODEL, params, FLOAT64).loss_and_grads(tokens, targets)
    expected = slope(loss, params[name], direction)
    assert abs(np.sum(grads[name] * direction) - expected) <= LIMIT * np.linalg.norm(grads[name])


@pytest.mark.parametrize("window", [0, 1, 4, 9])
def test_attention_gradient_is_the_derivative(window):
    rng = np.random.default_rng(window)
    q, k, v = (rng.normal(size=(2, 8, heads, 6)) for heads in (4, 2, 2))
    dy = rng.normal(size=q.shape)
    grads = ops.attention_backward(dy, q, k, v, window, FLOAT64)
    for index, grad in enumerate(grads):
        direction = rng.normal(size=grad.shape)

        def output(x, index=index):
            arguments = [q, k, v]
            arguments[index] = x
            return np.sum(dy * ops.attention(*arguments, window, FLOAT64))

        expected = slope(output, (q, k, v)[index], direction)
        assert abs(np.sum(grad * direction) - expected) <= LIMIT * max(1, abs(expected))


@pytest.mark.parametrize(("name", "at_one"), [("relu_squared", 1.0), ("gelu", 0.8411919906), ("silu", 0.7310585786)])
def test_activation_gradient_is_the_derivative(name, at_one):
    rng = np.random.default_rng(2)
    x, dy = rng.normal(size=(2, 40))
    forward, backward = (getattr(ops, name + suffix) for suffix in ("", "_backward"))
    assert forward(np.ones(1), FLOAT64)[0] == pytest.approx(at_one, abs=1e-10)
    slopes = np.array([slope(lambda y: forward(y, FLOAT64), value, 1.0) for value in x])
    assert np.abs(backward(dy, x, FLOAT64) - dy * slopes).max() <= LIMIT
    assert set(ACTIVATIONS) == {"relu_squared", "gelu", "silu"}, "one of them is not in this list"


def test_a_wrong_gradient_is_seen():
    rng = np.random.default_rng(0)
    x, dy, direction = rng.normal(size=(3, 4, 12))
    expected = slope(lambda x: np.sum(dy * ops.rms_norm(x, 1e-6, FLOAT64)), x, direction)
    without_mean_term = dy * ops.inverse_rms(x, 1e-6, FLOAT64)
    right = ops.rms_norm_backward(dy, x, 1e-6, FLOAT64)
    assert abs(np.sum(right * direction) - expected) <= LIMIT
    assert abs(np.sum(without_mean_term * direction) - expected) > 1e4 * LIMIT


@pytest.mark.parametrize(("orthogonalizer", "low", "high"), [(POLAR_EXPRESS, 0.85887, 1.14113), (NS5, 0.6818, 1.2024)])
def test_orthogonalizer_maps_singular_values_into_its_published_band(orthogonalizer, low, high):
    """A diagonal matrix goes through the scalar polynomial, whose range over [0.003, 1] is known."""
    values = np.linspace(0.003, 1, 20_001)
    scaled = [scalar_map(value, orthogonalizer) for value in values]
    assert low - 1e-4 <= min(scaled) <= low + 1e-4
    assert high - 1e-4 <= max(scaled) <= high + 1e-4
    diagonal = muon.orthogonalize(np.diag(values[::2000]), orthogonalizer, FLOAT64)
    norm = np.linalg.norm(values[::2000]) * orthogonalizer.safety + orthogonalizer.eps
    expected = [scalar_map(value / norm, orthogonalizer) for value in values[::2000]]
    np.testing.assert_allclose(np.diag(diagonal), expected, rtol=1e-12)


def scalar_map(value, orthogonalizer):
    for a, b, c in orthogonalizer.rows():
        value = a * value + b * value**3 + c * value**5
    return value


def test_a_norm_too_small_falls_off_the_cliff():
    """Polar Express stays bounded up to 1.02 times the true scale and explodes at 1.03."""
    assert scalar_map(1.020, POLAR_EXPRESS) < 1.2
    assert scalar_map(1.030, POLAR_EXPRESS) > 1e80


@pytest.mark.parametrize("shape", [(6, 6), (12, 4), (4, 12), (1, 8)])
def test_variance_normalisation_keeps_the_norm(shape):
    rng = np.random.default_rng(3)
    update = rng.normal(size=shape)
    state = muon.State.zeros(shape, FLOAT64)
    out = muon.normalize_variance(update, state, Muon(), FLOAT64)
    assert np.linalg.norm(out) == pytest.approx(np.linalg.norm(update), rel=1e-12)
    assert state.variance.shape == ((shape[0], 1) if shape[0] >= shape[1] else (1, shape[1]))


def test_precisions_round_where_they_say():
    x = np.float32(1 + 2.0**-8 + 2.0**-12)
    assert precision("bfloat16").kernel(x) == np.float32(1 + 2.0**-7)
    assert precision("float16").kernel(x) == np.float32(1 + 2.0**-8)
    assert to_tf32(np.float32(1 + 2.0**-10 + 2.0**-12)) == np.float32(1 + 2.0**-10)
    assert to_tf32(np.float32(1 + 2.0**-11)) == 1 and to_tf32(np.float32(1 + 3 * 2.0**-11)) == 1 + 2.0**-9
    ones = np.ones((1, 70_000), np.float32)
    assert PRECISIONS["bfloat16"].sum(ones) == 70_000
    assert PRECISIONS["bfloat16-sums"].sum(ones, axis=-1)[0] == 256
    with pytest.raises(ValueError, match="'half' is unknown; try one of"):
        precision("half")


def test_window_counts_one_key_more_than_its_reach():
    assert ops.visible(6, 2).sum(axis=1).tolist() == [1, 2, 3, 3, 3, 3]
