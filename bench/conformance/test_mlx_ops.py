"""What `impl/mlx` calls runs on Metal, CUDA and the CPU alike, as far as MLX's own source tells.

`pytest -m fast -k mlx_ops`; the list of primitives is committed, and `python -m bench.operators --write` refreshes it.
Compared with the committed list is only the release that it was made with; the rest holds for every release.
"""

import pytest

from bench.operators import shipped, snapshot
from bench.operators.primitives import LACKING, Graph, core
from impl.backend import Found, discover

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def mx():
    if not isinstance(state := discover()["mlx-cpu"], Found):
        pytest.skip(state.reason)
    return core()


@pytest.fixture(scope="module")
def graph(mx):
    return shipped.record_mlx()


def test_every_primitive_is_there_on_every_device(graph):
    assert not (faults := graph.faults()), "\n".join(sorted(faults))


def test_primitives_are_the_committed_ones(graph):
    if (now := snapshot.release("mlx")) != snapshot.committed_release("mlx"):
        pytest.skip(f"this is {now}, the committed list {snapshot.committed_release('mlx')}'s")
    difference = snapshot.difference("mlx", graph.names)
    assert not difference, f"review this, then run `{snapshot.REFRESH}`:\n{difference}"


def test_forward_backward_and_step_are_recorded(graph):
    assert graph.names >= {"Matmul", "Gather", "Rsqrt", "Softmax", "CustomTransforms", "fast.rms_norm"}
    assert any(name.startswith("Scatter") for name in graph.names)  # of the embeddings' gradient


MISTAKES = {
    "qr": (lambda mx, x: mx.linalg.qr(x, stream=mx.cpu), "QRF cannot run on metal, cuda"),
    "svd": (lambda mx, x: mx.linalg.svd(x, stream=mx.cpu), "SVD cannot run on metal, cuda"),
    "eigh": (lambda mx, x: mx.linalg.eigh(x @ x.T, stream=mx.cpu), "Eigh cannot run on metal, cuda"),
    "hadamard": (lambda mx, x: mx.hadamard_transform(x), "Hadamard cannot run on cuda before 0.31.1"),
    "fft": (lambda mx, x: mx.abs(mx.fft.fft(x)), "FFT cannot run on cuda before 0.31.2"),
}


@pytest.mark.meta
@pytest.mark.parametrize(("step", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named(step, words, mx):
    graph = Graph()
    graph.add(mx, step(mx, mx.ones((4, 4))))
    assert any(words in fault for fault in graph.faults()), graph.names


@pytest.mark.meta
@pytest.mark.parametrize("name", [*LACKING, "Sum AllReduce"])
def test_every_row_of_the_table_is_a_fault(name):
    assert len(Graph({"Matmul", name}).faults()) == 1


@pytest.mark.meta
def test_a_kernel_of_one_device_is_named():
    assert "mx.fast.metal_kernel is not known" in "\n".join(Graph({"fast.metal_kernel"}).faults())


@pytest.mark.meta
def test_a_fault_in_the_shipped_code_is_found(mx, monkeypatch):
    monkeypatch.setattr("impl.mlx.muon.orthogonalize", lambda x, *_: x + 0 * mx.linalg.qr(x, stream=mx.cpu)[0].sum())
    assert any("QRF" in fault for fault in shipped.record_mlx(["float32"]).faults())


@pytest.mark.meta
def test_a_changed_list_is_shown(mx):
    lines = {*snapshot.path("mlx").read_text("utf-8").splitlines()[1:], "QRF"}
    assert "+QRF" in snapshot.difference("mlx", lines)
