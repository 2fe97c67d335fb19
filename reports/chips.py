"""What a chip could do at best: one row per (chip, GPU cores), with the source of each peak and how sure it is.

Test with `pytest -m fast -k chips`.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Peak:
    """A named rate, so that an MFU says what it is a share of. `certain`: an MFU above 1 convicts the run, not us."""

    name: str
    flop_per_s: float
    source: str
    certain: bool


@dataclass(frozen=True)
class Chip:
    """`name` exactly as the driver reports it. A precision without a known peak is absent from `peaks`."""

    name: str
    gpu_cores: int | None  # None: the name alone says which chip it is
    peaks: dict[str, Peak]  # by precision
    bandwidth_bytes_per_s: float | None
    bandwidth_source: str | None


def find(chip: str, gpu_cores: int | None) -> Chip | None:
    """The row of exactly this name and, for Apple, this many GPU cores; None where there is none."""
    return CHIPS.get((chip, None)) or CHIPS.get((chip, gpu_cores))


def known_cpu(chip: str) -> bool:
    """Whether a CPU's brand string names a maker we know; no peak is claimed for any."""
    return chip.isascii() and re.sub(r"^\d{2}th Gen ", "", chip).startswith(CPU_MAKERS)


CPU_MAKERS = ("AMD ", "Apple M", "Intel(R) ", "Arm Neoverse-", "Arm Cortex-", "Ampere")

# Apple: peak = cores x 128 ALUs x 2 FLOP x clock; half precision runs at the same rate on M1-M4.
APPLE_FLOP_PER_CORE_CYCLE = 128 * 2
NEURAL_ACCELERATOR_FLOP_PER_CORE_CYCLE = 1024  # M5, fp16 and bf16 operands
MEASURED = "cores x 256 x clock; clock from metal-benchmarks (philipturner)"
POWERMETRICS = "cores x 256 x clock; clock read from powermetrics in reviews and threads"
INFERRED = "cores x 256 x clock; clock inferred, or its sources conflict"
NEURAL = "cores x 1024 x clock; rate from microbenchmarks of the A19's GPU"
VENDOR_BANDWIDTH = "Apple's technical specifications"
UNCONFIRMED = "unconfirmed"

# (name, MHz, source of the clock, {GPU cores: (GB/s, source)})
_APPLE = (
    ("Apple M1", 1278, MEASURED, {7: 68, 8: 68}),
    ("Apple M1 Pro", 1296, MEASURED, {14: 200, 16: 200}),
    ("Apple M1 Max", 1296, MEASURED, {24: 400, 32: 400}),
    ("Apple M1 Ultra", 1296, MEASURED, {48: 800, 64: 800}),
    ("Apple M2", 1398, MEASURED, {8: 100, 10: 100}),
    ("Apple M2 Pro", 1398, MEASURED, {16: 200, 19: 200}),
    ("Apple M2 Max", 1398, MEASURED, {30: 400, 38: 400}),
    ("Apple M2 Ultra", 1398, MEASURED, {60: 800, 76: 800}),
    ("Apple M3", 1338, POWERMETRICS, {8: 100, 10: 100}),
    ("Apple M3 Pro", 1380, INFERRED, {14: 150, 18: 150}),
    ("Apple M3 Max", 1380, POWERMETRICS, {30: 300, 40: 400}),
    ("Apple M3 Ultra", 1380, INFERRED, {60: 819, 80: 819}),
    ("Apple M4", 1578, INFERRED, {8: 120, 10: 120}),  # 1470 to 1578: the higher, so that no MFU is flattered
    ("Apple M4 Pro", 1578, POWERMETRICS, {16: 273, 20: 273}),
    ("Apple M4 Max", 1578, INFERRED, {32: 410, 40: 546}),
    ("Apple M5", 1578, POWERMETRICS, {8: 153, 10: 153}),
    ("Apple M5 Pro", 1620, INFERRED, {16: 307, 20: 307}),
    ("Apple M5 Max", 1620, POWERMETRICS, {32: 460, 40: 614}),
)
_UNCONFIRMED_BANDWIDTH = {("Apple M4 Max", 32), ("Apple M5 Max", 32)}

