"""A batch is chosen by what it will take: the fit finds what the samples were made of, and a plan holds what it says.

Run with `pytest -m fast bench/meta/test_memory.py`.
"""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from bench import footprint, hardware, memory
from bench.memory import GIB, Sample
from bench.training.order import Order
from bench.training.score import Job
from impl.spec import PRESETS, preset
from impl.spec.model import sized
from reports.schema import BACKENDS, Hardware

pytestmark = [pytest.mark.fast, pytest.mark.meta]

UPDATE, PASSES = (3e7, 29.0), (2e7, 16.0, 4.0, 50.0, 6.0)


def made(grid: str, noise: float = 0.0, backend: str = "torch-cuda", policy: str = "bfloat16") -> list[Sample]:
    """Samples on a grid of which the truth is known."""
    rng, found = np.random.default_rng(0), []
    for depth, sequence_len, rows, passes in footprint.GRIDS[grid]:
        row = memory.terms(sized(depth, sequence_len=sequence_len), rows, passes)
        peak = max(float(np.dot(UPDATE, row[:2])), float(np.dot(PASSES, row)))
        peak *= 1 + noise * rng.uniform(-1, 1)
        found.append(Sample(backend, policy, depth, sequence_len, rows, passes, round(peak), {}))
    return found


@pytest.fixture
def known(monkeypatch):
    """The samples are made ones, of CUDA at bfloat16."""
    samples = (*made("gpu"), *made("gpu", backend="mlx-cuda"))
    monkeypatch.setattr(memory, "samples", lambda: samples)
    memory.foreseen.cache_clear()
    yield samples
    memory.foreseen.cache_clear()


def gpu(gib: float) -> Hardware:
    return Hardware(chip="any", gpu_memory_bytes=int(gib * GIB), memory_bytes=512 * GIB)


def test_a_token_adds_its_activations():
    """Of depth 8 and width 512: bytes for each layer and channel, and for the scores of 4 heads over 2048 places."""
    found = memory.fit(made("gpu"))
    assert found.token_bytes(sized(8)) == pytest.approx(50 * 8 * 512 + 6 * 4 * 2048, rel=0.01)


@pytest.mark.parametrize("grid", footprint.GRIDS)
def test_the_grids_tell_the_terms_apart(grid):
    found = memory.fit(made(grid))
    assert found.update == pytest.approx(UPDATE, rel=1e-3) and found.passes == pytest.approx(PASSES, rel=1e-2)
    assert found.low < 1e-3
    noisy = memory.fit(made(grid, noise=0.03))
    assert 0.01 < noisy.low < 0.3 and min(*noisy.update, *noisy.passes) >= 0


@pytest.mark.parametrize("grid", footprint.GRIDS)
def test_a_foreseen_peak_errs_upwards(grid):
    samples = made(grid, noise=0.05)
    found = memory.fit(samples)
    for sample in samples:
        model = sized(sample.depth, sequence_len=sample.sequence_len)
        if sample.rows * sample.sequence_len > memory.UPDATE_TOKENS:
            assert found.peak_bytes(model, sample.rows, sample.passes) >= 0.97 * sample.peak_bytes


def test_a_term_that_is_not_there_is_not_made_up():
    """Where scores are never held, their coefficient is 0, not a negative one that a long row would profit from."""
    samples = [replace(s, peak_bytes=s.peak_bytes - round(6 * s.terms()[4])) for s in made("gpu")]
    assert memory.fit(samples).passes[4] == pytest.approx(0, abs=0.05)
    for seed in range(8):
        noise = 1 + 0.03 * np.random.default_rng(seed).uniform(-1, 1, len(samples))
        noisy = [replace(s, peak_bytes=round(s.peak_bytes * by)) for s, by in zip(samples, noise, strict=True)]
        assert min(memory.fit(noisy).passes) >= 0


def test_too_few_samples_are_no_fit():
    with pytest.raises(ValueError, match="0 samples of <= 128 tokens; measure 3"):
        memory.fit(made("gpu")[4:])
    with pytest.raises(ValueError, match="2 samples exceed the update's peak"):
        memory.fit(made("gpu")[:6])


