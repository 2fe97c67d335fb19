"""The noise study recovers planted parts within its own intervals, and loses no run to an interruption.

Run with `pytest -m "fast or meta" bench/meta/test_noise.py`.
"""

import json
from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtrit

from bench import sheet
from bench.meta.command import ROOT
from bench.noise import __main__ as command
from bench.noise import findings, plan, sample, study, variance
from bench.page import filled
from impl.data.evaluation import Windows, windows
from reports.privacy import leaks, private_strings

PLANTED = {"seed": 0.02, "schedule": 0.03, "kernels": 0.01}
VARIES = {"both": ("seed", "schedule", "kernels"), "clock": ("schedule", "kernels"), "seed": ("seed", "kernels")}
VARIES["kernel"] = ("kernels",)


def drawn(rng, runs, planted=PLANTED):
    """Scores by kind of run; each kind about a mean of its own, as a reference's own seed and schedule make it."""
    return {
        kind: list(2 + rng.normal(0, 0.05) + sum(rng.normal(0, planted[part], runs) for part in parts))
        for kind, parts in VARIES.items()
    }


def coverage(planted, studies=200, runs=8):
    """How often each interval holds what was planted."""
    rng, held = np.random.default_rng(5), dict.fromkeys([*PLANTED, "added", "measured"], 0)
    total = sqrt(sum(sd**2 for sd in planted.values()))
    for _ in range(studies):
        found = variance.parts(drawn(rng, runs, planted), repeats=False)
        for name in held:
            estimate, truth = (found.sd[name], planted[name]) if name in planted else (getattr(found, name), total)
            held[name] += estimate.low <= truth <= estimate.high
    return {name: count / studies for name, count in held.items()}


@pytest.mark.fast
def test_planted_parts_are_recovered_from_many_runs():
    found = variance.parts(drawn(np.random.default_rng(0), 4000), repeats=False)
    for name, sd in PLANTED.items():
        assert found.sd[name].value == pytest.approx(sd, rel=0.1), name
        assert found.sd[name].low < sd < found.sd[name].high
        assert found.share[name].value == pytest.approx(sd**2 / 0.0014, abs=0.05)
    assert found.added.value == pytest.approx(sqrt(0.0014), rel=0.05) and found.excess.low < 1 < found.excess.high


@pytest.mark.meta
@pytest.mark.parametrize(
    "planted", [PLANTED, {"seed": 0.02, "schedule": 0.0, "kernels": 0.02}], ids=["all", "no clock"]
)
def test_intervals_hold_what_was_planted_as_often_as_they_say(planted, monkeypatch):
    """95 % intervals of 200 studies: fewer than 90 % would come by chance in 2 of 1000."""
    monkeypatch.setattr(variance, "DRAWS", 2000)
    assert min(coverage(planted).values()) >= 0.9


def unsubtracted(seen):
    """Kernels counted into every part."""
    return {"seed": seen["seed"], "schedule": seen["clock"], "kernels": seen["kernel"]}


def swapped(seen):
    return {"seed": seen["clock"], "schedule": seen["seed"], "kernels": seen["kernel"]}


@pytest.mark.meta
@pytest.mark.parametrize("broken", [unsubtracted, swapped])
def test_a_broken_estimator_fails(broken, monkeypatch):
    monkeypatch.setattr(variance, "DRAWS", 2000)
    monkeypatch.setattr(variance, "_taken_apart", broken)
    planted = {"seed": 0.02, "schedule": 0.005, "kernels": 0.02}
    assert min(coverage(planted).values()) < 0.8


@pytest.mark.meta
def test_intervals_of_a_variance_about_zero_fail(monkeypatch):
    monkeypatch.setattr(variance, "DRAWS", 2000)
    monkeypatch.setattr(variance, "_variance", lambda values: float(np.mean(np.square(values))))
    assert min(coverage(PLANTED).values()) < 0.8


@pytest.mark.fast
def test_causes_that_interact_are_seen():
    rng = np.random.default_rng(1)
    scores = drawn(rng, 400) | {"both": list(rng.normal(2, 0.08, 400))}
    assert variance.parts(scores, repeats=False).excess.low > 1


@pytest.mark.fast
def test_runs_that_repeat_bit_for_bit_have_no_kernel_noise():
    scores = drawn(np.random.default_rng(2), 6, {**PLANTED, "kernels": 0.0})
    found = variance.parts(scores | {"kernel": [1.9, 1.9]}, repeats=True)
    assert found.sd["kernels"] == variance.Estimate(0, 0, 0)
    assert found.sd["seed"].value == pytest.approx(np.std(scores["seed"], ddof=1))
    with pytest.raises(ValueError, match="seed: fewer than two runs"):
        variance.parts(scores | {"seed": [2.0]}, repeats=True)


