"""Peaks are the sourced ones, of exactly the chip named, and nothing runs faster.

Run with `pytest -m fast bench/meta/test_chips.py`.
"""

import pytest

from bench.meta.records import failed_record, only, valid_record
from reports import chips, derived
from reports.check import PENDING, REJECTED, check_record
from reports.record import Record
from reports.schema import Probe, Steps

pytestmark = [pytest.mark.fast, pytest.mark.meta]


@pytest.mark.parametrize(
    ("chip", "cores", "backend", "reason"),
    [
        ("Apple M9 Max", 40, "mlx-metal", "unknown chip 'Apple M9 Max' with gpu_cores=40"),
        ("Apple M3 Max", 41, "torch-mps", "unknown chip 'Apple M3 Max' with gpu_cores=41"),
        ("Apple M3 Max", None, "torch-mps", "unknown chip 'Apple M3 Max' with gpu_cores=None"),
        ("Аpple M3 Max", 40, "mlx-metal", "unknown chip '\\u0410pple M3 Max'"),  # a Cyrillic first letter
        ("NVIDIA H200 ", None, "torch-cuda", "unknown chip 'NVIDIA H200 '"),
        ("unknown", None, "torch-cpu", "unknown CPU maker in hardware.chip='unknown'"),
    ],
)
def test_unknown_chip_is_pending(chip, cores, backend, reason):
    record = valid_record(hardware={"chip": chip, "gpu_cores": cores}, software={"backend": backend})
    part, verdict, found = only(record)
    assert (part, verdict) == ("plausibility", PENDING) and found.startswith(reason)
    assert derived.mfu(record) is None


def faster(chip: str, cores: int | None, backend: str, flop: int) -> Record:
    return valid_record(
        hardware={"chip": chip, "gpu_cores": cores},
        software={"backend": backend},
        state={"probes": (Probe(when="during", flop=flop, seconds=1.0, precision="bfloat16"),)},
    )


def test_faster_than_the_peak():
    assert not list(check_record(faster("NVIDIA H200", None, "torch-cuda", 989 * 10**12)))
    part, verdict, reason = only(faster("NVIDIA H200", None, "torch-cuda", 2 * 10**15))
    assert (part, verdict) == ("plausibility", REJECTED)
    assert reason == "a probe ran at 2.02 times the chip's dense bf16 peak"
    # Where the peak itself is an inference, a person must look.
    assert only(faster("Apple M5 Max", 40, "mlx-metal", 10**14))[1] == PENDING


def test_training_faster_than_the_peak():
    quick = {"step_s": (1e-5,) * 32, "progress": (0.0,) * 32, "lr": (1.0,) * 32}
    steps = Steps(**{**valid_record().run.steps.model_dump(), **quick})
    record = valid_record(
        hardware={"chip": "Apple M1", "gpu_cores": 8}, software={"backend": "mlx-metal"},
        run={"mode": "fixed-tokens", "steps": steps},
    )  # fmt: skip
    share = record.run.total_batch / 1e-5 * record.run.flop_per_token / (8 * 256 * 1278e6)
    assert derived.mfu(record) == pytest.approx(share) and share > 1
    assert only(record)[2] == f"training ran at {share:.3g} times the chip's fp32-ALU peak"


def test_derived_numbers():
    record = valid_record()
    assert derived.bits_per_byte(record) == pytest.approx(1.443931, abs=1e-6)
    assert derived.tokens(record) == 32 * 4096
    assert derived.tokens_per_s(record) == 32 * 4096 / 4.0
    assert not derived.memory_limited(record) and derived.memory_limited(valid_record(run={"epochs": 1.2}))
    assert derived.bits_per_byte(failed_record()) is None


