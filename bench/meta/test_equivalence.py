"""The three answers are right as often as they claim, by simulation.

`pytest -m meta bench/meta/test_equivalence.py`
"""

import numpy as np
import pytest

from bench.equivalence import ALPHA, LEAST_SEEDS, chi2_quantile, compare, t_quantile

pytestmark = pytest.mark.meta

TRIALS = 400


def answers(seeds: int, shift: float, spread: float) -> dict[str, float]:
    """How often each answer comes, where the true difference is `shift` and pairs differ by `spread`, in seed SDs."""
    rng = np.random.default_rng(seeds)
    counts = {"equivalent": 0.0, "different": 0.0, "cannot tell": 0.0}
    for _ in range(TRIALS):
        reference = 3 + rng.standard_normal(seeds)
        losses = reference + shift + spread * rng.standard_normal(seeds)
        counts[compare(losses, reference).name] += 1 / TRIALS
    return counts


@pytest.mark.parametrize(("degrees", "known"), [(1, 6.3138), (7, 1.8946), (15, 1.7531), (30, 1.6973)])
def test_t_quantiles_are_those_of_the_tables(degrees, known):
    assert t_quantile(0.95, degrees) == pytest.approx(known, abs=1e-4)


@pytest.mark.parametrize(("degrees", "low", "high"), [(7, 2.167, 14.067), (15, 7.261, 24.996), (31, 19.281, 44.985)])
def test_chi2_quantiles_are_those_of_the_tables(degrees, low, high):
    assert (chi2_quantile(0.05, degrees), chi2_quantile(0.95, degrees)) == pytest.approx((low, high), rel=0.01)


@pytest.mark.parametrize("seeds", [8, 32])
@pytest.mark.parametrize("spread", [0.1, 1.4])
def test_a_difference_as_large_as_the_margin_gets_no_answer(seeds, spread):
    """Type I error of both claims where neither is true; 400 trials know it to 2 %."""
    found = answers(seeds, 1.0, spread)
    assert found["equivalent"] < ALPHA + 0.02 and found["different"] < ALPHA + 0.02


def test_power():
    """With pairs that forgot each other: 32 seeds tell no difference from three SDs, and hardly miss either."""
    assert answers(32, 0.0, 1.4)["equivalent"] > 0.75 and answers(32, 0.0, 1.4)["different"] == 0
    assert answers(32, 3.0, 1.4)["different"] > 0.95 and answers(32, 3.0, 1.4)["equivalent"] == 0
    assert answers(8, 0.0, 0.1)["equivalent"] > 0.95, "pairs that stay together need few seeds"


def test_a_run_that_died_is_different():
    reference = np.random.default_rng(0).standard_normal(16)
    assert compare(np.where(np.arange(16) == 3, np.nan, reference), reference).name == "different"
    assert "over 16 seeds" in str(compare(reference + 0.1, reference))


def test_too_few_seeds_are_refused():
    with pytest.raises(ValueError, match="train more"):
        compare(np.zeros(LEAST_SEEDS - 1), np.zeros(LEAST_SEEDS - 1))
