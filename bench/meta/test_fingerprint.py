"""The fingerprint names each class when it meets it, knows a wrong one from none, and says what to do.

Run with `pytest -m meta bench/meta/test_fingerprint.py`.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bench.defects import DEFECTS, known
from bench.determinism import repeats
from bench.families import FAMILIES
from bench.fingerprint import CLASSES, classify, message, observed, yardsticks
from bench.oracle import Oracle
from bench.subject import POLICIES, NotSupported
from impl.init import init

pytestmark = pytest.mark.meta

CASES = [
    (family, policy, name)
    for family in FAMILIES
    for policy in POLICIES
    for name in CLASSES[policy]
    if name != "tf32" or FAMILIES[family].products
]


class Computing(Oracle):
    """The oracle, computing in one class whatever it is asked for."""

    name = "torch-imagined"

    def __init__(self, p):
        self.p = p

    def op(self, name, arrays, attrs, policy):
        return super().op(name, arrays, attrs, self.p)

    def orthogonalize(self, matrix, orthogonalizer, policy):
        return super().orthogonalize(matrix, orthogonalizer, self.p)


def between(family: str, name: str):
    """The class in an order of summation that is none of those the fingerprint emulates."""
    p = FAMILIES[family].orders(name)[-1]
    return replace(p, lanes=min(FAMILIES[family].lanes, 2), chunk=p.chunk and 2 * p.chunk)


@pytest.mark.parametrize(("family", "asked", "name"), CASES)
def test_a_class_is_recognised_in_another_order_of_summation(family, asked, name):
    finding = classify(Computing(between(family, name)), FAMILIES[family], asked)
    assert finding.observed == name, finding.distances
    assert finding.expected == (name == asked)


@pytest.mark.parametrize("family", FAMILIES)
def test_classes_lie_apart(family):
    """Between the ranges of the class asked for and of any other there is a factor of 2.5 in some part."""
    for policy in POLICIES:
        ranges = yardsticks(family, policy)
        for other in set(ranges) - {policy}:
            gaps = np.log10(ranges[other][0] / ranges[policy][1]), np.log10(ranges[policy][0] / ranges[other][1])
            assert np.max(gaps) > 0.4, (policy, other)


class Wrong(Oracle):
    """Right in float64, but for a wrong sign here and there."""

    def op(self, name, arrays, attrs, policy):
        answer = super().op(name, arrays, attrs, "float64").copy()
        answer.reshape(-1)[::7] *= -1
        return answer


@pytest.mark.fast
def test_a_wrong_computation_is_of_no_class():
    assert observed(Wrong(), "float32") == dict.fromkeys(("gemm", "sdpa", "cross-entropy"), "none")


class Broken(Oracle):
    def op(self, name, arrays, attrs, policy):
        return super().op(name, arrays, attrs, "float64") * np.nan


@pytest.mark.fast
def test_nan_is_of_no_class():
    assert observed(Broken(), "bfloat16", ["gemm", "rms-norm"]) == {"gemm": "none", "rms-norm": "none"}


@pytest.mark.fast
def test_the_message_names_family_classes_and_switch():
    finding = classify(Computing(FAMILIES["gemm"].orders("tf32")[0]), FAMILIES["gemm"], "float32")
    told = message("torch-cuda", finding)
    assert "gemm at float32 should compute in float32, but is seen to compute in tf32" in told
    assert 'torch.set_float32_matmul_precision("highest")' in told and "NVIDIA_TF32_OVERRIDE=0" in told
    assert "set MLX_ENABLE_TF32=0 before mlx is imported" in message("mlx-cuda", finding)


@pytest.mark.fast
def test_defects_end_with_the_release_that_fixed_them():
    def subject(version):
        backend = SimpleNamespace(framework="mlx", versions=lambda: {"mlx": version})
        return SimpleNamespace(name="mlx-cpu", backend=backend)

    assert known(subject("0.32.2"), "norm", "bfloat16") is DEFECTS[0]
    assert known(subject("0.32.2"), "norm", "float32") is None
    assert known(subject("0.32.2"), "gemm", "bfloat16") is None
    assert known(subject("0.32.3.dev20260801"), "norm", "bfloat16") is None


class Drifting(Oracle):
    """Never gives the same loss twice."""

    calls = 0

    def loss_and_grads(self, recipe, params, tokens, targets, policy):
        self.calls += 1
        return float(self.calls), dict(params)

    def train(self, recipe, params, steps, progress, policy):
        raise NotSupported("no training here")

    def init(self, recipe, seed):
        return init(recipe.model, seed)


@pytest.mark.fast
def test_runs_that_differ_are_told_from_those_that_repeat():
    assert repeats(Drifting(), "float32") == {"gradient": False, "optimizer step": True, "training": None}
