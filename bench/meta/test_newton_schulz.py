"""The Newton-Schulz study: its emulations do what they say, its checks fail on mistakes, its page is that of its data.

`pytest -m meta bench/meta/test_newton_schulz.py`
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import check, page, sheet
from bench.conformance import test_orthogonalizer as checks
from bench.mutants import Mutant
from bench.newton_schulz import findings, lowrank, measure, report, spectra, variants
from bench.newton_schulz.__main__ import DATA
from bench.subject import load
from impl.oracle import muon
from impl.oracle.precision import FLOAT64
from impl.spec import NS5, POLAR_EXPRESS
from reports.privacy import leaks, private_strings

pytestmark = pytest.mark.meta
ROOT = Path(__file__).parent.parent.parent


def norm_by(emulated):
    """A patch of the oracle's norm."""
    return (muon, "frobenius", lambda original: lambda x, p: p.dtype(emulated(np.asarray(x, np.float32))))


def with_rule(change):
    """A patch of the orthogonaliser: asked by another rule."""
    return (muon, "orthogonalize", lambda original: lambda x, rule, p: original(x, change(rule), p))


def with_answer(change):
    """A patch of the orthogonaliser: what it answers."""
    return (muon, "orthogonalize", lambda original: lambda x, rule, p: change(original(x, rule, p)))


def overflowing(x):
    return np.sqrt(np.sum(np.square(x), dtype=np.float32))


def follows(relation, orthogonalizer="polar express"):
    return lambda subject, policy: checks.test_update_follows_its_matrix(
        subject=subject, policy=policy, relation=relation, orthogonalizer=orthogonalizer
    )


def many(subject, policy, spectrum="rank 16 + 1e-3"):
    checks.test_many_elements_have_the_right_norm(subject, policy, spectrum)


def many_normal(subject, policy):
    many(subject, policy, "gaussian")


def at(scale):
    return lambda subject, policy: checks.test_any_scale_is_finite_and_right(subject, policy, scale)


def exact(name):
    return lambda subject, policy: getattr(checks, name)(subject=subject, policy=policy, orthogonalizer="ns5")


# name: (patch, policy, the check that must fail)
MISTAKES = {
    "one bfloat16 accumulator": (norm_by(variants.serial), "bfloat16", many),
    "one bfloat16 accumulator under float32": (norm_by(variants.serial), "float32", many),
    "1024 bfloat16 accumulators": (norm_by(variants.lanes), "float32", many),
    "the norm rounded to bfloat16": (norm_by(variants.wide), "float32", many_normal),
    "squares that overflow": (norm_by(overflowing), "float32", at(1e30)),
    "squares that overflow under bfloat16": (norm_by(overflowing), "bfloat16", at(1e30)),
    "no safety factor": (with_rule(lambda rule: replace(rule, safety=1.0)), "float32", follows("permuted")),
    "no eps": (with_rule(lambda rule: replace(rule, eps=0.0)), "float32", at(1e-6)),
    "eps for every matrix": (with_rule(lambda rule: replace(rule, eps=1e-3)), "float32", at(1e-3)),
    "coefficients rounded to bfloat16": (with_rule(variants.rounded), "bfloat16", follows("permuted", "ns5")),
    "square matrices not transposed back": (
        with_answer(lambda update: update.T if update.shape[0] == update.shape[1] else update),
        "float32",
        follows("transposed"),
    ),
    "rows in another order": (with_answer(lambda update: update[::-1]), "bfloat16", follows("permuted")),
    "a bias": (with_answer(lambda update: update + update.dtype.type(1e-6)), "float32", exact(
        "test_sign_is_kept_exactly"
    )),
    "a floor under the norm": (norm_by(lambda x: max(1e10, overflowing(x))), "float32", exact(
        "test_powers_of_two_change_nothing"
    )),
    "zero becomes noise": (with_answer(lambda update: update + 1e-30), "float32", checks.test_zero_stays_zero),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_fails(name, monkeypatch):
    patch, policy, must_fail = MISTAKES[name]
    monkeypatch.setattr(check, "diagnosis", lambda *arguments: "not diagnosed")  # it would ask every known mutant
    with pytest.raises(AssertionError), np.errstate(all="ignore"):
        must_fail(Mutant(name, (), (patch,)).subject(), policy)


@pytest.mark.parametrize("must_pass", [follows("rotated"), many, at(1e30), at(1e-30), checks.test_zero_stays_zero])
def test_the_oracle_passes(must_pass, policy):
    must_pass(load("oracle"), policy)


def test_relations_hold_in_exact_arithmetic():
    """The mathematics behind the checks: the float64 oracle is indifferent to transposing, permuting, rotating."""
    x = spectra.matrix((24, 40), "power law").astype(np.float64)
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((size, size)))[0] for size in x.shape)
    update = muon.orthogonalize(x, POLAR_EXPRESS, FLOAT64)
    np.testing.assert_allclose(muon.orthogonalize(x.T, POLAR_EXPRESS, FLOAT64), update.T, atol=1e-13)
    rotated = muon.orthogonalize(left @ x @ right, POLAR_EXPRESS, FLOAT64)
    np.testing.assert_allclose(left.T @ rotated @ right.T, update, atol=1e-12)


def test_accumulators_stall_where_they_should():
    """256 ones are all that one bfloat16 accumulator counts; 1024 of them count 1024 times as many."""
    assert variants.serial(np.ones((1, 70_000))) == 16
    assert variants.lanes(np.ones((512, 512))) == 512
    assert variants.lanes(np.ones((1024, 1024))) == 512
    assert variants.wide(np.ones((1024, 1024))) == 1024


