"""A model whose activation is not the one asked for, or whose gradient is another's, is told so.

`pytest -m meta bench/meta/test_activations.py`
"""

import pytest

from bench.check import Disagreement
from bench.conformance.test_gpt import test_other_activations_match_oracle as asked
from bench.mutants import Mutant, Mutated
from impl.oracle import ops
from impl.spec import Model
from impl.spec.model import ACTIVATIONS

pytestmark = pytest.mark.meta
DEFAULT = Model().activation


@pytest.mark.parametrize("suffix", ["", "_backward"])
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != DEFAULT])
def test_another_activation_is_seen(name, suffix, policy):
    original = getattr(ops, DEFAULT + suffix)
    mutant = Mutant(f"{name}{suffix} is {DEFAULT}'s", (), ((ops, name + suffix, lambda _: original),))
    with pytest.raises(Disagreement):
        asked(Mutated(mutant), policy, name)