@pytest.mark.parametrize(("gib", "rows"), [(141, 128), (80, 128), (48, 64), (24, 32), (12, 16), (6, 8), (1, 1)])
def test_a_small_card_gets_fewer_rows(known, gib, rows):
    """Accumulation keeps the batch in tokens, so that nothing that decides comparability moves."""
    recipe = preset("h100")
    planned = memory.plan(recipe, "torch-cuda", "bfloat16", gpu(gib))
    assert planned.rows == rows and planned.rows * planned.passes == 256
    assert planned.fits == (gib > 1) and ("may not fit" in str(planned)) == (gib == 1)
    smaller = memory.fitted(recipe, planned)
    assert smaller.data.total_batch == recipe.data.total_batch and smaller.accumulation() == planned.passes
    assert smaller.hash("config") == recipe.hash("config") and smaller.hash("recipe") == recipe.hash("recipe")
    if planned.fits:  # and twice the rows would not, unless the preset wants no more
        more = memory.foreseen("torch-cuda", "bfloat16")[0].peak_bytes(
            recipe.model, 2 * rows, max(1, planned.passes // 2)
        )
        assert rows == 128 or more > planned.usable_bytes


def test_the_reason_is_told(known):
    recipe = preset("h100")
    assert memory.chosen(recipe, "because", "torch-cuda", "bfloat16", gpu(141)) == (recipe, "because")
    smaller, why = memory.chosen(recipe, "because", "torch-cuda", "bfloat16", gpu(24))
    assert smaller.data.device_batch == 32 and why.startswith("because; 32 rows x 8: ")
    assert memory.chosen(recipe, "because", "torch-cuda", "bfloat16", gpu(1))[1].endswith("even one row may not fit")


@pytest.mark.parametrize(("settings", "rows"), [({}, 1), ({"device_batch": "4"}, 4)])
def test_a_run_is_resized_unless_told(settings, rows, monkeypatch):
    """The main job on a machine of a quarter of a GB; who names the rows gets them."""
    samples = tuple(made("cpu", backend="torch-cpu", policy="float32"))
    monkeypatch.setattr(memory, "samples", lambda: samples)
    memory.foreseen.cache_clear()
    monkeypatch.setattr(hardware, "detect", lambda name: Hardware(chip="any", memory_bytes=GIB // 4))
    job = Job.of(Order(backend="torch-cpu", preset="cpu", precision="float32", settings=settings))
    memory.foreseen.cache_clear()
    assert job.recipe.data.device_batch == rows and job.recipe.data.total_batch == preset("cpu").data.total_batch
    assert ("1 rows x 8: " in job.why) == (not settings)


def test_what_is_unknown_changes_nothing(known):
    recipe = preset("h100")
    assert memory.plan(recipe, "torch-cuda", "bfloat16", Hardware(chip="any")) is None
    assert memory.plan(recipe, "mlx-cpu", "bfloat16", gpu(24)) is None  # never measured, and nothing like it
    assert memory.fitted(recipe, None) is recipe


def test_a_stand_in_is_named(known):
    mac = Hardware(chip="Apple M3 Max", memory_bytes=48 * GIB)
    planned = memory.plan(preset("max"), "mlx-metal", "bfloat16", mac)
    assert planned.source == "mlx-cuda, for want of its own"
    assert planned.usable_bytes == pytest.approx(0.65 * 48 * GIB, rel=1e-6)
    told = Hardware(**{**mac.model_dump(), "gpu_memory_bytes": 36 * GIB})
    assert memory.plan(preset("max"), "mlx-metal", "bfloat16", told).usable_bytes == 36 * GIB
    assert memory.plan(preset("max"), "torch-mps", "bfloat16", told) is None  # a compiled step is no stand-in


def test_every_backend_has_a_kind():
    assert set(memory.STAND_IN) == set(BACKENDS)
    machine = Hardware(chip="any", memory_bytes=16 * GIB, gpu_memory_bytes=8 * GIB)
    assert all(memory.usable_bytes(machine, backend) > 4 * GIB for backend in BACKENDS)


def test_the_measured_samples():
    """Those committed fit, and the presets of a CPU fit where they were measured."""
    measured = {(s.backend, s.policy) for s in memory.samples()}
    assert {("mlx-cpu", "float32"), ("torch-cpu", "float32"), ("torch-cpu", "bfloat16")} <= measured
    for backend, policy in sorted(measured):
        found, source = memory.foreseen(backend, policy)
        assert source == backend and found.low < 0.3, f"{backend} {policy}: {found}"
    machine = Hardware(chip="any", memory_bytes=16 * GIB, gpu_memory_bytes=16 * GIB)
    planned = memory.plan(preset("cpu"), "torch-cpu", "bfloat16", machine)
    assert planned.rows == PRESETS["cpu"].data.device_batch and planned.peak_bytes < 2 * GIB


def test_samples_are_kept(capsys, monkeypatch, tmp_path):
    """Each at once and as it was measured, in place of older ones; --resume asks for the missing ones only."""
    monkeypatch.setattr(memory, "FILE", tmp_path / "memory.json")
    memory.samples.cache_clear()
    footprint.keep(made("cpu", backend="mlx-cpu", policy="float32")[0])
    footprint.keep(replace(made("cpu", backend="torch-cpu", policy="float32")[0], depth=9))
    asked, answers = [], {s.key(): s for s in made("cpu", backend="torch-cpu", policy="float32")}
    answers[list(answers)[-1]] = None  # runs out of memory

    def measure(backend, policy, shape):
        asked.append(shape)
        return answers[(backend, policy, *shape)]

    monkeypatch.setattr(footprint, "measure", measure)
    monkeypatch.setattr(footprint.backends, "resolve", lambda name: name)
    command = ["footprint", "--backend", "torch-cpu", "--precision", "float32", "--write"]
    monkeypatch.setattr("sys.argv", command)
    footprint.main()
    kept = json.loads((tmp_path / "memory.json").read_text())
    assert kept == [asdict(s) for s in memory.samples()] and len(kept) == len(footprint.GRIDS["cpu"]) - 1 + 1
    assert {row["backend"] for row in kept} == {"mlx-cpu", "torch-cpu"} and {row["depth"] for row in kept} < {*range(9)}
    assert "does not fit; left out" in capsys.readouterr().out
    asked.clear()
    monkeypatch.setattr("sys.argv", [*command, "--resume"])
    footprint.main()
    assert asked == [footprint.GRIDS["cpu"][-1]]
    memory.samples.cache_clear()


def test_the_command(known, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.argv", ["memory", "--backend", "torch-cuda", "--backend", "mlx-cpu"])
    memory.main()
    out = capsys.readouterr().out
    assert "h100" in out and "mlx-cpu bfloat16: never measured; try python -m bench.footprint" in out
