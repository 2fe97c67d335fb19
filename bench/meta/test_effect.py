"""What `reports compare` claims is wrong as rarely as it says, by simulation of the noise that was measured.

`pytest -m meta bench/meta/test_effect.py`
"""

from collections import Counter
from itertools import product
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtrit

from reports import effect as effects
from reports.compare import MARGIN_BPB
from reports.effect import ALPHA, BETTER, CANNOT_TELL, POWER, SAME, WORSE, Noise, effect, power, runs_needed
from reports.group import noise, read

pytestmark = pytest.mark.meta

PAIRS = 2000
MEAN_BPB = 1.28
SIGMAS = 3.1  # passed once in a thousand by what is just right
MOST = ALPHA + SIGMAS * sqrt(ALPHA * (1 - ALPHA) / PAIRS)
DATA = Path(__file__).parents[2] / "reports" / "data"
MEASURED = noise([record for record in read([DATA]) if record.software.backend == "torch-cpu"])  # as MARGIN_BPB's


def normal(rng, shape):
    return rng.standard_normal(shape)


def heavy(rng, shape):
    """Student's t of three degrees: of a hundred runs, one lies beyond five and a half times the middle half."""
    return rng.standard_t(3, shape)


def outliers(rng, shape):
    """One run in ten is five times as scattered: another program was busy."""
    return rng.standard_normal(shape) * np.where(rng.random(shape) < 0.1, 5, 1)


def skewed(rng, shape):
    """Log-normal: a few runs end far above the rest, none far below."""
    return np.exp(rng.standard_normal(shape))


def rates(draw, runs, better_by=0.0, margin=1e-9, prior_degrees=0, scattered=1.0):
    """How often each verdict comes where B is truly better by so many SDs; with a prior, each pair draws its own."""
    rng = np.random.default_rng(sum(runs))
    a, b = (MEAN_BPB + MEASURED.sd * draw(rng, (PAIRS, n)) for n in runs)
    b = MEAN_BPB + scattered * (b - MEAN_BPB) - better_by * MEASURED.sd
    priors = MEASURED.sd * np.sqrt(rng.chisquare(prior_degrees or 1, PAIRS) / (prior_degrees or 1))
    found = Counter(
        effect(x, y, margin, prior=Noise(sd, prior_degrees) if prior_degrees else None).verdict
        for x, y, sd in zip(a.tolist(), b.tolist(), priors.tolist(), strict=True)
    )
    return {name: found[name] / PAIRS for name in (BETTER, WORSE, SAME, CANNOT_TELL)}


def of_z(va, vb, na, nb, alpha, prior):
    """The mistake: quantiles of the normal, as if three runs knew their own noise."""
    return 1.645 * np.sqrt(va / na + vb / nb)


def of_student(va, vb, na, nb, alpha, prior):
    """The mistake: one noise for both sides, whatever they show."""
    degrees = na + nb - 2
    return stdtrit(degrees, 1 - alpha) * np.sqrt(((na - 1) * va + (nb - 1) * vb) / degrees * (1 / na + 1 / nb))


@pytest.mark.parametrize("draw", [normal, heavy, outliers, skewed])
@pytest.mark.parametrize("runs", [(2, 2), (3, 3), (5, 5), (2, 5), (10, 2), (3, 10)])
def test_equal_configurations_are_seldom_called_different(draw, runs):
    found = rates(draw, runs)
    assert found[BETTER] <= MOST and found[WORSE] <= MOST


@pytest.mark.parametrize("runs", [(3, 3), (5, 5), (8, 3)])
def test_nor_where_the_candidate_is_three_times_as_scattered(runs):
    found = rates(normal, runs, scattered=3.0)
    assert found[BETTER] <= 0.08 and found[WORSE] <= 0.08  # nothing that few runs allow is exact here


@pytest.mark.parametrize("runs", [(2, 2), (3, 3), (2, 5)])
def test_noise_known_before_is_no_reason_for_more_false_alarms(runs):
    found = rates(normal, runs, prior_degrees=8)
    assert found[BETTER] <= MOST and found[WORSE] <= MOST
    assert rates(normal, runs, 2.0, prior_degrees=8)[BETTER] > 1.1 * rates(normal, runs, 2.0)[BETTER]


def test_noise_believed_to_be_half_of_what_it_is():
    """What a wrong belief costs, as the docstring of `half_width` says; the runs contradict it in time, not at once."""
    rng = np.random.default_rng(1)
    for runs, least, most in (((2, 2), 0.09, 0.15), ((5, 5), 0.05, 0.11)):
        sides = [rng.standard_normal((PAIRS, n)).tolist() for n in runs]
        found = [effect(a, b, 1e-9, prior=Noise(0.5, 8)).verdict for a, b in zip(*sides, strict=True)]
        assert least < found.count(BETTER) / PAIRS < most


