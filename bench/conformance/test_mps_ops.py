"""What `impl/torch` calls can run on MPS, and runs into no known fault of it, as far as one can tell without a Mac.

`pytest -m fast -k mps_ops`; the list of operators is committed, and `python -m bench.operators --write` refreshes it.
Compared with the committed list is only the release that it was made with; the rest holds for every release.
"""

import pytest

from bench.operators import known, shipped, snapshot, table
from bench.operators.recording import ABSENT, UNKNOWN, Recording
from impl.spec import PRESETS

pytestmark = pytest.mark.fast

# Found by this test: their micro-batches have more than 32768 tokens, over which the weights' gradients sum.
TOO_LARGE = {"ultra", "h100"}
URLS = {fault.issue: fault.url for fault in known.KNOWN}


@pytest.fixture(scope="module", autouse=True)
def operator_table():
    if reason := table.missing():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def recording():
    return shipped.record_torch()


def test_every_operator_runs_on_mps_and_none_is_known_to_be_wrong(recording):
    assert not recording.faults, "\n".join(sorted(recording.faults))


def test_no_operator_is_unresolved_but_those_that_someone_has_looked_at(recording):
    assert not (unresolved := recording.unresolved()), "\n".join(sorted(unresolved))


def test_operators_are_the_committed_ones(recording):
    if (now := snapshot.release("torch")) != snapshot.committed_release("torch"):
        pytest.skip(f"this is {now}, the committed list {snapshot.committed_release('torch')}'s")
    difference = snapshot.difference("torch", recording.lines)
    assert not difference, f"review this, then run `{snapshot.REFRESH}`:\n{difference}"
    assert recording.unknown == {*UNKNOWN}, "an entry of UNKNOWN that nothing calls any more; take it out"


def test_forward_backward_step_and_evaluation_are_recorded(recording):
    called = {line.split()[0] for line in recording.lines}
    forward, backward = {"aten.mm", "aten.embedding", "aten.index_select"}, {"aten.embedding_dense_backward"}
    step, loader = {"aten.bmm", "aten.rsqrt", "aten.clamp", "aten.linalg_vector_norm"}, {"aten._to_copy"}
    evaluation = {"aten._scaled_dot_product_attention_math_for_mps", "aten.gather"}
    assert called >= forward | backward | step | loader | evaluation


@pytest.mark.parametrize("name", PRESETS)
def test_sizes_of_a_preset_meet_no_known_fault(name, request):
    if name in TOO_LARGE:
        request.applymarker(pytest.mark.xfail(strict=True, reason=URLS[193487]))
    faults = shipped.record_torch_sizes(name).faults
    assert not faults, "\n".join(sorted(faults))


MISTAKES = {
    "no kernel": (lambda torch, x: torch.special.ndtri(x), "aten.special_ndtri has neither an MPS kernel"),
    "no kernel for factors": (lambda torch, x: torch.linalg.eig(x @ x.T), "aten.linalg_eig has neither an MPS kernel"),
    "float64": (lambda torch, x: x.double() + 1, "aten.add.Tensor computes in float64"),
    "mixed in place": (lambda torch, x: x.mul_(x.bfloat16()), "aten.mul_.Tensor writes float32 in place from bfloat16"),
    "mixed by a scalar": (lambda torch, x: x.bfloat16() * x.sum(), "aten.mul.Tensor mixes bfloat16 and float32"),
    "lerp": (lambda torch, x: x.bfloat16().lerp_(x.bfloat16(), 0.1), URLS[196067]),
    "is_causal": (lambda torch, x: attend(torch, x.view(1, 1, 32, 128), is_causal=True), URLS[195910]),
    "transposed heads": (lambda torch, x: attend(torch, x.view(1, 32, 2, 64).transpose(1, 2)), URLS[181133]),
    "a copy that does not wait": (lambda torch, x: torch.ones(2).to("mps", non_blocking=True), URLS[139550]),
    "a copy to the host that does not wait": (lambda torch, x: x.to("cpu", non_blocking=True), URLS[139550]),
    "a scalar of the CPU's": (lambda torch, x: x * torch.tensor(2.0), URLS[186580]),
    "a long product": (lambda torch, x: torch.ones(2, 40000, device="mps") @ x.new_ones(40000, 2), URLS[193487]),
    "a huge array": (lambda torch, x: torch.zeros(2**17, 2**16, device="mps"), URLS[197636]),
}


def attend(torch, x, **kwargs):
    return torch.nn.functional.scaled_dot_product_attention(x, x, x, **kwargs)


def recorded(step):
    import torch

    recording = Recording()
    with recording.on():
        step(torch, torch.ones(32, 128, device="mps"))
    return recording


@pytest.mark.meta
@pytest.mark.parametrize(("step", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named(step, words):
    faults = recorded(step).faults
    assert any(words in fault for fault in faults), faults


@pytest.mark.meta
def test_every_known_fault_has_a_mistake():
    assert {words for _, words in MISTAKES.values() if words.startswith("https")} == {*URLS.values()}


@pytest.mark.meta
def test_a_kernel_that_a_release_drops_is_missed(monkeypatch):
    monkeypatch.setitem(table.entries(), "rsqrt", ABSENT)
    faults = recorded(lambda torch, x: torch.nn.functional.rms_norm(x, (128,), eps=1e-6)).faults
    assert len(faults) == 1 and "aten.rsqrt has neither an MPS kernel" in faults.pop()


@pytest.mark.meta
def test_an_operator_outside_the_table_is_unresolved():
    assert "prims.neg is not resolved" in "\n".join(recorded(lambda torch, x: torch.ops.prims.neg(x)).unresolved())


@pytest.mark.meta
def test_a_correct_step_has_no_fault():
    recording = recorded(lambda torch, x: attend(torch, x.view(1, 1, 32, 128).requires_grad_()).sum().backward())
    assert not recording.faults and not recording.unresolved()


@pytest.mark.meta
def test_a_fault_in_the_shipped_code_is_found_with_its_line(monkeypatch):
    def product(x, weight, targets, softcap):
        return (x.double() @ weight.double().T).sum().float()

    monkeypatch.setattr("impl.torch.gpt.cross_entropy", product)
    faults = shipped.record_torch(["float32"]).faults
    assert any("float64" in fault and "torch/gpt.py" in fault for fault in faults), faults


@pytest.mark.meta
def test_attention_without_its_workaround_is_named(monkeypatch):
    import torch

    from impl.torch.gpt import attention

    monkeypatch.setattr(torch.Tensor, "contiguous", lambda x: x)
    faults = recorded(lambda torch, x: attention(*[x.view(1, 32, 2, 64)] * 3, window=31)).faults
    assert all(URLS[181133] in fault and "torch/gpt.py" in fault for fault in faults) and faults


@pytest.mark.meta
def test_a_changed_list_is_shown():
    lines = {*snapshot.path("torch").read_text("utf-8").splitlines()[1:], "aten.new (float32) -> (float32): kernel"}
    assert "+aten.new (float32) -> (float32): kernel" in snapshot.difference("torch", lines)
