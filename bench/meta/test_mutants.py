"""Every known mistake is caught by the check named for it, and the oracle itself passes them all.

`pytest -m meta bench/meta/test_mutants.py`
"""

import pytest

from bench.check import ROWS, Disagreement, agree
from bench.conformance import test_gpt, test_ops, test_optim, test_train
from bench.meta.mutants import MUTANTS, Mutant, Zeros
from bench.strategies import recipe_of
from bench.subject import load
from bench.tolerances import TABLE
from impl.spec import Model

pytestmark = pytest.mark.meta

CHECKS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": test
    for module in (test_ops, test_gpt, test_optim, test_train)
    for name, test in vars(module).items()
    if name.startswith("test_")
}


def ask(name: str, subject, policy: str) -> None:
    """Run one conformance test on a subject."""
    extra = {"orthogonalizer": "polar express"} if "orthogonalizer" in name else {}
    extra |= {"size": 64, "window": 16} if "real_heads" in name else {}
    extra |= {"accumulation": 2, "start": 0.0} if "twenty" in name else {}
    CHECKS[name](subject=subject, policy=policy, **extra)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_killed(mutant: Mutant):
    survived = []
    for policy in ("float32", "bfloat16"):
        try:
            ask(mutant.check, mutant.subject(), policy)
            survived.append(policy)
        except Disagreement as killed:
            assert mutant.name in str(killed)
            return
    pytest.fail(f"{mutant.name} passes {mutant.check} at {survived}")


@pytest.mark.parametrize("name", sorted({mutant.check for mutant in MUTANTS}))
def test_the_oracle_passes(name, policy):
    """What a mutant is made of fails nowhere without the mistake."""
    ask(name, load("oracle"), policy)


@pytest.mark.parametrize("name", sorted(name for name in CHECKS if name.endswith(("_match_oracle", "_matches_oracle"))))
def test_zeros_pass_nowhere(name, policy):
    with pytest.raises(Disagreement):
        ask(name, Zeros(), policy)


def test_zeros_fail_on_every_row():
    """The rows of the tests above, and gradients, whose check stops at the loss; val_nats needs a prepared text."""
    recipe = recipe_of(Model(sequence_len=8, vocab_size=37, depth=2, width=32, heads=2, kv_heads=1, gate_channels=6))
    for policy in ("float32", "bfloat16"):
        with pytest.raises(Disagreement):
            inputs = test_gpt.inputs_of(recipe.model, 0)
            agree(Zeros(), "grads", policy, inputs, test_gpt.ask_grads(recipe), key=(recipe,))
    failed = {(row.quantity, row.policy) for row in ROWS if row.subject == Zeros.name and row.verdict == "fail"}
    assert {row for row in TABLE if row[0] != "val_nats"} == failed