@pytest.mark.parametrize("size", [1.0, 1.5, 2.0, 3.0, 4.0])
def test_the_runs_needed_give_the_power_that_they_promise(size):
    runs = runs_needed(size, 1.0)
    promised = power(size, 1.0, runs, runs)
    assert promised >= POWER > power(size, 1.0, runs - 1, runs - 1)
    found = rates(normal, (runs, runs), size)[BETTER]
    assert abs(found - promised) < SIGMAS * sqrt(promised * (1 - promised) / PAIRS), (runs, found, promised)


@pytest.mark.parametrize("runs", [(2, 2), (3, 3), (3, 8), (5, 5)])
def test_the_detectable_effect_is_detected_as_often_as_promised(runs):
    size = effects.detectable(1.0, *runs)
    found = rates(normal, runs, size)[BETTER]
    assert abs(found - POWER) < SIGMAS * sqrt(POWER * (1 - POWER) / PAIRS), (size, found)


@pytest.mark.parametrize("runs", [(8, 8), (20, 20), (40, 10)])
def test_a_difference_as_large_as_the_margin_is_seldom_called_the_same(runs):
    assert rates(normal, runs, 1.0, margin=MEASURED.sd)[SAME] <= MOST


def test_the_same_is_said_where_it_is_so():
    assert rates(normal, (20, 20), margin=MEASURED.sd)[SAME] > 0.8


def test_several_candidates_share_the_error():
    alone = effect([1.0, 1.1, 1.2], [1.0, 1.1, 1.3], 0.01)
    shared = effect([1.0, 1.1, 1.2], [1.0, 1.1, 1.3], 0.01, ALPHA / 4)
    assert shared.high - shared.low > 1.5 * (alone.high - alone.low)


def test_quantiles_of_the_normal_would_fail(monkeypatch):
    monkeypatch.setattr(effects, "half_width", of_z)
    assert rates(normal, (3, 3))[BETTER] > 1.2 * MOST
    promised = effects.detectable(1.0, 3, 3)
    monkeypatch.undo()
    assert rates(normal, (3, 3), promised)[BETTER] < POWER - 0.1, "and would promise too much"


@pytest.mark.parametrize(("runs", "scattered"), [((5, 2), 3.0), ((8, 3), 3.0)])
def test_one_noise_for_both_sides_would_fail(monkeypatch, runs, scattered):
    monkeypatch.setattr(effects, "half_width", of_student)
    assert rates(normal, runs, scattered=scattered)[BETTER] > 0.1


def test_welch_alone_would_fail(monkeypatch):
    """Its degrees of freedom are too many where two runs stand against ten."""

    def of_welch(va, vb, na, nb, alpha, prior):
        a, b = va / na, vb / nb
        return stdtrit((a + b) ** 2 / (a**2 / (na - 1) + b**2 / (nb - 1)), 1 - alpha) * np.sqrt(a + b)

    monkeypatch.setattr(effects, "half_width", of_welch)
    found = rates(normal, (2, 10))
    assert max(found[BETTER], found[WORSE]) > MOST


def test_what_cannot_tell_says_so():
    assert effect([1.0], [0.5], 0.01).verdict == CANNOT_TELL
    assert effect([1.0, 1.1, 1.2], [0.5], 0.01).verdict == CANNOT_TELL
    assert effect([1.0], [0.5], 0.01, prior=Noise(0.001, 9)).verdict == CANNOT_TELL
    assert effect([1.0, 1.0], [0.5, 0.5], 0.01).verdict == CANNOT_TELL, "equal values show no noise"
    assert effect([1.0, 1.01], [0.5, 0.51], 0.01).verdict == BETTER
    with pytest.raises(ValueError, match="give a run for each side"):
        effect([], [1.0], 0.01)


def test_noise_that_the_runs_contradict_is_dropped():
    calm, wild = [1.000, 1.001, 1.002], [1.0, 1.2, 1.4]
    assert not effect(calm, calm, 0.01, prior=Noise(0.001, 9)).prior_dropped
    found = effect(calm, wild, 0.01, prior=Noise(0.001, 9))
    assert found.prior_dropped and found.degrees == 4


def test_the_margin_is_the_noise_that_was_measured():
    """Within the factor of two that few seeds know it to."""
    assert 0.5 < MARGIN_BPB / MEASURED.sd < 2


def test_verdicts_of_an_interval():
    found = [effects.judge(low, high, 1.0) for low, high in product((-2, -0.5, 0.5), (-0.1, 0.7, 2)) if low < high]
    assert found == [BETTER, CANNOT_TELL, CANNOT_TELL, SAME, SAME, CANNOT_TELL, SAME, WORSE]
