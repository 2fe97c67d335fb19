"""Every known mistake is caught by a check of a row that is said to see it, and the oracle itself passes them all.

`pytest -m meta -k mutant`
"""

import pytest

from bench import check
from bench.check import Disagreement
from bench.conformance.rows import CHECKS, ask
from bench.margins import rows_of
from bench.mutants import MUTANTS, Mutant, Zeros
from bench.subject import POLICIES, load

pytestmark = pytest.mark.meta
PREDICTED = ("window of W keys", "RoPE on interleaved pairs", "softcap 30", "gate scale 1", "no safety factor")


@pytest.fixture
def undiagnosed(monkeypatch):
    """Failures without the search for their cause, which asks every mutant."""
    monkeypatch.setattr(check, "diagnosis", lambda *arguments: "not diagnosed")


@pytest.mark.usefixtures("undiagnosed")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_killed(mutant: Mutant):
    asked = [(quantity, policy) for quantity in CHECKS for policy in POLICIES if mutant.sees(quantity, policy)]
    assert asked, f"{mutant.name} names no row of {sorted(CHECKS)}"
    for quantity, policy in asked:
        try:
            ask(quantity, mutant.subject(), policy)
        except Disagreement as killed:
            assert mutant.name in str(killed)
            return
    pytest.fail(f"{mutant.name} passes {asked}")


@pytest.mark.parametrize("quantity", CHECKS)
def test_the_oracle_passes(quantity, policy):
    """What a mutant is made of fails nowhere without the mistake."""
    ask(quantity, load("oracle"), policy)


@pytest.mark.parametrize("quantity", CHECKS)
def test_zeros_fail_on_every_row(quantity, policy):
    """The laziest mistake: what lets zeros through is no limit."""
    assert any(row.verdict == "fail" for row in rows_of(Zeros(), quantity, policy))


@pytest.mark.parametrize("name", PREDICTED)
def test_diagnosis_names_the_mistake(name):
    """A person who makes a known mistake is told which."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == name)
    quantity = next(quantity for quantity in CHECKS if mutant.sees(quantity, "float32"))
    with pytest.raises(Disagreement, match=rf"likely cause: '{name}' accounts for 100% of the error"):
        ask(quantity, mutant.subject(), "float32")


def test_diagnosis_names_the_precision():
    """TF32 for float32 looks like TF32."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == "TF32 where float32 was asked")
    with pytest.raises(Disagreement, match="asked for float32, looks like tf32"):
        ask("large_matmul", mutant.subject(), "float32")
