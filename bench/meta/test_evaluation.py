"""A trainer's evaluation goes ahead of who reads it, and is read by its backend.

`pytest -m meta bench/meta/test_evaluation.py`
"""

import numpy as np
import pytest

from bench import evaluation
from bench.ours import Ours
from impl import backend as backends
from impl.spec import preset

pytestmark = pytest.mark.meta


def test_mlx_begins_a_group_and_waits_for_none(monkeypatch):
    core = pytest.importorskip("mlx.core")
    subject, recipe, begun = Ours(backends.load("mlx-cpu")), preset("tiny"), []
    trainer = subject.trainer(recipe, subject.init(recipe, 0), "float32")
    begin = core.async_eval
    monkeypatch.setattr(core, "async_eval", lambda *arrays: begun.extend(arrays) or begin(*arrays))
    monkeypatch.setattr(core, "eval", lambda *arrays: pytest.fail("it waited"))
    tokens = np.zeros((2, recipe.model.sequence_len), np.int64)
    assert begun == [] and [trainer.nats(tokens, tokens)] == begun


@pytest.mark.parametrize("name", ["torch-cpu", "mlx-cpu"])
def test_what_a_trainer_returns_is_read_by_its_backend(name, monkeypatch):
    """NumPy by itself cannot read what is on a GPU."""
    backend, read = _loaded(name), []
    subject, recipe = Ours(backend), preset("tiny")
    own = backend.numpy
    monkeypatch.setattr(backend, "numpy", lambda x: read.append(x.shape) or own(x))
    rows, length = recipe.data.device_batch, recipe.model.sequence_len
    tokens = np.zeros((rows + 1, length), np.int64)
    monkeypatch.setattr("bench.ours.windows", lambda *_: evaluation.Windows(tokens, tokens, 7))
    params = subject.init(recipe, 0)
    read.clear()
    assert subject.bits_per_byte(recipe, params, None, "float32").nats > 0
    assert read == [(rows,), (rows,)]


def _loaded(name):
    try:
        return backends.load(name)
    except backends.BackendError as error:
        pytest.skip(str(error))