def test_chip_table_has_the_sourced_figures():
    """TFLOP/s and GB/s to the digits that the sources give."""
    expected = {
        ("Apple M1", 7): (2.29, 68), ("Apple M1 Max", 32): (10.62, 400), ("Apple M1 Ultra", 64): (21.2, 800),
        ("Apple M2 Pro", 19): (6.80, 200), ("Apple M2 Ultra", 76): (27.2, 800), ("Apple M3 Max", 30): (10.6, 300),
        ("Apple M3 Max", 40): (14.1, 400), ("Apple M3 Ultra", 80): (28.3, 819), ("Apple M4 Pro", 16): (6.46, 273),
        ("Apple M4 Max", 40): (16.2, 546), ("Apple M5", 10): (4.04, 153), ("Apple M5 Max", 40): (16.6, 614),
    }  # fmt: skip
    for (name, cores), (tflop_per_s, gb_per_s) in expected.items():
        row = chips.find(name, cores)
        assert row is not None and row.peaks["float32"].flop_per_s / 1e12 == pytest.approx(tflop_per_s, rel=4e-3)
        assert row.bandwidth_bytes_per_s == gb_per_s * 1e9
    neural = {("Apple M5", 10): 16.2, ("Apple M5 Pro", 20): 33, ("Apple M5 Max", 40): 66}
    for (name, cores), tflop_per_s in neural.items():
        peak = chips.CHIPS[name, cores].peaks["bfloat16"]
        assert peak.name == "NA-bf16" and peak.flop_per_s / 1e12 == pytest.approx(tflop_per_s, rel=0.01)
    assert chips.CHIPS["NVIDIA H100 80GB HBM3", None].peaks["bfloat16"].flop_per_s == 989.5e12


def test_nvidia_figures():
    """TFLOP/s in bf16, TF32 and float32, and GB/s; a rated clock convicts nobody, since cards exceed it."""
    expected = {
        "NVIDIA H200": (989.5, 494.7, 66.9, 4800, True), "NVIDIA H100 80GB HBM3": (989.5, 494.7, 66.9, 3350, True),
        "NVIDIA H100 PCIe": (756, 378, 51, 2000, True), "NVIDIA A100-SXM4-80GB": (312, 156, 19.5, 2039, True),
        "NVIDIA GeForce RTX 4090": (165.2, 82.6, 82.6, 1008, False),
    }  # fmt: skip
    for name, (*tflop_per_s, gb_per_s, certain) in expected.items():
        row = chips.CHIPS[name, None]
        found = [row.peaks[precision].flop_per_s / 1e12 for precision in ("bfloat16", "tf32", "float32")]
        assert found == pytest.approx(tflop_per_s) and row.bandwidth_bytes_per_s == gb_per_s * 1e9
        assert {peak.certain for peak in row.peaks.values()} == {certain}
    unknown = chips.CHIPS["NVIDIA B200", None]
    assert set(unknown.peaks) == {"bfloat16", "float16"} and unknown.bandwidth_bytes_per_s is None


def test_float16_and_bfloat16_are_one_rate():
    """On M1 to M4 it is the float32 rate; M5 and tensor cores have one of their own."""
    for (name, _), row in chips.CHIPS.items():
        assert row.peaks["float16"] == row.peaks["bfloat16"]
        if name.startswith("Apple ") and not name.startswith("Apple M5"):
            assert row.peaks["bfloat16"] == row.peaks["float32"]
        elif "float32" in row.peaks:
            assert row.peaks["bfloat16"].flop_per_s >= 1.9 * row.peaks["float32"].flop_per_s


def test_every_chip_is_whole():
    assert len(chips.CHIPS) == 2 * 18 + 13
    for (name, cores), row in chips.CHIPS.items():
        assert (row.name, row.gpu_cores) == (name, cores) and row.peaks
        assert all(0 < peak.flop_per_s < 1e16 and peak.source for peak in row.peaks.values())
        assert (row.bandwidth_bytes_per_s is None) == (row.bandwidth_source is None)
        assert (cores is None) == name.startswith("NVIDIA ")
    assert chips.find("Apple M4 Ultra", 80) is None and chips.find("apple m1", 8) is None
