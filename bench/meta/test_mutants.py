"""Every known mistake is caught by the check named for it, and the oracle itself passes them all.

`pytest -m meta bench/meta/test_mutants.py`
"""

import importlib.util

import pytest
from hypothesis import Phase, settings

from bench.check import Disagreement
from bench.meta.mutants import MUTANTS, Mutant
from bench.subject import load

pytestmark = pytest.mark.meta

# The suite's own examples; without shrinking, because one failing example is all that is asked for.
PROFILE = "mutants"
settings.register_profile(
    PROFILE, settings.get_profile("nanomark"), phases=[Phase.explicit, Phase.generate], report_multiple_bugs=False
)


@pytest.fixture(scope="module")
def checks():
    """The conformance tests, decorated anew under this file's profile."""
    settings.load_profile(PROFILE)
    found = {}
    for name in ("test_ops", "test_gpt", "test_optim", "test_train"):
        spec = importlib.util.find_spec(f"bench.conformance.{name}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= {f"{name}.{test}": getattr(module, test) for test in vars(module) if test.startswith("test_")}
    settings.load_profile("nanomark")
    return found


def ask(checks, name: str, subject, policy: str) -> None:
    """Run one conformance test on a subject."""
    extra = {"orthogonalizer": "polar express"} if "orthogonalizer" in name else {}
    extra |= {"accumulation": 2, "start": 0.0} if "twenty" in name else {}
    checks[name](subject=subject, policy=policy, **extra)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_killed(checks, mutant: Mutant):
    survived = []
    for policy in ("float32", "bfloat16"):
        try:
            ask(checks, mutant.check, mutant.subject(), policy)
            survived.append(policy)
        except Disagreement as killed:
            assert mutant.name in str(killed)
            return
    pytest.fail(f"{mutant.name} passes {mutant.check} at {survived}")


@pytest.mark.parametrize("name", sorted({mutant.check for mutant in MUTANTS}))
def test_the_oracle_passes(checks, name, policy):
    """What a mutant is made of fails nowhere without the mistake."""
    ask(checks, name, load("oracle"), policy)
