"""Every known mistake in data, score, schedules and loop is killed by the check named for it.

`pytest -m meta bench/meta/test_data_mutants.py`
"""

import pytest

from bench.conformance import (
    test_evaluation,
    test_packing,
    test_properties_data,
    test_properties_score,
    test_shards,
    test_sources,
    test_spec,
    test_tokenizer,
    test_tokens,
)
from bench.conformance.test_sources import content
from bench.conformance.test_tokenizer import texts, tokenizer
from bench.conformance.test_tokens import little, shard
from bench.meta import test_chips
from bench.meta.cases import call
from bench.mutants.data import DATA_MUTANTS, DataMutant
from bench.training import test_loop
from impl.data.prepare import prepare
from impl.spec import Data

pytestmark = pytest.mark.meta
__all__ = ["content", "little", "shard", "texts", "tokenizer"]  # fixtures of the checks that run here

MODULES = (
    test_chips,
    test_evaluation,
    test_loop,
    test_packing,
    test_properties_data,
    test_properties_score,
    test_shards,
    test_sources,
    test_spec,
    test_tokenizer,
    test_tokens,
)
CHECKS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": test for module in MODULES for name, test in vars(module).items()
}


@pytest.fixture(scope="session")
def small(folder, cache):
    """The folder of small shards at one vocabulary."""
    return prepare(folder, 300, Data(), cache)


@pytest.mark.parametrize("mutant", DATA_MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_killed(mutant: DataMutant, request, small, tokenizer):
    """By an assertion: a mistake that raises by itself would need no check."""
    with mutant.alive(), pytest.raises((AssertionError, pytest.fail.Exception)):
        call(CHECKS[mutant.check], request)


@pytest.mark.parametrize("name", sorted({mutant.check for mutant in DATA_MUTANTS}))
def test_the_check_passes_without_a_mistake(name, request):
    call(CHECKS[name], request)


def test_each_check_is_one_of_the_fast_run():
    """A check that only `meta` or `deep` starts would kill nothing where it matters."""
    for name in {mutant.check for mutant in DATA_MUTANTS}:
        module = next(module for module in MODULES if module.__name__.endswith(name.partition(".")[0]))
        marks = module.pytestmark if isinstance(module.pytestmark, list) else [module.pytestmark]
        assert "fast" in {mark.name for mark in marks}, name


def test_names_are_used_once():
    names = [mutant.name for mutant in DATA_MUTANTS]
    assert len(set(names)) == len(names) >= 40
