"""Every known mistake is caught by the check named for it, and the oracle itself passes them all.

`pytest -m meta bench/meta/test_mutants.py`
"""

import pytest

from bench.check import Disagreement
from bench.conformance import test_gpt, test_ops, test_optim, test_train
from bench.meta.mutants import MUTANTS, Mutant
from bench.subject import load

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