def test_every_norm_is_put_in_place_and_taken_out():
    oracle, x = load("oracle"), spectra.matrix((64, 128), "gaussian")
    before = variants.norm_of(oracle, x, variants.SHIPPED)
    for norm, emulated in variants.EMULATED.items():
        assert variants.norm_of(oracle, x, norm) == emulated(x) != before
    assert variants.norm_of(oracle, x, variants.SHIPPED) == before
    with pytest.raises(ValueError, match="try one of"), variants.norm_as(oracle, "bfloat16"):
        pass


def test_cliff_lies_where_the_polynomial_breaks():
    """Measured on the scalar map: Polar Express breaks just above 1.02, NS5 above 1.25."""
    for rule, below, above in ((POLAR_EXPRESS, 1.021, 1.023), (NS5, 1.25, 1.30)):
        assert below < variants.cliff(rule) < above
        assert abs(variants.mapped(below, rule)) < 1.3 < variants.GONE < abs(variants.mapped(above, rule))


@pytest.mark.parametrize("spectrum", spectra.PLAIN)
def test_spectra_are_what_they_are_called(spectrum, monkeypatch):
    x = spectra.matrix((128, 96), spectrum)
    values = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    expected = {
        "power law": 1 / np.arange(1, 97),
        "condition 1e4": np.logspace(0, -4, 96),
        "rank 16 + 1e-3": np.where(np.arange(96) < 16, 1.0, np.nan),
        "one huge": np.where(np.arange(96) < 1, 1.0, np.nan),
        "gaussian": np.full(96, np.nan),
    }[spectrum]
    known = np.isfinite(expected)
    np.testing.assert_allclose(values[known], expected[known], rtol=2e-2, atol=1e-6)
    if spectrum in ("rank 16 + 1e-3", "one huge"):
        assert np.all(values[~known] < 0.02)
    assert spectra.largest(x) == pytest.approx(values[0], rel=1e-9)
    monkeypatch.setattr(spectra, "SVD_UP_TO", 8)
    assert spectra.largest(x * np.float32(1e30)) == pytest.approx(values[0] * 1e30, rel=1e-2)


def test_float64_on_a_device_is_a_reference():
    """What serves as truth beyond the sizes that NumPy finishes; here on the CPU."""
    pytest.importorskip("torch")
    x = spectra.matrix((96, 64), "condition 1e4")
    ours = muon.orthogonalize(x, NS5, FLOAT64)
    np.testing.assert_allclose(measure.on_device(x, NS5, "cpu"), ours, atol=1e-12)


def test_a_sheet_is_taken_up_again_and_refuses_strangers(tmp_path):
    origin = {name: "x" for name in ("what", "backend", "chip", "versions", "blas")} | {"format": sheet.FORMAT}
    path = tmp_path / "deep" / "sheet.json"
    first = sheet.Sheet.open(path, origin)
    first.add("a", {"error": float("nan"), "shape": (1, 2), "worst": np.float32(1.23456789)})
    again = sheet.Sheet.open(path, origin)
    assert again.rows == {"a": {"key": "a", "error": None, "shape": [1, 2], "worst": 1.2346}}
    with pytest.raises(ValueError, match="name another file"):
        sheet.Sheet.open(path, origin | {"backend": "y"})


def test_low_rank_gradients_tell_a_narrow_accumulator():
    """Through the shipped step on whatever backend is here: a wide norm stays, a narrow one does not."""
    from bench.newton_schulz.diverge import ours
    from impl import backend as backends

    found = [name for name in ("torch-cpu", "mlx-cpu") if isinstance(backends.discover()[name], backends.Found)]
    if not found:
        pytest.skip("no CPU backend is here")
    narrow = next(run for run in lowrank.RUNS if "one accumulator" in run.name)
    rows = [lowrank.descend(ours(found[0]), (128, 512), run) for run in (lowrank.RUNS[0], narrow)]
    assert rows[0]["failed_step"] is None and rows[0]["losses"][-1] < 0.1
    assert rows[1]["failed_step"] is not None and rows[1]["norm_ratio"] < 0.5


def test_leaving_the_band_is_seen():
    """A run that drifts by more than the band's scatter leaves it, at the step where it does; the band's own stay."""
    rng = np.random.default_rng(0)
    runs = 5 - np.arange(60) / 30 + 0.02 * rng.standard_normal((4, 60))
    losses = np.array([findings.smooth(run) for run in runs])
    mean, scatter = losses.mean(axis=0), np.full(56, np.median(losses.std(axis=0, ddof=1)))
    assert all(findings.leaves(run, mean, scatter) is None for run in runs)
    drifting = runs[0] + np.where(np.arange(60) >= 30, 0.5, 0)
    assert findings.leaves(drifting, mean, scatter) in range(30, 36)


def test_findings_page_is_that_of_its_data():
    """Every table of the page is what the committed data give; `python -m bench.newton_schulz report` makes it so."""
    text = (ROOT / DATA.parent / report.PAGE).read_text("utf-8")
    assert page.filled(text, report.tables(findings.Data.load(ROOT / DATA))) == text


def test_findings_data_name_nobody():
    for path in (ROOT / DATA).glob("*.json"):
        assert not list(leaks(json.loads(path.read_text()), private_strings())), path.name
