"""Both sides of the comparison of two Muons do a Muon step. `pytest -m fast -k mlx_muon`"""

import numpy as np
import pytest

from bench import mlx_muon
from bench.strategies import recipe_of
from impl import backend as backends
from impl.spec import Model

pytestmark = [pytest.mark.fast, pytest.mark.meta]
RECIPE = recipe_of(Model(sequence_len=8, vocab_size=16, depth=1, width=16, heads=2, kv_heads=2, gate_channels=8))


@pytest.fixture
def backend():
    """mlx-cpu; opening it changes MLX's default device, which other tests rely on."""
    if not isinstance(state := backends.discover()["mlx-cpu"], backends.Found):
        pytest.skip(state.reason)
    import mlx.core as mx

    device = mx.default_device()
    yield backends.load("mlx-cpu")
    mx.set_default_device(device)


@pytest.mark.parametrize("side", [mlx_muon.ours, mlx_muon.theirs])
def test_a_step_moves_every_matrix_by_an_orthogonal_one(side, backend):
    before = mlx_muon.matrices_of(RECIPE, 0)
    try:
        after = side(backend, RECIPE, "float32", False)()
    except NotImplementedError as error:
        pytest.skip(str(error))
    assert after.keys() == before.keys()
    for name, old in before.items():
        values = np.linalg.svd(backend.numpy(after[name]) - old, compute_uv=False)
        assert values[0] / values[-1] < 4, (name, values)  # the matrix itself has about 10 and more


def test_a_matrix_that_is_not_orthogonal_would_fail():
    spread = [np.linalg.svd(x, compute_uv=False) for x in mlx_muon.matrices_of(RECIPE, 0).values()]
    assert any(values[0] / values[-1] > 4 for values in spread)


def test_another_framework_is_refused(capsys):
    if not isinstance(backends.discover()["torch-cpu"], backends.Found):
        pytest.skip("torch-cpu is not here")
    assert mlx_muon.main(["--backend", "torch-cpu"]) == 2
    assert "torch-cpu is not MLX's; try --backend mlx" in capsys.readouterr().err