def text(rng, documents=150, of_document=0.3, of_window=0.3):
    """(nats, bytes, documents): windows of one document are alike."""
    sizes = rng.integers(2, 12, documents)
    units = np.repeat(np.arange(documents), sizes)
    bytes_ = rng.integers(300, 500, len(units))
    rate = 1.5 + rng.normal(0, of_document, documents)[units] + rng.normal(0, of_window, len(units))
    return rate * bytes_, bytes_, units


@pytest.mark.meta
def test_spread_of_another_sample_is_that_of_other_samples(monkeypatch):
    """Against what fresh texts do: nine of ten intervals hold it, fewer than 16 of 20 would in 4 of 100 cases.

    Drawing windows by themselves promises too much.
    """
    monkeypatch.setattr(sample, "RESAMPLES", 1000)
    rng = np.random.default_rng(3)
    true = np.std([nats.sum() / bytes_.sum() / log(2) for nats, bytes_, _ in (text(rng) for _ in range(1000))])
    found = [sample.spread(*text(rng)) for _ in range(20)]
    assert sum(one.low < true < one.high for one in found) >= 16
    assert np.median([one.value for one in found]) == pytest.approx(true, rel=0.1)
    nats, bytes_, _ = text(rng)
    assert sample.spread(nats, bytes_, range(len(nats))).high < 0.8 * true


@pytest.mark.fast
def test_what_two_runs_share_does_not_spread_their_difference():
    nats, bytes_, units = text(np.random.default_rng(4))
    assert sample.spread(0.01 * nats, bytes_, units).value == pytest.approx(
        0.01 * sample.spread(nats, bytes_, units).value
    )
    assert sample.spread(0.02 * bytes_, bytes_, units).value == pytest.approx(0, abs=1e-9)  # the same in every byte


def row(cell, digest="a", **more):
    return {"key": cell.key, "kind": cell.kind, "seed": cell.seed, "digest": digest, "steps": 10, **more}


@pytest.mark.fast
def test_kinds_share_no_run_and_the_pilots_come_first():
    cells = plan.cells(5)
    assert len(cells) == len({cell.key for cell in cells}) == 20
    assert [cell.key for cell in cells[:5]] == ["clock 0", "clock 1", "clock 2", "both 0", "seed 0"]
    varied = [cell.seed for cell in cells if cell.kind in ("both", "seed")]
    assert len({*varied, plan.SEED}) == 11


@pytest.mark.fast
def test_a_recorded_run_that_repeats_is_not_repeated_further():
    pilots = [row(plan.Cell("clock", i), f"{i}", progress=[0.0], steps=steps) for i, steps in enumerate((9, 30, 20))]
    assert plan.reference(pilots)["key"] == "clock 2"
    for digests, left in ((["2", "2"], 0), (["2", "1"], 3), (["1", "1"], 3), (["2"], 4)):
        rows = [*pilots, *(row(plan.Cell("kernel", i), digest) for i, digest in enumerate(digests))]
        lacking = plan.todo(5, {r["key"]: r for r in rows})
        assert sum(cell.kind == "kernel" for cell in lacking) == left
    late = row(plan.Cell("clock", 3), "3", progress=[0.0], steps=25)
    followed = row(plan.Cell("kernel", 0), "2", follows="clock 0")
    assert plan.reference([*pilots, late, followed])["key"] == "clock 0"


def made(scores, **origin):
    """A study's file with these scores in bits per byte."""
    rows = [
        row(plan.Cell(kind, i), f"{kind}{i}", nats=log(2) * score * 1000, bytes=1000, failure=None, background=None)
        for kind, values in scores.items()
        for i, score in enumerate(values)
    ]
    head = {"format": sheet.FORMAT, "what": study.WHAT, "backend": "torch-cpu", "versions": {"torch": "2.13.0+cpu"}}
    return findings.Study({**head, "preset": "tiny", **origin, "rows": rows})