TABULATED = "vendor's data sheet as tabulated in nanochat"
VENDOR_SHEET = "NVIDIA's data sheet"
SHEET = f"{VENDOR_SHEET}, dense, float32 accumulation"
RATED = f"{SHEET}, at a rated clock that cards exceed"

# (name as NVML gives it, TFLOP/s in bf16, in TF32, in float32, GB/s, source); None where its sources leave it open.
_NVIDIA = (
    ("NVIDIA GB200", 2500, None, None, None, TABULATED),
    ("NVIDIA B200", 2250, None, None, None, TABULATED),
    ("NVIDIA H200", 989.5, 494.7, 66.9, 4800, SHEET),
    ("NVIDIA H100 80GB HBM3", 989.5, 494.7, 66.9, 3350, SHEET),
    ("NVIDIA H100 NVL", 835, 417.5, 60, 3900, SHEET),
    ("NVIDIA H100 PCIe", 756, 378, 51, 2000, SHEET),
    ("NVIDIA A100-SXM4-40GB", 312, 156, 19.5, 1555, SHEET),
    ("NVIDIA A100-SXM4-80GB", 312, 156, 19.5, 2039, SHEET),
    ("NVIDIA A100-PCIE-40GB", 312, 156, 19.5, 1555, SHEET),
    ("NVIDIA A100 80GB PCIe", 312, 156, 19.5, 1935, SHEET),
    ("NVIDIA L40S", 362, 183, 91.6, 864, RATED),
    ("NVIDIA GeForce RTX 4090", 165.2, 82.6, 82.6, 1008, RATED),
    ("NVIDIA GeForce RTX 5090", 209.5, 104.8, 104.8, 1792, RATED),
)


def _apple(name: str, mhz: int, source: str, cores: int, gb_per_s: float) -> Chip:
    certain = source == MEASURED
    alu = Peak("fp32-ALU", cores * APPLE_FLOP_PER_CORE_CYCLE * mhz * 1e6, source, certain)
    half = alu
    if name.startswith("Apple M5"):
        flop_per_s = cores * NEURAL_ACCELERATOR_FLOP_PER_CORE_CYCLE * mhz * 1e6
        half = Peak("NA-bf16", flop_per_s, NEURAL, certain=False)
    # No row for tf32: what float32 does at that class on M5 runs on the neural accelerators at a rate nobody published.
    peaks = {"float32": alu, "bfloat16": half, "float16": half}
    bandwidth_source = UNCONFIRMED if (name, cores) in _UNCONFIRMED_BANDWIDTH else VENDOR_BANDWIDTH
    return Chip(name, cores, peaks, gb_per_s * 1e9, bandwidth_source)


def _nvidia(name: str, bf16: float, tf32: float | None, float32: float | None, gb_per_s, source: str) -> Chip:
    names = {"bfloat16": "dense bf16", "float16": "dense bf16", "tf32": "dense tf32", "float32": "fp32"}
    tflop_per_s = {"bfloat16": bf16, "float16": bf16, "tf32": tf32, "float32": float32}
    peaks = {
        precision: Peak(names[precision], rate * 1e12, source, certain=source != RATED)
        for precision, rate in tflop_per_s.items()
        if rate
    }
    return Chip(name, None, peaks, gb_per_s * 1e9 if gb_per_s else None, VENDOR_SHEET if gb_per_s else None)


CHIPS: dict[tuple[str, int | None], Chip] = {
    (row.name, row.gpu_cores): row
    for row in (
        *(_apple(name, mhz, source, n, gb) for name, mhz, source, by_cores in _APPLE for n, gb in by_cores.items()),
        *(_nvidia(*row) for row in _NVIDIA),
    )
}