@pytest.mark.meta
def test_effects_that_runs_tell_are_told_in_four_of_five_cases():
    """With the noise known, single runs included; what they need by themselves is what `reports.effect` says."""
    scores = drawn(np.random.default_rng(6), 16)
    found, rng = made(scores), np.random.default_rng(7)
    sd, degrees = found.noise.sd, found.noise.degrees
    size = found.detectable(1, known=True)
    limit = sqrt(2) * sd * stdtrit(degrees, 0.95)
    told = rng.normal(size, sd * sqrt(2), 20_000) > limit
    assert np.mean(told) == pytest.approx(0.8, abs=0.015)
    assert found.detectable(1, known=False) is None
    assert found.detectable(3, known=True) < found.detectable(3, known=False)
    needed = found.needed(0.02, sd)
    assert found.detectable(needed, known=False) <= 0.02 * found.mean < found.detectable(needed - 1, known=False)


@pytest.mark.fast
def test_the_share_that_steps_explain():
    rng = np.random.default_rng(8)
    steps, noise = rng.integers(50, 150, 400), rng.normal(0, 0.05, 400)
    found = made({"clock": 2.0 * (steps / 100) ** -0.3 * np.exp(noise), "both": [2.0, 2.0]})
    for run, n in zip(found.rows, [*steps, 100, 100], strict=True):
        run["steps"] = int(n)
    slope, share = found.by_steps
    told = 0.09 * np.var(np.log(steps))
    assert slope.value == pytest.approx(-0.3, abs=0.03) and slope.high - slope.low == pytest.approx(0.031, rel=0.2)
    assert share == pytest.approx(told / (told + 0.0025), abs=0.05)


@pytest.fixture
def short(monkeypatch):
    """The first windows only: scoring the whole text would take longer than the runs."""

    def first(prepared, sequence_len):
        text = windows(prepared, sequence_len)
        return Windows(text.inputs[:24], text.targets[:24], 24 * 300)

    monkeypatch.setattr(study, "windows", first)


@pytest.mark.meta
def test_an_interrupted_study_goes_on_and_runs_nothing_twice(short, tmp_path, pytestconfig, monkeypatch, capsys):
    backend = next((name for name in pytestconfig.backends if name.endswith("-cpu")), None)
    if backend is None:
        pytest.skip("only CPU backends are bit-equal from run to run")
    words = ["--backend", backend, "--seconds", "0.3", "--runs", "2", "--out", str(tmp_path)]
    path, trained, real = study.path_of(tmp_path, backend, "tiny"), [], study.Stand.run

    def run(stand, cell, *more):
        if len(trained) == 3:
            trained.append("interrupted")
            raise KeyboardInterrupt
        trained.append(cell.key)
        return real(stand, cell, *more)

    monkeypatch.setattr(study.Stand, "run", run)
    assert command.main(words) == 130
    kept = json.loads(path.read_text())["rows"]
    assert [r["key"] for r in kept] == ["windows", "clock 0", "clock 1", "both 0"]
    assert command.main(words) == 0
    rows = json.loads(path.read_text())["rows"]
    assert rows[:4] == kept and len(rows) == 9
    assert sorted(trained) == sorted(["interrupted", *(cell.key for cell in plan.cells(2))])
    assert command.main(words) == 0 and len(trained) == 9
    by_key = {r["key"]: r for r in rows}
    followed = plan.reference(rows)  # the middle one of the pilots by their steps, which is not always the first
    assert by_key["kernel 0"]["digest"] == by_key["kernel 1"]["digest"] == followed["digest"]
    assert by_key["seed 0"]["steps"] == followed["steps"] and plan.repeats(rows)
    assert len(by_key["both 0"]["window_nats"]) == len(by_key["windows"]["bytes"]) == 24
    assert sum(by_key["both 0"]["window_nats"]) == pytest.approx(by_key["both 0"]["nats"], rel=1e-4)
    assert "0: bit for bit the same" in capsys.readouterr().out
    assert not list(leaks(json.loads(path.read_text()), private_strings()))
    assert command.main([*words[:-4], "--seconds", "0.4", *words[-4:]]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "seconds 0.3 is not 0.4" in error


@pytest.mark.fast
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--runs", "1"], "--runs 1 must be at least 2; try 10"),
        (["--backend", "tpu"], "tpu"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(words, message, tmp_path, capsys):
    assert command.main([*words, "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line and not list(tmp_path.iterdir())


@pytest.mark.meta
def test_the_page_is_that_of_its_data():
    """`python -m bench.noise --page` makes it so."""
    text, found = (ROOT / command.PAGE).read_text("utf-8"), findings.studies(ROOT / command.COMMITTED)
    assert filled(text, {name: lambda make=make: make(found) for name, make in findings.TABLES.items()}) == text
    for path in Path(ROOT / command.COMMITTED).glob("noise-*.json"):
        assert not list(leaks(json.loads(path.read_text()), private_strings())), path.name
